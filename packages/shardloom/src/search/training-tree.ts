import { collectiveSeconds } from '@shardloom/cluster'
import { balanceStages, type Candidate, type ChoiceTree, layerSums, type Rejection } from '@shardloom/search'
import type { LoadedSpec } from '../plan.js'
import { reserveOf } from '../reserve.js'
import type { PlannedSpec } from '../sequence.js'
import { type Choices, dividing, multiplying, type Value } from './choices.js'
import { type Model, type PartState, peakBytesOf, type StageCost, secondsOf, stageOf, stepSeconds } from './estimate.js'
import { type Aim, aimOf, type Pace, paceOf, trainingMetrics } from './objective.js'
import { leastSeconds, type Pipeline, type StageSeconds } from './pipelines.js'
import type { Question } from './question.js'
import type { BlockCosts } from './samples.js'
import { isRefusal, type Placed, type Refusal, TrainingModel } from './training-model.js'

/** A choice made with others: all that costs of layers depend on, and how many ranks are left for dp and pp. */
export interface Group {
  readonly choices: Choices
  /** The choices as text, by which costs are remembered. */
  readonly name: string
  readonly ranks: number
}

interface Slot {
  readonly group: Group
  readonly microbatch: number
}

interface Staged extends Slot {
  readonly pp: number
  readonly dp: number
  readonly microbatches: number
}

interface Cut {
  readonly schedule: string
  readonly virtual: number
  readonly split: 'even' | 'balanced'
}

interface Stored {
  readonly zero: number
  readonly replicate: number
}

/** How far a candidate is decided. */
export type Node =
  | { readonly level: 'root'; readonly groups: readonly Group[] }
  | ({ readonly level: 'group' } & Pick<Slot, 'group'>)
  | ({ readonly level: 'slot' } & Slot)
  | ({ readonly level: 'staged' } & Staged)
  | ({ readonly level: 'cut'; readonly cut: Cut } & Staged)
  | ({ readonly level: 'leaf'; readonly cut: Cut; readonly stored: Stored } & Staged)

type Leaf = Extract<Node, { level: 'leaf' }>
type CutNode = Extract<Node, { level: 'cut' }>

/** A pipeline with its layers divided. */
interface Division {
  readonly pipeline: Pipeline
  readonly borders: readonly number[]
  readonly send: number
}

const stateless: ReadonlyMap<string, PartState> = new Map()

/**
 * The tree of choices of a search for training. From the root down are decided: what layers cost (degrees of tensor, context and expert
 * parallelism, recomputation and what else strategies do inside of a stage), the size of microbatches, the stages, their schedule and
 * layers, and last what data-parallel ranks share. Bounds come from costs that are known by then.
 */
export class TrainingTree implements ChoiceTree<Node> {
  readonly model: TrainingModel
  private readonly aim: Aim
  private readonly pace: Pace
  private readonly base: PlannedSpec
  private readonly chunks = new Map<string, readonly number[]>()
  private readonly divisions = new Map<string, Division | Refusal>()
  private readonly sizes = new Map<string, number>()

  constructor(
    readonly loaded: LoadedSpec,
    private readonly question: Question,
    readonly root: Node = { level: 'root', groups: [] },
    model?: TrainingModel,
  ) {
    this.model = model ?? new TrainingModel(loaded)
    this.base = loaded.spec
    this.pace = paceOf(loaded, question, reserveOf(loaded.spec.reserveBytes, question.ranks).bytes)
    this.aim = aimOf(question, this.pace)
  }

  /** The groups of the whole space, in an order that puts those that are alike together. */
  groups(): Group[] {
    const { choices, ranks } = this.question
    const { replicas } = this.base.parallel
    const inner = Object.keys(choices).filter((name) => !later.includes(name))
    const groups: Group[] = []
    const visit = (index: number, chosen: Choices, left: number) => {
      const name = inner[index]
      if (name === undefined) {
        groups.push({ choices: chosen, name: JSON.stringify(chosen), ranks: left })
        return
      }
      for (const value of choices[name] ?? []) {
        if (isIdle(name, value, chosen)) continue
        const takes = isMultiplying(name, this.model.axes)
        const rest = takes ? left / Number(value) : left
        if (Number.isInteger(rest)) visit(index + 1, { ...chosen, [name]: value }, rest)
      }
    }
    if (Number.isInteger(ranks / replicas)) visit(0, {}, ranks / replicas)
    return groups
  }

  expand(node: Node): Iterable<Node> | null {
    if (node.level === 'root') return node.groups.map((group) => ({ level: 'group', group }))
    if (node.level === 'group') return this.slots(node.group)
    if (node.level === 'slot') return this.staged(node)
    if (node.level === 'staged') return this.cuts(node.pp).map((cut): Node => ({ ...node, level: 'cut', cut }))
    if (node.level === 'cut') return this.stored(node.dp).map((stored): Node => ({ ...node, level: 'leaf', stored }))
    return null
  }

  size(node: Node): number {
    if (node.level === 'leaf') return 1
    if (node.level === 'cut') return this.stored(node.dp).length
    if (node.level === 'staged') return this.cuts(node.pp).length * this.stored(node.dp).length
    const key =
      node.level === 'root'
        ? ''
        : node.level === 'group'
          ? sizeKey(node.group)
          : `${sizeKey(node.group)} ${node.microbatch}`
    const known = node.level === 'root' ? undefined : this.sizes.get(key)
    if (known !== undefined) return known
    let sum = 0
    for (const child of this.expand(node) ?? []) sum += this.size(child)
    if (node.level !== 'root') this.sizes.set(key, sum)
    return sum
  }

  reject(node: Node): Rejection | undefined {
    if (node.level === 'slot') {
      const blocks = this.blocksOf(node)
      return blocks && isRefusal(blocks) ? { rule: blocks.rule } : undefined
    }
    if (node.level === 'staged') {
      const blocks = this.blocksAt(node, '1f1b')
      return isRefusal(blocks) ? { rule: blocks.rule } : undefined
    }
    if (node.level === 'cut') {
      const blocks = this.blocksAt(node, node.cut.schedule)
      if (isRefusal(blocks)) return { rule: blocks.rule }
      const division = this.divisionOf(node, blocks)
      return isRefusal(division) ? { rule: division.rule } : undefined
    }
    if (node.level !== 'leaf') return undefined
    const parts = this.partsOf(node)
    if (isRefusal(parts)) return { rule: parts.rule }
    const { reserveBytes, capacityBytes } = this.pace
    const bytes = reserveBytes + peakBytesOf(parts.division.pipeline, parts.stages)
    if (bytes > capacityBytes) return { rule: 'memory', by: bytes / capacityBytes - 1 }
    return undefined
  }

  bound(node: Node): number {
    const seconds = this.leastSeconds(node)
    return this.aim.bound(seconds, node.level === 'leaf' ? this.peakOf(node) : 0)
  }

  corner(node: Node): readonly [number, number] {
    return this.aim.corner(this.leastSeconds(node), node.level === 'leaf' ? this.peakOf(node) : 0)
  }

  evaluate(leaf: Node): number | Rejection {
    const { seconds, bytes } = this.figures(leaf as Leaf)
    return this.aim.judge(trainingMetrics(this.pace, seconds, bytes))
  }

  describe(leaf: Node, score: number): Candidate {
    return this.candidate(leaf as Leaf, score)
  }

  describeMiss(node: Node): Candidate {
    const leaf = node as Leaf
    return this.candidate(leaf, this.evaluateScore(leaf))
  }

  /** Step time and peak memory of a leaf that can be planned, by the analytic model. */
  figures(leaf: Leaf): { readonly seconds: number; readonly bytes: number } {
    const parts = this.partsOf(leaf)
    if (isRefusal(parts)) throw new Error(`internal error: a refused candidate was evaluated: ${parts.why}`)
    const { division, stages, seconds, model } = parts
    return {
      seconds: stepSeconds(division.pipeline, stages, seconds, model.blocking),
      bytes: peakBytesOf(division.pipeline, stages),
    }
  }

  /** What a leaf has chosen, in the order in which candidates are named. */
  choicesOf({ group, microbatch, pp, dp, cut, stored }: Leaf): Choices {
    const { schedule, virtual, split } = cut
    return {
      dp,
      ...(stored.replicate > 1 && { dpReplicate: stored.replicate }),
      ...group.choices,
      pp,
      microbatch,
      zero: stored.zero,
      ...(pp > 1 && { schedule, virtual, split }),
    }
  }

  /** The layers of each chunk, where they are not divided evenly. */
  layersOf(leaf: Leaf): number[] | undefined {
    if (leaf.cut.split === 'even') return undefined
    const blocks = this.blocksAt(leaf, leaf.cut.schedule)
    const division = isRefusal(blocks) ? blocks : this.divisionOf(leaf, blocks)
    if (isRefusal(division)) return undefined
    return division.borders.slice(1).map((border, chunk) => border - (division.borders[chunk] ?? 0))
  }

  private candidate(leaf: Leaf, score: number): Candidate {
    const { seconds, bytes } = this.figures(leaf)
    const choices = this.choicesOf(leaf)
    const metrics = trainingMetrics(this.pace, seconds, bytes)
    return { name: nameOf(choices), choices, score, metrics: this.aim.shown(metrics) }
  }

  private evaluateScore(leaf: Leaf): number {
    const { seconds, bytes } = this.figures(leaf)
    return this.aim.bound(seconds, bytes)
  }

  private slots(group: Group): Node[] {
    const sizes = this.question.choices['microbatch'] ?? [this.base.microbatch ?? 1]
    return sizes
      .map((microbatch): Node & Slot => ({ level: 'slot', group, microbatch: Number(microbatch) }))
      .filter((slot) => this.staged(slot).length > 0)
  }

  private staged(slot: Slot): (Staged & { readonly level: 'staged' })[] {
    const { group, microbatch } = slot
    const { batch, parallel } = this.base
    const inner = multiplying.reduce((all, name) => all * Number(group.choices[name] ?? parallel[name]), 1)
    const again = dividing.reduce((all, name) => all * Number(group.choices[name] ?? parallel[name]), 1)
    return (this.question.choices['pp'] ?? [parallel.pp]).flatMap((value) => {
      const pp = Number(value)
      const dp = group.ranks / pp
      const microbatches = batch / (parallel.replicas * dp * microbatch)
      const fits = Number.isInteger(dp) && Number.isInteger(microbatches) && pp <= this.model.layers.length
      const dps = this.question.choices['dp']
      if (!fits || (dp * inner) % again !== 0 || (dps && !dps.includes(dp))) return []
      return [{ level: 'staged' as const, group, microbatch, pp, dp, microbatches }]
    })
  }

  private cuts(pp: number): readonly Cut[] {
    if (pp === 1) return [{ schedule: '1f1b', virtual: 1, split: 'even' }]
    const { choices } = this.question
    const { options } = this.base
    const names = choices['schedule'] ?? [options.schedule ?? '1f1b']
    const virtuals = choices['virtual'] ?? [options.virtual ?? 1]
    const splits = choices['split'] ?? ['even']
    return names.flatMap((schedule) =>
      this.chunksOf(String(schedule), virtuals)
        .filter((virtual) => virtual * pp <= this.model.layers.length)
        .flatMap((virtual) =>
          splits.map(
            (split): Cut => ({ schedule: String(schedule), virtual, split: split === 'balanced' ? split : 'even' }),
          ),
        ),
    )
  }

  /** The numbers of chunks, of those to choose from, that a schedule may have; one that a schedule fixes needs no choice. */
  private chunksOf(schedule: string, virtuals: readonly Value[]): readonly number[] {
    const known = this.chunks.get(schedule)
    if (known) return known
    const works = (virtual: number) => typeof this.model.pipelines.of(schedule, 2, virtual, 8) !== 'string'
    const some = virtuals.map(Number).filter(works)
    const found = some.length > 0 ? some : [2, 1].filter(works).slice(0, 1)
    this.chunks.set(schedule, found)
    return found
  }

  private stored(dp: number): readonly Stored[] {
    const { choices } = this.question
    const zeros = (choices['zero'] ?? [this.base.options.zero]).map(Number)
    const replicates = (choices['dpReplicate'] ?? [this.base.parallel.dpReplicate]).map(Number)
    if (dp === 1) return zeros.includes(0) || zeros.length === 0 ? [{ zero: 0, replicate: 1 }] : []
    return zeros.flatMap((zero) =>
      replicates
        .filter((replicate) => (zero === 0 ? replicate === 1 : dp % replicate === 0 && replicate < dp))
        .map((replicate) => ({ zero, replicate })),
    )
  }

  /** The spec of a node as far as it is decided. */
  specOf(node: Staged, cut?: Cut, stored?: Stored): PlannedSpec {
    const { group, microbatch, pp, dp } = node
    const { schedule = '1f1b', virtual = 1 } = cut ?? {}
    return this.model.specOf({
      ...group.choices,
      microbatch,
      pp,
      dp,
      schedule,
      virtual,
      zero: stored?.zero ?? 0,
      dpReplicate: stored?.replicate ?? 1,
    })
  }

  private placed(node: Staged, stored?: Stored): Placed | Refusal {
    return this.model.placed(this.specOf(node, undefined, stored))
  }

  /** What layers cost on a slot, measured on any of its meshes. */
  private blocksOf(slot: Slot): BlockCosts | Refusal | undefined {
    const [first] = this.staged(slot)
    return first && this.blocksAt(first, '1f1b')
  }

  private blocksAt(node: Staged, schedule: string): BlockCosts | Refusal {
    const placed = this.placed(node)
    if (isRefusal(placed)) return placed
    const spec = this.specOf(node, { schedule, virtual: 1, split: 'even' })
    return this.model.blockCosts(spec, `${node.group.name} ${node.microbatch}`, placed)
  }

  private divisionOf(node: CutNode | Leaf, blocks: BlockCosts): Division | Refusal {
    const { cut, pp, microbatches, group, microbatch } = node
    const placed = this.placed(node)
    if (isRefusal(placed)) return placed
    const key = `${group.name} ${microbatch} ${pp} ${microbatches} ${JSON.stringify(cut)} ${placed.links}`
    const known = this.divisions.get(key)
    if (known) return known
    const made = this.divide(node, blocks, placed)
    this.divisions.set(key, made)
    return made
  }

  private divide(
    { cut, pp, microbatches }: CutNode | Leaf,
    blocks: BlockCosts,
    { machine }: Placed,
  ): Division | Refusal {
    const pipeline = this.model.pipelines.of(cut.schedule, pp, cut.virtual, microbatches)
    if (typeof pipeline === 'string') return { rule: 'schedule', why: pipeline }
    const total = this.model.layers.length
    const count = pp * cut.virtual
    const send = pp > 1 ? collectiveSeconds(machine.group(['pp']), { op: 'send', bytes: blocks.sendBytes }) : 0
    const even = Array.from({ length: count + 1 }, (_, chunk) => Math.floor((chunk * total) / count))
    if (cut.split === 'even') return { pipeline, borders: even, send }
    const secondsOf = (part: string) => {
      const { F = 0, B = 0, I = 0, W = 0 } = blocks.parts.get(part)?.seconds ?? {}
      return F + B + I + W
    }
    const balance = balanceStages({
      layers: total,
      stages: count,
      microbatches: Math.max(2, microbatches),
      time: layerSums(
        this.model.layers.map(secondsOf),
        (stage) => (stage === 0 ? secondsOf('first') : 0) + (stage === count - 1 ? secondsOf('last') : 0),
      ),
    })
    const borders = balance && [0, ...balance.stages.map(({ end }) => end)]
    if (!borders || borders.every((border, index) => border === even[index]))
      return { rule: 'split', why: 'Layers that are divided by what they take are divided evenly.' }
    return { pipeline, borders, send }
  }

  private partsOf(leaf: Leaf):
    | {
        readonly division: Division
        readonly stages: StageCost[]
        readonly seconds: StageSeconds
        readonly model: Model
      }
    | Refusal {
    const blocks = this.blocksAt(leaf, leaf.cut.schedule)
    if (isRefusal(blocks)) return blocks
    const division = this.divisionOf(leaf, blocks)
    if (isRefusal(division)) return division
    const placed = this.placed(leaf, leaf.stored)
    if (isRefusal(placed)) return placed
    const states = this.model.stateCosts(this.specOf(leaf, leaf.cut, leaf.stored), stateName(leaf.group), placed)
    if (isRefusal(states)) return states
    const model = this.model.modelOf(blocks, states, placed.machine)
    const stages = this.stagesOf(model, division)
    return { division, stages, seconds: secondsOf(division.pipeline, stages, division.send), model }
  }

  private stagesOf(model: Model, { borders }: Division): StageCost[] {
    return borders.slice(1).map((to, chunk) => stageOf(model, borders[chunk] ?? 0, to, this.model.layers.length))
  }

  private peakOf(leaf: Leaf): number {
    const parts = this.partsOf(leaf)
    return isRefusal(parts) ? 0 : peakBytesOf(parts.division.pipeline, parts.stages)
  }

  /** No candidate below takes less: each microbatch passes all layers, and the busiest rank of a pipeline has its share. */
  private leastSeconds(node: Node): number {
    if (node.level === 'root' || node.level === 'group') return 0
    if (node.level === 'slot' || node.level === 'staged') {
      const blocks = node.level === 'slot' ? this.blocksOf(node) : this.blocksAt(node, '1f1b')
      if (!blocks || isRefusal(blocks)) return 0
      const all = wholeSeconds(blocks, this.model.layers)
      const { batch, parallel } = this.base
      return (batch / (parallel.replicas * node.microbatch * node.group.ranks)) * all * (1 - rounding)
    }
    const blocks = this.blocksAt(node, node.cut.schedule)
    if (isRefusal(blocks)) return 0
    if (node.level === 'leaf') {
      const parts = this.partsOf(node)
      return isRefusal(parts) ? 0 : leastSeconds(parts.division.pipeline, parts.seconds) * (1 - rounding)
    }
    const division = this.divisionOf(node, blocks)
    if (isRefusal(division)) return 0
    const model: Model = {
      parts: blocks.parts,
      states: stateless,
      layers: this.model.layers,
      contention: 0,
      blocking: false,
    }
    const stages = this.stagesOf(model, division)
    return leastSeconds(division.pipeline, secondsOf(division.pipeline, stages, division.send)) * (1 - rounding)
  }
}

/** What sums in another order may differ by. */
const rounding = 1e-9

/** Choices that costs of layers do not depend on. */
const later: readonly string[] = ['dp', 'pp', 'dpReplicate', 'microbatch', 'zero', 'schedule', 'virtual', 'split']

/** A choice that changes nothing beside those that are made. */
function isIdle(name: string, value: Value, chosen: Choices): boolean {
  if (name === 'sequenceParallel') return value === true && chosen['tp'] === 1
  if (name === 'expertTp') return Number(value) > 1 && chosen['ep'] === undefined
  return false
}

function isMultiplying(name: string, axes: readonly string[]): boolean {
  return (multiplying as readonly string[]).includes(name) || axes.includes(name)
}

/** Groups with the same space below them. */
function sizeKey({ choices, ranks }: Group): string {
  return `${ranks} ${[...multiplying, ...dividing].map((name) => choices[name]).join(' ')}`
}

/** The choices of a group that what is stored depends on. */
function stateName({ choices }: Group): string {
  const { recompute: _, offload: __, ...rest } = choices
  return JSON.stringify(rest)
}

/** What one microbatch takes from end to end. */
function wholeSeconds({ parts }: BlockCosts, layers: readonly string[]): number {
  let all = 0
  const of = (part: string) => {
    const { F = 0, B = 0, I = 0, W = 0 } = parts.get(part)?.seconds ?? {}
    return F + B + I + W
  }
  for (const layer of layers) all += of(layer)
  return all + of('first') + of('last')
}

/** The name of what was chosen, such as `dp=8 tp=8 pp=4 microbatch=1 zero=1`. */
export function nameOf(choices: Choices): string {
  return Object.entries(choices)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')
}
