import type { Candidate, ChoiceTree, Miss, Rejection } from '@shardloom/search'
import type { LoadedSpec } from '../plan.js'
import type { PlannedSpec } from '../sequence.js'
import type { Choices, Value } from './choices.js'
import { Endings } from './endings.js'
import { degreesOf, groupOf, groupsOf, isMultiplying, later } from './groups.js'
import { LeastWaits } from './least-waits.js'
import { figuresOf, leastOf, rounding } from './parts.js'
import type { Group } from './place.js'
import type { Question } from './question.js'
import { Slots } from './slots.js'
import type { Staging } from './staging.js'
import { Least } from './step-least.js'
import { type Aim, aimOf, type Figures, metricsAt, type Pace, paceOf, roomOn, type StepPhase } from './step-metrics.js'
import { isRefusal, mayOverlap, StepModel } from './step-model.js'
import type { Leaf, Node, Sizes } from './step-nodes.js'

/**
 * The tree of choices of a search for steps: of training, of prefill or of decode. From the root down are decided: how many ranks there are,
 * what layers cost (degrees of tensor, context and expert parallelism, recomputation and what else strategies do inside of a stage), the
 * size of microbatches, the stages, their schedule and layers, and last what data-parallel ranks share. Bounds come from costs that are
 * known by then. Steps of inference are forwards alone, which every stage runs in one order, and share nothing.
 */
export class StepTree implements ChoiceTree<Node> {
  readonly model: StepModel
  readonly aim: Aim
  private readonly base: PlannedSpec
  private readonly paces = new Map<number, Pace>()
  private readonly endings: Endings
  private readonly waits: LeastWaits
  /** Candidates of groups, by what decides how many there are. */
  private readonly sizes = new Map<string, number>()
  private readonly slots: Slots
  /** What is known of the leaf that was asked for last. */
  private last: { readonly leaf: Leaf; readonly parts: ReturnType<Staging['partsOf']>; figures?: Figures } | undefined

  constructor(
    readonly loaded: LoadedSpec,
    private readonly question: Question,
    readonly root: Node = { level: 'root', groups: [] },
    model?: StepModel,
  ) {
    this.model = model ?? new StepModel(loaded, mayOverlap(question, loaded))
    this.base = this.model.base
    this.endings = new Endings(this.model, question)
    this.waits = new LeastWaits(this.model, this.endings)
    this.slots = new Slots(this.model, question, (ranks) => roomOn(this.paceAt(ranks), question.limits))
    this.aim = aimOf(loaded.spec.phase as StepPhase, question) // serving is no step
  }

  /** The same space below other nodes, with what is known of it. */
  from(root: Node): ChoiceTree<Node> {
    return Object.assign(Object.create(this) as StepTree, { root })
  }

  private get isTraining(): boolean {
    return this.loaded.spec.phase === 'training'
  }

  /** The pace of steps on so many ranks. */
  paceAt(ranks: number): Pace {
    const known = this.paces.get(ranks) ?? paceOf(this.loaded, ranks)
    this.paces.set(ranks, known)
    return known
  }

  private sizesOf(group: Group): Sizes {
    return { level: 'slots', group, slots: this.slots.of(group), known: 'least' }
  }

  /** Nothing is faster in smaller microbatches. */
  private leastOfSizes({ group, slots: [largest], known }: Sizes): number {
    if (!largest) return 0
    const { microbatch } = largest.wide[0] ?? largest
    if (known === 'least') return this.model.leastWork.of(group, microbatch)
    return Math.min(...largest.wide.map((each) => each.leastWork()))
  }

  /** Sizes to be measured, and apart those before them that would wait for too long in any pipeline: for these nothing is. */
  private apartBeyond(node: Sizes, most: number): Node[] {
    const { group, slots } = node
    const pace = this.paceAt(group.world)
    const bytes = this.leastBytes(group)
    const apart: Node[] = []
    for (const slot of slots) {
      const least = this.waits.ofSlot(group, slot)
      if (!(this.aim.bound({ seconds: least, bytes }, pace) > most)) break
      apart.push({ level: 'slot', group, ...slot, least })
    }
    const left = slots.slice(apart.length)
    return left.length > 0 ? [...apart, { ...node, slots: left, known: 'own' }] : apart
  }

  /** However it is divided, all ranks together store all of the model. */
  private leastBytes({ world }: Group): number {
    return (this.model.leastStoredInAll / world) * (1 - rounding)
  }

  /** The groups of the whole space. */
  groups(): Group[] {
    return groupsOf(this.question, this.base.parallel.replicas, this.model)
  }

  expand(node: Node, most: number = Number.POSITIVE_INFINITY): Iterable<Node> | null {
    switch (node.level) {
      case 'root':
        return node.groups.map((group) => ({ level: 'group', group }))
      case 'group':
        return [this.sizesOf(node.group)]
      case 'slots': {
        const { group, known } = node
        const [first, ...slots] = node.slots
        if (!first) return []
        if (known === 'least') return this.apartBeyond(node, most)
        const rest: Sizes = { ...node, slots, known: 'least' }
        return [{ level: 'slot', group, ...first }, ...(slots.length > 0 ? [rest] : [])]
      }
      case 'slot':
        return node.stagings.map((staging) => ({ level: 'staged', staging }))
      case 'staged':
        return this.endings.cuts(node.staging.pp).map((cut) => ({ level: 'cut', staging: node.staging, cut }))
      case 'cut':
        // Many take longer as they are divided than they may.
        return [{ ...node, level: 'divided' }]
      case 'divided':
        return this.endings.sharings(node.staging.dp).map((sharing) => ({ ...node, level: 'zero', sharing }))
      case 'zero':
        return node.sharing.map((stored) => ({ level: 'stored', staging: node.staging, cut: node.cut, stored }))
      case 'stored':
        return [{ ...node, level: node.staging.isDivided(node.cut) ? 'apart' : 'leaf' }]
      case 'apart':
        // What is found out of it in passing bounds many before any is planned.
        return [{ ...node, level: 'leaf' }]
      case 'leaf':
        return null
    }
  }

  size(node: Node): number {
    switch (node.level) {
      case 'root':
        return node.groups.reduce((sum, group) => sum + this.size({ level: 'group', group }), 0)
      case 'group': {
        const { choices, degrees, ranks } = node.group
        const key = `${choices['order']} ${degrees} ${ranks}`
        const known = this.sizes.get(key) ?? this.size(this.sizesOf(node.group))
        this.sizes.set(key, known)
        return known
      }
      case 'slots':
        return node.slots.reduce((sum, slot) => sum + this.size({ level: 'slot', group: node.group, ...slot }), 0)
      case 'slot':
        return node.stagings.reduce((sum, staging) => sum + this.endingsOf(staging), 0)
      case 'staged':
        return this.endingsOf(node.staging)
      case 'cut':
      case 'divided':
        return this.endings.stored(node.staging.dp).length
      case 'zero':
        return node.sharing.length
      case 'stored':
      case 'apart':
      case 'leaf':
        return 1
    }
  }

  /** In how many ways stages may end. */
  private endingsOf({ pp, dp }: { readonly pp: number; readonly dp: number }): number {
    return this.endings.cuts(pp).length * this.endings.stored(dp).length
  }

  reject(node: Node, nearest: (rule: string) => number = () => Infinity): Rejection | undefined {
    const isBeyond = ({ rule, by = 0 }: Rejection) => by > nearest(rule)
    switch (node.level) {
      case 'root':
        return undefined
      case 'group':
      case 'slots':
      case 'slot':
        return this.farFromLimits(node)
      case 'staged':
        return refused(node.staging.plainCosts()) ?? this.farFromLimits(node)
      case 'cut':
        return refused(node.staging.divisionOf(node.cut))
      case 'divided': {
        const { staging, cut } = node
        const kept = this.tooLarge(node, staging.leastBytes(cut, undefined, true))
        if (kept && isBeyond(kept)) return kept
        const shared = this.endings.sharings(staging.dp).at(-1)?.[0]
        return this.tooLarge(node, staging.leastBytes(cut, shared, true)) ?? this.farFromLimits(node)
      }
      case 'zero':
        // Of replicas each holds all: fewer hold no less.
        return this.tooLarge(node, node.staging.leastBytes(node.cut, node.sharing[0], true))
      case 'stored':
      case 'apart': {
        const { level, staging, cut, stored } = node
        const refusal = level === 'apart' ? refused(staging.plainCosts(cut.schedule)) : undefined
        const large = this.tooLarge(node, staging.leastBytes(cut, stored, level === 'stored'))
        return refusal ?? (large && isBeyond(large) ? large : undefined)
      }
      case 'leaf': {
        const parts = this.parts(node)
        return isRefusal(parts) ? { rule: parts.rule } : this.tooLarge(node, leastOf(parts).bytes)
      }
    }
  }

  private tooLarge(node: Node, own: number): Rejection | undefined {
    const { reserveBytes, capacityBytes } = this.paceOf(node)
    const bytes = reserveBytes + own
    return bytes > capacityBytes ? { rule: 'memory', by: bytes / capacityBytes - 1 } : undefined
  }

  /** A limit that nothing below keeps. */
  private farFromLimits(node: Node): Rejection | undefined {
    if (this.question.limits.length === 0) return undefined
    return this.aim.leastMiss(this.least(node), this.paceOf(node))
  }

  bound(node: Node): number {
    return this.aim.bound(this.least(node), this.paceOf(node))
  }

  corner(node: Node): readonly [number, number] {
    return this.aim.corner(this.least(node), this.paceOf(node))
  }

  /** Whether bounds keep a leaf above a score. */
  exceeds(leaf: Leaf, score: number): boolean {
    const { staging, cut } = leaf
    const levels: readonly Node[] = [
      { level: 'group', group: staging.group },
      { level: 'staged', staging },
      { level: 'cut', staging, cut },
      { level: 'divided', staging, cut },
      { ...leaf, level: 'stored' },
      ...(staging.isDivided(cut) ? [{ ...leaf, level: 'apart' } as const] : []),
    ]
    return levels.some((node) => this.bound(node) > score)
  }

  evaluate(leaf: Node): number | Rejection {
    return this.aim.judge(this.metrics(leaf as Leaf))
  }

  describe(leaf: Node, score: number): Candidate {
    const choices = this.choicesOf(leaf as Leaf)
    return { name: nameOf(choices), choices, score, metrics: this.aim.shown(this.metrics(leaf as Leaf)) }
  }

  describeMiss(node: Node): Candidate {
    return this.describe(node, this.aim.bound(this.figures(node as Leaf), this.paceOf(node)))
  }

  /** Step time and peak memory of a leaf that can be planned, by the analytic model. */
  figures(leaf: Leaf): Figures {
    const parts = this.parts(leaf)
    if (isRefusal(parts)) throw new Error(`internal error: a refused candidate was evaluated: ${parts.why}`)
    if (!this.last) return figuresOf(parts)
    return (this.last.figures ??= figuresOf(parts))
  }

  /** What a leaf has chosen, in the order in which candidates are named. */
  choicesOf({ staging: { group, microbatch, pp, dp }, cut, stored }: Leaf): Choices {
    const { schedule, virtual, split } = cut
    const { ranks, ...inner } = group.choices
    return {
      ...(ranks !== undefined && { ranks }),
      [this.model.copies]: dp,
      ...(stored.replicate > 1 && { dpReplicate: stored.replicate }),
      ...inner,
      pp,
      microbatch,
      ...(this.isTraining && { zero: stored.zero }),
      ...(pp > 1 && { ...(this.isTraining && { schedule, virtual }), split }),
    }
  }

  /**
   * The leaf of these choices; what is not chosen has the first of its values, and dp takes the ranks that are left. Undefined where no
   * candidate has them.
   */
  leafOf(choices: Choices): Leaf | undefined {
    const chosen = (name: string) => choices[name] ?? this.question.choices[name]?.[0]
    const world = Number(chosen('ranks') ?? this.question.ranks)
    const inner = Object.keys(this.question.choices).filter((name) => !later.includes(name))
    const own = Object.fromEntries(inner.flatMap((name) => [[name, chosen(name) as Value]]))
    const taken = inner.filter((name) => isMultiplying(name, this.model))
    const ranks = taken.reduce((left, name) => left / Number(own[name]), world / this.base.parallel.replicas)
    if (!Number.isInteger(ranks)) return undefined
    const pp = Number(chosen('pp') ?? this.base.parallel.pp)
    const microbatch = Number(chosen('microbatch') ?? this.base.microbatch ?? 1)
    // Of orders that lay ranks alike a candidate has the first.
    const order = this.slots.orders.firstOf(own, degreesOf(own, this.model), { dp: ranks / pp, pp })
    const group = groupOf({ ...own, ...(order !== undefined && { order }) }, ranks, world, this.model)
    const staging = this.slots.stagings(group, microbatch).find((each) => each.pp === pp)
    const zero = Number(choices['zero'] ?? 0)
    const replicate = Number(choices['dpReplicate'] ?? 1)
    const cut = this.endings
      .cuts(pp)
      .find(
        ({ schedule, virtual, split }) =>
          pp === 1 ||
          ((!this.isTraining || schedule === chosen('schedule')) &&
            (choices['virtual'] === undefined || virtual === choices['virtual']) &&
            split === (choices['split'] ?? 'even')),
      )
    const stored =
      staging &&
      this.endings
        .stored(staging.dp)
        .find((each) => each.zero === (staging.dp === 1 ? 0 : zero) && each.replicate === replicate)
    return staging && cut && stored ? { level: 'leaf', staging, cut, stored } : undefined
  }

  /** A candidate as a search judges it: by its score and metrics, or by the rule that it breaks. */
  judge(leaf: Leaf): Candidate | Miss {
    const { staging, cut } = leaf
    const refusal = [staging.blocksFor(cut.schedule), staging.divisionOf(cut), this.parts(leaf)].find(isRefusal)
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

  /** What a leaf is made of. */
  private parts(leaf: Leaf): ReturnType<Staging['partsOf']> {
    if (this.last?.leaf !== leaf) this.last = { leaf, parts: leaf.staging.partsOf(leaf.cut, leaf.stored) }
    return this.last.parts
  }

  private metrics(leaf: Leaf): Record<string, number> {
    return metricsAt(this.paceOf(leaf), this.figures(leaf))
  }

  /** The pace below a node; of the root that of the fewest ranks, of which no metric is worse. */
  private paceOf(node: Node): Pace {
    switch (node.level) {
      case 'root': {
        return this.paceAt(node.groups.reduce((fewest, { world }) => Math.min(fewest, world), this.question.ranks))
      }
      case 'group':
      case 'slots':
      case 'slot':
        return this.paceAt(node.group.world)
      default:
        return this.paceAt(node.staging.group.world)
    }
  }

  private least(node: Node): Figures {
    switch (node.level) {
      case 'root':
        return nothing
      case 'group':
        return { seconds: this.model.leastWork.of(node.group, this.slots.covering), bytes: this.leastBytes(node.group) }
      case 'slots':
        return { seconds: this.leastOfSizes(node), bytes: this.leastBytes(node.group) }
      case 'slot':
        return {
          seconds: node.least ?? Math.min(...node.stagings.map((staging) => staging.leastWork())),
          bytes: this.leastBytes(node.group),
        }
      case 'leaf': {
        const parts = this.parts(node)
        return isRefusal(parts) ? nothing : leastOf(parts)
      }
      default:
        return new Least(node)
    }
  }
}

const nothing = { seconds: 0, bytes: 0 }

function refused(found: object | undefined): Rejection | undefined {
  return found && isRefusal(found) ? { rule: found.rule } : undefined
}

/** The name of what was chosen, such as `dp=8 tp=8 pp=4 microbatch=1 zero=1`. */
export function nameOf(choices: Choices): string {
  return Object.entries(choices)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')
}
