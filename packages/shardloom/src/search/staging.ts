import { collectiveSeconds } from '@shardloom/cluster'
import type { PlannedSpec } from '../sequence.js'
import { areSame, balancedBorders, sizesOf } from './borders.js'
import { type Model, type Passing, type StageCost, secondsOf, stageOf } from './estimate.js'
import { memoryValues, type PipelineBounds, type Sharing, timeValues } from './forms.js'
import { leastInRow } from './least-waits.js'
import { untilGradient } from './link-loads.js'
import { type Parts, rounding } from './parts.js'
import { type Chain, forwardOnly, type Pipeline } from './pipelines.js'
import { type Cut, type Group, type Place, type Stored, whole } from './place.js'
import { type BlockCosts, kernelsAlone } from './samples.js'
import { isRefusal, type Placed, type Refusal, type StepModel } from './step-model.js'

/** What is found of a candidate beside what was chosen. */
export interface Found {
  /** Of each chunk, where they are not divided evenly. */
  readonly layers?: readonly number[]
  readonly recompute?: PlannedSpec['options']['recompute']
}

/** A pipeline with its layers divided: the borders of its chunks. */
export interface Division {
  readonly pipeline: Pipeline
  readonly borders: readonly number[]
  readonly bounds: PipelineBounds
}

/** Of a schedule that has backward whole what it takes, of one that divides it the same, or what it would take and keep if it were whole. */
type Known = 0 | 1 | 2

/** What {@link PipelineBounds} ask of time, and what comes beside or behind the last microbatch. Seconds. */
interface LeastTimes {
  readonly values: Float64Array
  readonly late: number
}

/**
 * A model on stages: degrees and microbatches are decided, the pipeline's order and what is stored where are not. What candidates of it
 * share is found once.
 */
export class Staging implements Place {
  readonly group: Group
  readonly microbatch: number
  readonly pp: number
  readonly dp: number
  readonly microbatches: number
  /** Of schedules that have backward whole, and of those that divide it. */
  private readonly blocks: [whole?: BlockCosts | Refusal, divided?: BlockCosts | Refusal] = []
  /** By {@link Known}. */
  private readonly bytes: (Map<Stored | undefined, Float64Array> | undefined)[] = []
  private readonly times: (Map<Stored | undefined, LeastTimes> | undefined)[] = []
  private readonly pairTimes: (Map<Stored | undefined, LeastTimes> | undefined)[] = []
  private readonly balanced = new Map<number, readonly number[] | undefined>()
  private readonly divisions = new Map<Cut, Division | Refusal>()
  private readonly evenDivisions = new Map<Cut, Division | Refusal>()
  private readonly places = new Map<number, Placed | Refusal>()
  /** Where pairs do not overlap, and where they do. */
  private readonly work: [apart?: number, overlapping?: number] = []

  constructor(
    protected readonly model: StepModel,
    { group, microbatch, pp, dp, microbatches }: Place,
  ) {
    this.group = group
    this.microbatch = microbatch
    this.pp = pp
    this.dp = dp
    this.microbatches = microbatches
  }

  /** What a microbatch takes of each part, under schedules that run gradients of inputs and weights apart, or not. */
  blocksFor(schedule: string): BlockCosts | Refusal {
    const as = this.model.pipelines.isDivided(schedule) ? 1 : 0
    const known = this.blocks[as] ?? this.costsFor(schedule)
    this.blocks[as] = known
    return known
  }

  /** The same, found anew; `options` of the spec in place of those that the group has chosen. */
  protected costsFor(schedule: string, options: Partial<PlannedSpec['options']> = {}): BlockCosts | Refusal {
    const placed = this.placed()
    if (isRefusal(placed)) return placed
    const specOf = () => {
      const spec = this.specOf(schedule, whole)
      return { ...spec, options: { ...spec.options, ...options } }
    }
    const { recompute = this.group.choices['recompute'] } = options
    const inner = `${this.group.name} ${this.microbatch} ${JSON.stringify(recompute)}`
    return this.model.blockCosts(specOf, inner, this.model.pipelines.isDivided(schedule), placed)
  }

  /** The same of layers that do nothing to save memory: no others take less, forward and backward together. */
  plainCosts(schedule = this.model.plain): BlockCosts | Refusal {
    return this.blocksFor(schedule)
  }

  /** Costs of which nothing takes less in any direction. */
  protected leastCosts(schedule: string): BlockCosts | Refusal {
    return this.blocksFor(schedule)
  }

  /** The chunks of a cut; refused where the schedule cannot be, or where balancing changes nothing. */
  divisionOf(cut: Cut): Division | Refusal {
    const known = this.divisions.get(cut)
    if (known) return known
    const found = this.divide(cut)
    this.divisions.set(cut, found)
    return found
  }

  /** The options of a candidate that its choices alone do not tell. */
  optionsOf(cut: Cut, _stored: Stored): Found {
    const division = cut.split === 'even' ? undefined : this.divisionOf(cut)
    return !division || isRefusal(division) ? {} : { layers: sizesOf(division.borders) }
  }

  /** A candidate, or why it cannot be planned. */
  partsOf(cut: Cut, stored: Stored): Parts | Refusal {
    const blocks = this.blocksFor(cut.schedule)
    if (isRefusal(blocks)) return blocks
    const division = this.divisionOf(cut)
    if (isRefusal(division)) return division
    const model = this.modelFor(blocks, cut, stored)
    if (isRefusal(model)) return model
    const { pipeline } = division
    const stages = this.stagesOf(model, division)
    return { pipeline, stages, seconds: secondsOf(pipeline, stages, this.passing(blocks)), overlap: model }
  }

  /** Parts with these costs and what candidates store of them. */
  protected modelFor(blocks: BlockCosts, { schedule }: Cut, stored: Stored): Model | Refusal {
    const placed = this.placed(stored.replicate)
    if (isRefusal(placed)) return placed
    const states = this.model.stateCosts(() => this.specOf(schedule, stored), this.stored, stored, placed)
    return isRefusal(states) ? states : this.model.modelOf(blocks, states, placed.machine, this, schedule)
  }

  /**
   * No candidate of a cut holds less that stores no less than `stored` does: what pipelines keep, and what is stored, without what is
   * whole for a while. Nobody asked what is stored, it is what pipelines keep. `whole`: as if backward were whole, which apart keeps no less.
   */
  leastBytes(cut: Cut, stored?: Stored, whole = false): number {
    const division = this.divisionOf(cut)
    if (isRefusal(division)) return 0
    const values = this.bytesOf(cut.schedule, this.known(cut.schedule, whole), stored)
    return values ? division.bounds.bytes.of(values) * (1 - rounding) : 0
  }

  /** Whether a schedule divides backward. */
  isDivided({ schedule }: Cut): boolean {
    return this.model.pipelines.isDivided(schedule)
  }

  protected known(schedule: string, whole: boolean): Known {
    return !this.model.pipelines.isDivided(schedule) ? 0 : whole ? 2 : 1
  }

  /** What {@link PipelineBounds} ask of memory; undefined of what is refused. */
  protected bytesOf(schedule: string, as: Known, stored: Stored | undefined): Float64Array | undefined {
    const known = this.bytes[as]?.get(stored)
    if (known) return known
    const blocks = this.blocksFor(as === 1 ? schedule : this.model.plain)
    const found = isRefusal(blocks) ? undefined : this.bytesWith(blocks, schedule, stored, as === 2)
    if (found) this.bytes[as] = (this.bytes[as] ?? new Map()).set(stored, found)
    return found
  }

  /** The same with these costs of layers. */
  protected bytesWith(blocks: BlockCosts, schedule: string, stored: Stored | undefined, kept = false) {
    const placed = this.placed()
    if (isRefusal(placed)) return undefined
    const bytes = stored && this.model.leastStored(() => this.specOf(schedule, whole), this.stored, stored, placed)
    return bytes && isRefusal(bytes) ? undefined : memoryValues(this.model.parts, blocks, kept, bytes)
  }

  /** What {@link PipelineBounds} ask of time; undefined of what is refused. */
  protected timesOf(schedule: string, as: Known, stored?: Stored): LeastTimes | undefined {
    const overlaps = this.model.pipelines.overlaps(schedule)
    const all = overlaps ? this.pairTimes : this.times
    const known = all[as]?.get(stored)
    if (known) return known
    const blocks = this.leastCosts(as === 1 ? schedule : this.model.plain)
    if (isRefusal(blocks)) return undefined
    const found = this.timesWith(blocks, stored, as, overlaps)
    all[as] = (all[as] ?? new Map()).set(stored, found)
    return found
  }

  /** The same with these costs of layers, of which pairs that overlap take no more than is computed. */
  protected timesWith(costs: BlockCosts, stored: Stored | undefined, as: Known, overlaps: boolean): LeastTimes {
    const blocks = overlaps ? kernelsAlone(costs) : costs
    const sharing = stored && !overlaps ? this.sharingOf(stored) : undefined
    const values = timeValues(this.model.parts, blocks, this.passing(blocks), as === 2, sharing)
    if (!sharing) return { values, late: 0 }
    return { values, late: this.meanSpread(sharing) + this.leastSummed(blocks, sharing, as === 0) }
  }

  /**
   * No candidate takes less: each microbatch passes all layers, which all ranks of dp and pp together work on. Where pairs may overlap, no
   * more than they compute.
   */
  leastWork(overlaps = this.model.overlaps): number {
    const as = overlaps ? 1 : 0
    const known = this.work[as]
    if (known !== undefined) return known
    const blocks = this.plainCosts()
    const found = isRefusal(blocks) ? 0 : this.leastWorkOf(overlaps ? kernelsAlone(blocks) : blocks)
    this.work[as] = found
    return found
  }

  protected leastWorkOf(blocks: BlockCosts): number {
    return ((this.microbatches * this.model.secondsThrough(blocks)) / this.pp) * (1 - rounding)
  }

  /**
   * No candidate of a cut takes less: without anything that parameters take, what its busiest rank does and waits for, as if backward were
   * whole, which apart takes no less.
   */
  leastOfCut(cut: Cut): number {
    return cut.split === 'even' ? this.leastOf(this.evenly(cut), cut.schedule) : this.leastBalanced(cut)
  }

  /** The same as its layers are divided. */
  leastDivided(cut: Cut): number {
    return this.leastOf(this.divisionOf(cut), cut.schedule)
  }

  private leastOf(division: Division | Refusal, schedule: string): number {
    const times = this.timesOf(schedule, this.known(schedule, true))
    if (isRefusal(division) || !times) return 0
    return division.bounds.seconds.of(times.values) * (1 - rounding)
  }

  /**
   * The same of stages that are to be balanced: ranks that all take as long as the mean of them, and wait as long. Of equal layers a stage
   * has one less than the longest, or more; ends of the model may have none.
   */
  private leastBalanced({ schedule, virtual }: Cut): number {
    const { pipelines } = this.model
    const isDivided = pipelines.isDivided(schedule)
    const work = this.leastWork(pipelines.overlaps(schedule))
    if (virtual === 1 && !isDivided)
      return work * leastInRow(schedule === forwardOnly, this.pp, this.microbatches) * (1 - rounding)
    const pipeline = pipelines.of(schedule, this.pp, virtual, this.microbatches)
    if (typeof pipeline === 'string') return work
    const few = this.model.leastInStage(pipeline)
    const waits = this.waits(isDivided)
    const waiting = few * pipeline.chains.reduce((sum, chain) => sum + waits(chain), 0)
    return work + (waiting / this.pp) * (1 - rounding)
  }

  /** What a rank at least waits for in chains if all stages but one have a layer. */
  protected waits(isDivided: boolean): (chain: Chain) => number {
    const blocks = this.plainCosts()
    if (isRefusal(blocks)) return () => 0
    const [forward, backward] = [
      this.model.leastOfLayers(blocks, 'F'),
      isDivided ? 0 : this.model.leastOfLayers(blocks, 'B'),
    ]
    return ({ before, after }) => Math.max(0, before - 1) * forward + Math.max(0, after - 1) * backward
  }

  /** No candidate of a cut takes less by what its schedule takes; nor one that shares what `stored` says. `whole` as in {@link leastBytes}. */
  leastSeconds(cut: Cut, stored?: Stored, whole = false): number {
    const division = this.divisionOf(cut)
    const times = this.timesOf(cut.schedule, this.known(cut.schedule, whole), stored)
    if (isRefusal(division) || !times) return 0
    const { seconds, ownSeconds } = division.bounds
    return ((whole ? seconds : ownSeconds).of(times.values) + times.late) * (1 - rounding)
  }

  /** What ranks of a pipeline gather behind the update: one of them no less than the mean of all. */
  private meanSpread({ parts }: Sharing): number {
    const all = ['first', ...this.model.layers, 'last']
    return all.reduce((sum, part) => sum + (parts.get(part)?.spread ?? 0), 0) / this.pp
  }

  /** What summing of gradients adds to a pipeline: of one layer it comes behind, and where backward is whole it holds the last one of each layer back. */
  private leastSummed(
    { parts: costs }: BlockCosts,
    { parts, contention, blocking }: Sharing,
    isWhole: boolean,
  ): number {
    const summedOf = (part: string) => parts.get(part)?.summed ?? 0
    const { layers } = this.model
    const last = Math.min(...['first', ...new Set(layers), 'last'].map(summedOf))
    if (blocking || !isWhole) return last
    return ['first', ...layers, 'last'].reduce((sum, part) => {
      const backward = (costs.get(part)?.seconds.B ?? 0) * (1 - untilGradient)
      return sum + contention * Math.min(backward, summedOf(part))
    }, last)
  }

  /** The same of what is stored so, but for rounding. */
  protected spreadOf(stored: Stored): number {
    const sharing = this.sharingOf(stored)
    return sharing ? this.meanSpread(sharing) * (1 - rounding) : 0
  }

  protected sharingOf(stored: Stored): Sharing | undefined {
    const placed = this.placed()
    if (isRefusal(placed)) return undefined
    const plain = () => this.specOf(this.model.plain, whole)
    const costs = this.model.measuredState(plain, this.stored, whole, placed)
    const lying = this.placed(stored.replicate)
    return isRefusal(costs) || isRefusal(lying) ? undefined : this.model.sharing.of(this.group, costs, stored, lying)
  }

  /** What of the group's choices its parameters depend on. */
  private get stored(): string {
    const { stored } = this.group
    return this.model.storesBySequences ? `${stored} ${this.microbatch}` : stored
  }

  protected stagesOf(model: Model, { bounds }: Division): StageCost[] {
    const stages = bounds.kinds.map((counts) => stageOf(model, this.model.parts, counts))
    return bounds.kindOf.map((kind) => stages[kind] as StageCost)
  }

  /** The chunks of a cut, as if its layers were divided evenly. */
  protected evenly(cut: Cut): Division | Refusal {
    const known = this.evenDivisions.get(cut) ?? this.divideAt(cut, (even) => even)
    this.evenDivisions.set(cut, known)
    return known
  }

  private divide(cut: Cut): Division | Refusal {
    if (cut.split === 'even') return this.evenly(cut)
    const blocks = this.plainCosts()
    if (isRefusal(blocks)) return blocks
    return this.divideAt(cut, (even) => {
      const borders = this.bordersOf(blocks, even.length - 1)
      return borders && !areSame(borders, even) ? borders : undefined
    })
  }

  private divideAt(
    { schedule, virtual }: Cut,
    bordersOf: (even: readonly number[]) => readonly number[] | undefined,
  ): Division | Refusal {
    const { layers, pipelines } = this.model
    const pipeline = pipelines.of(schedule, this.pp, virtual, this.microbatches)
    if (typeof pipeline === 'string') return { rule: 'schedule', why: pipeline }
    // In two directions each chunk stands twice.
    const count = pipeline.schedule.stageRanks.length / pipeline.schedule.directions
    const borders = bordersOf(pipelines.evenBorders(layers.length, count))
    if (!borders) return { rule: 'split', why: 'Layers that are divided by what they take are divided evenly.' }
    return { pipeline, borders, bounds: pipelines.boundsOf(pipeline, borders, layers) }
  }

  protected passing({ sendBytes }: BlockCosts): Passing {
    const placed = this.placed()
    if (this.pp === 1 || sendBytes === 0 || isRefusal(placed)) return { seconds: 0, isBeside: true }
    const { machine } = placed
    const seconds = collectiveSeconds(machine.group(['pp']), { op: 'send', bytes: sendBytes })
    return { seconds, isBeside: this.model.isTraining && !machine.engine.blocking.includes('pp') }
  }

  private bordersOf(blocks: BlockCosts, count: number): readonly number[] | undefined {
    if (this.balanced.has(count)) return this.balanced.get(count)
    const borders = this.bordersBy(blocks, count)
    this.balanced.set(count, borders)
    return borders
  }

  protected bordersBy(blocks: BlockCosts, count: number): readonly number[] | undefined {
    const { layers, emptyChunks } = this.model
    const least = emptyChunks > 0 && count > this.pp ? 0 : 1
    return balancedBorders(blocks, layers, { count, microbatches: this.microbatches, least })
  }

  private placed(replicate = 1): Placed | Refusal {
    const known = this.places.get(replicate)
    if (known) return known
    // A mesh depends on no stage of ZeRO, and the last one bears all that may be said of dp.
    const key = `${this.group.choices['order']} ${this.group.degrees} ${this.pp} ${this.dp} ${replicate}`
    const found = this.model.placedAs(key, () => this.specOf('1f1b', { zero: 3, replicate }))
    this.places.set(replicate, found)
    return found
  }

  /** The spec as far as costs depend on it: its schedule stands for all that divide backward as it does. */
  private specOf(schedule: string, { zero, replicate }: Stored) {
    const { group, microbatch, pp, dp } = this
    return this.model.specOf({ ...group.choices, microbatch, pp, dp, schedule, zero, dpReplicate: replicate })
  }
}
