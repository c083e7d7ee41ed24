import type { Candidate, ChoiceTree, Miss, Rejection } from '@shardloom/search'
import type { LoadedSpec } from '../plan.js'
import { reserveOf } from '../reserve.js'
import type { PlannedSpec } from '../sequence.js'
import { type Choices, dividing, multiplying, type Value } from './choices.js'
import { groupOf, groupsOf, isMultiplying, later } from './groups.js'
import type { Question } from './question.js'
import { type Cut, figuresOf, type Group, leastOf, Staging, type Stored } from './staging.js'
import { type Aim, aimOf, type Pace, paceOf, trainingMetrics } from './training-metrics.js'
import { isRefusal, TrainingModel } from './training-model.js'

/** How far a candidate is decided. */
export type Node =
  | { readonly level: 'root'; readonly groups: readonly Group[] }
  | { readonly level: 'group'; readonly group: Group }
  | {
      readonly level: 'slot'
      readonly group: Group
      readonly microbatch: number
      readonly stagings: readonly Staging[]
      /** The same with the largest microbatches that a search tries, which no smaller ones beat. */
      readonly widest: readonly Staging[]
    }
  | { readonly level: 'staged'; readonly staging: Staging }
  | { readonly level: 'cut'; readonly staging: Staging; readonly cut: Cut }
  | Leaf

/** A candidate. */
export interface Leaf {
  readonly level: 'leaf'
  readonly staging: Staging
  readonly cut: Cut
  readonly stored: Stored
}

/**
 * The tree of choices of a search for training. From the root down are decided: what layers cost (degrees of tensor, context and expert
 * parallelism, recomputation and what else strategies do inside of a stage), the size of microbatches, the stages, their schedule and
 * layers, and last what data-parallel ranks share. Bounds come from costs that are known by then.
 */
export class TrainingTree implements ChoiceTree<Node> {
  readonly model: TrainingModel
  readonly aim: Aim
  readonly pace: Pace
  private readonly base: PlannedSpec
  private readonly chunks = new Map<string, readonly number[]>()
  private readonly cutsOf = new Map<number, readonly Cut[]>()
  private readonly storedOf = new Map<number, readonly Stored[]>()
  private readonly sizes = new Map<string, number>()
  private last: { readonly leaf: Leaf; readonly parts: ReturnType<Staging['partsOf']> } | undefined

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

  /** The same space below other nodes, with what is known of it. */
  from(root: Node): ChoiceTree<Node> {
    return Object.assign(Object.create(this) as TrainingTree, { root })
  }

  /** The groups of the whole space. */
  groups(): Group[] {
    return groupsOf(this.question, this.base.parallel.replicas, this.model)
  }

  expand(node: Node): Iterable<Node> | null {
    switch (node.level) {
      case 'root':
        return node.groups.map((group) => ({ level: 'group', group }))
      case 'group':
        return this.slots(node.group)
      case 'slot':
        return node.stagings.map((staging) => ({ level: 'staged', staging }))
      case 'staged':
        return this.cuts(node.staging.pp).map((cut) => ({ level: 'cut', staging: node.staging, cut }))
      case 'cut':
        return this.stored(node.staging.dp).map((stored) => ({ ...node, level: 'leaf', stored }))
      case 'leaf':
        return null
    }
  }

  size(node: Node): number {
    switch (node.level) {
      case 'root':
        return node.groups.reduce((sum, group) => sum + this.size({ level: 'group', group }), 0)
      case 'group': {
        const { choices, ranks } = node.group
        const key = `${ranks} ${['order', ...multiplying, ...dividing].map((name) => choices[name]).join(' ')}`
        const known = this.sizes.get(key) ?? this.slots(node.group).reduce((sum, slot) => sum + this.size(slot), 0)
        this.sizes.set(key, known)
        return known
      }
      case 'slot':
        return node.stagings.reduce((sum, { pp, dp }) => sum + this.cuts(pp).length * this.stored(dp).length, 0)
      case 'staged':
        return this.cuts(node.staging.pp).length * this.stored(node.staging.dp).length
      case 'cut':
        return this.stored(node.staging.dp).length
      case 'leaf':
        return 1
    }
  }

  reject(node: Node): Rejection | undefined {
    switch (node.level) {
      case 'root':
      case 'group':
      case 'slot':
        return undefined
      case 'staged':
        return refused(node.staging.blocksFor('1f1b'))
      case 'cut': {
        const division = node.staging.divisionOf(node.cut)
        if (isRefusal(division)) return { rule: division.rule }
        return this.tooLarge(node.staging.leastBytes(node.cut)) ?? this.tooLarge(this.leastBytes(node))
      }
      case 'leaf': {
        const parts = this.parts(node)
        return isRefusal(parts) ? { rule: parts.rule } : this.tooLarge(leastOf(parts).bytes)
      }
    }
  }

  private tooLarge(own: number): Rejection | undefined {
    const { reserveBytes, capacityBytes } = this.pace
    const bytes = reserveBytes + own
    return bytes > capacityBytes ? { rule: 'memory', by: bytes / capacityBytes - 1 } : undefined
  }

  /** Of what shares most nothing is less. */
  private leastBytes({ staging, cut }: { readonly staging: Staging; readonly cut: Cut }): number {
    const most = (of: (stored: Stored) => number, all: readonly Stored[]) => {
      const found = Math.max(...all.map(of))
      return all.filter((stored) => of(stored) === found)
    }
    const [shared = nobody] = most(
      ({ replicate }) => -replicate,
      most(({ zero }) => zero, this.stored(staging.dp)),
    )
    return staging.leastBytes(cut, shared)
  }

  bound(node: Node): number {
    const { seconds, bytes } = this.least(node)
    return this.aim.bound(seconds, bytes)
  }

  corner(node: Node): readonly [number, number] {
    const { seconds, bytes } = this.least(node)
    return this.aim.corner(seconds, bytes)
  }

  evaluate(leaf: Node): number | Rejection {
    return this.aim.judge(this.metrics(leaf as Leaf))
  }

  describe(leaf: Node, score: number): Candidate {
    const choices = this.choicesOf(leaf as Leaf)
    return { name: nameOf(choices), choices, score, metrics: this.aim.shown(this.metrics(leaf as Leaf)) }
  }

  describeMiss(node: Node): Candidate {
    const { seconds, bytes } = this.figures(node as Leaf)
    return this.describe(node, this.aim.bound(seconds, bytes))
  }

  /** Step time and peak memory of a leaf that can be planned, by the analytic model. */
  figures(leaf: Leaf): { readonly seconds: number; readonly bytes: number } {
    const parts = this.parts(leaf)
    if (isRefusal(parts)) throw new Error(`internal error: a refused candidate was evaluated: ${parts.why}`)
    return figuresOf(parts)
  }

  /** What a leaf has chosen, in the order in which candidates are named. */
  choicesOf({ staging: { group, microbatch, pp, dp }, cut, stored }: Leaf): Choices {
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

  /**
   * The leaf of these choices; what is not chosen has the first of its values, and dp takes the ranks that are left. Undefined where no
   * candidate has them.
   */
  leafOf(choices: Choices): Leaf | undefined {
    const chosen = (name: string) => choices[name] ?? this.question.choices[name]?.[0]
    const inner = Object.keys(this.question.choices).filter((name) => !later.includes(name))
    const own = Object.fromEntries(inner.flatMap((name) => [[name, chosen(name) as Value]]))
    const taken = inner.filter((name) => isMultiplying(name, this.model))
    const ranks = taken.reduce(
      (left, name) => left / Number(own[name]),
      this.question.ranks / this.base.parallel.replicas,
    )
    if (!Number.isInteger(ranks)) return undefined
    const pp = Number(chosen('pp') ?? this.base.parallel.pp)
    const microbatch = Number(chosen('microbatch') ?? this.base.microbatch ?? 1)
    // Of orders that lay axes alike a candidate has the first.
    const orders = [own['order'], ...(this.question.choices['order'] ?? [])]
    const staging = orders
      .flatMap((order) => this.stagings(groupOf({ ...own, ...(order !== undefined && { order }) }, ranks), microbatch))
      .find((each) => each.pp === pp)
    const zero = Number(choices['zero'] ?? 0)
    const replicate = Number(choices['dpReplicate'] ?? 1)
    const cut = this.cuts(pp).find(
      ({ schedule, virtual, split }) =>
        pp === 1 ||
        (schedule === chosen('schedule') &&
          (choices['virtual'] === undefined || virtual === choices['virtual']) &&
          split === (choices['split'] ?? 'even')),
    )
    const stored =
      staging &&
      this.stored(staging.dp).find(
        (each) => each.zero === (staging.dp === 1 ? 0 : zero) && each.replicate === replicate,
      )
    return staging && cut && stored ? { level: 'leaf', staging, cut, stored } : undefined
  }

  /** A candidate as a search judges it: by its score and metrics, or by the rule that it breaks. */
  judge(leaf: Leaf): Candidate | Miss {
    const { staging, cut } = leaf
    const refusal = [staging.blocksFor(cut.schedule), staging.divisionOf(cut), staging.partsOf(cut, leaf.stored)].find(
      isRefusal,
    )
    const choices = this.choicesOf(leaf)
    if (refusal)
      return {
        name: nameOf(choices),
        choices,
        score: Number.MAX_VALUE,
        metrics: {},
        rule: refusal.rule,
        by: Number.MAX_VALUE,
      }
    const rejection = this.reject(leaf)
    if (rejection) return { ...this.describeMiss(leaf), by: 0, ...rejection }
    const score = this.evaluate(leaf)
    if (typeof score !== 'number') return { ...this.describeMiss(leaf), by: 0, ...score }
    return this.describe(leaf, score)
  }

  /** What a leaf is made of; of the one asked for last it is known. */
  private parts(leaf: Leaf): ReturnType<Staging['partsOf']> {
    if (this.last?.leaf !== leaf) this.last = { leaf, parts: leaf.staging.partsOf(leaf.cut, leaf.stored) }
    return this.last.parts
  }

  private metrics(leaf: Leaf): Record<string, number> {
    const { seconds, bytes } = this.figures(leaf)
    return trainingMetrics(this.pace, seconds, bytes)
  }

  private slots(group: Group): Extract<Node, { level: 'slot' }>[] {
    const sizes = this.question.choices['microbatch'] ?? [this.base.microbatch ?? 1]
    const largest = Math.max(...sizes.map(Number))
    const wide = new Map<number, Staging>()
    return sizes.map(Number).flatMap((microbatch) => {
      const stagings = this.stagings(group, microbatch)
      if (stagings.length === 0) return []
      const widest = stagings.map((staging) => {
        const known = wide.get(staging.pp) ?? staging.inMicrobatchesOf(largest)
        wide.set(staging.pp, known)
        return known
      })
      return [{ level: 'slot' as const, group, microbatch, stagings, widest }]
    })
  }

  private stagings(group: Group, microbatch: number): Staging[] {
    const { batch, parallel } = this.base
    const degree = (name: string) => Number(group.choices[name] ?? parallel[name] ?? 1)
    const inner = multiplying.reduce((all, name) => all * degree(name), 1)
    const again = dividing.reduce((all, name) => all * degree(name), 1)
    const dps = this.question.choices['dp']
    return (this.question.choices['pp'] ?? [parallel.pp]).map(Number).flatMap((pp) => {
      const dp = group.ranks / pp
      const microbatches = batch / (parallel.replicas * dp * microbatch)
      const fits = Number.isInteger(dp) && Number.isInteger(microbatches) && pp <= this.model.layers.length
      if (!fits || (dp * inner) % again !== 0 || (dps && !dps.includes(dp))) return []
      if (this.isLaidBefore(group.choices, { dp, pp })) return []
      return [new Staging(this.model, group, microbatch, pp, dp, microbatches)]
    })
  }

  /** Whether an order that stands before a group's lays its axes as that does: axes of one rank are nowhere. */
  private isLaidBefore(choices: Choices, outer: Choices): boolean {
    const orders = (this.question.choices['order'] ?? []).map(String)
    const { parallel } = this.base
    const isAtWork = (axis: string) => (outer[axis] ?? choices[axis] ?? parallel[axis] ?? 1) !== 1
    const laid = (order: string) => order.split(',').filter(isAtWork).join(',')
    const own = String(choices['order'])
    return orders.slice(0, Math.max(0, orders.indexOf(own))).some((other) => laid(other) === laid(own))
  }

  private cuts(pp: number): readonly Cut[] {
    const known = this.cutsOf.get(pp) ?? this.allCuts(pp)
    this.cutsOf.set(pp, known)
    return known
  }

  private allCuts(pp: number): Cut[] {
    if (pp === 1) return [{ schedule: '1f1b', virtual: 1, split: 'even' }]
    const { choices } = this.question
    const { options } = this.base
    const virtuals = choices['virtual'] ?? [options.virtual ?? 1]
    const splits = choices['split'] ?? ['even']
    return (choices['schedule'] ?? [options.schedule ?? '1f1b']).map(String).flatMap((schedule) =>
      this.chunksOf(schedule, virtuals)
        .filter((virtual) => virtual * pp <= this.model.layers.length)
        .flatMap((virtual) =>
          splits.map((split): Cut => ({ schedule, virtual, split: split === 'balanced' ? split : 'even' })),
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
    const known = this.storedOf.get(dp) ?? this.allStored(dp)
    this.storedOf.set(dp, known)
    return known
  }

  private allStored(dp: number): Stored[] {
    const { choices } = this.question
    const zeros = (choices['zero'] ?? [this.base.options.zero]).map(Number)
    const replicates = (choices['dpReplicate'] ?? [this.base.parallel.dpReplicate]).map(Number)
    // A single rank has nobody to share with, whatever was asked for.
    if (dp === 1) return [{ zero: 0, replicate: 1 }]
    return zeros.flatMap((zero) =>
      replicates
        .filter((replicate) => (zero === 0 ? replicate === 1 : dp % replicate === 0 && replicate < dp))
        .map((replicate) => ({ zero, replicate })),
    )
  }

  private least(node: Node): { readonly seconds: number; readonly bytes: number } {
    switch (node.level) {
      case 'root':
        return nothing
      case 'group':
        return { seconds: this.model.leastSeconds(node.group, this.base, this.question.ranks), bytes: 0 }
      case 'slot':
        return { seconds: Math.min(...node.widest.map((staging) => this.leastWork(staging))), bytes: 0 }
      case 'staged':
        return { seconds: this.leastWork(node.staging), bytes: 0 }
      case 'cut':
        return { seconds: node.staging.leastSeconds(node.cut), bytes: 0 }
      case 'leaf': {
        const parts = this.parts(node)
        return isRefusal(parts) ? nothing : leastOf(parts)
      }
    }
  }

  /** Of whole backwards; what runs them apart is no more than these. */
  private leastWork(staging: Staging): number {
    return staging.leastWork('1f1b')
  }
}

const nothing = { seconds: 0, bytes: 0 }
const nobody: Stored = { zero: 0, replicate: 1 }

function refused(found: object | undefined): Rejection | undefined {
  return found && isRefusal(found) ? { rule: found.rule } : undefined
}

/** The name of what was chosen, such as `dp=8 tp=8 pp=4 microbatch=1 zero=1`. */
export function nameOf(choices: Choices): string {
  return Object.entries(choices)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')
}
