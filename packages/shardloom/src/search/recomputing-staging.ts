import { areSame, sizesOf } from './borders.js'
import { recomputations } from './choices.js'
import { secondsOf } from './estimate.js'
import { isEnd } from './forms.js'
import { type Parts, rounding } from './parts.js'
import type { Chain } from './pipelines.js'
import type { Cut, Place, Stored } from './place.js'
import { leastOfCosts, type Recomputed, Recomputing, withAgain } from './recomputing.js'
import {
  type LayerTimes,
  type LayerValues,
  leastFullest,
  leastOpenSeconds,
  leastRecomputingSeconds,
  sharedBy,
} from './recomputing-bounds.js'
import { type BlockCosts, kernelsAlone, secondsIn } from './samples.js'
import { type Division, type Found, Staging } from './staging.js'
import { isRefusal, type Refusal, type StepModel } from './step-model.js'
import type { Unaided } from './unaided.js'

/** A candidate with the layers of it that recompute. */
interface RecomputedParts extends Parts {
  readonly recomputed: Recomputed
}

/** What bounds are made of that know how many layers have to recompute. */
interface Demands {
  readonly values: LayerValues
  readonly times: LayerTimes
  readonly late: number
}

/**
 * A model on stages of which each recomputes as many layers as memory demands. Bounds are of layers that take as long as those that
 * recompute nothing, and keep no more than those that recompute. Balanced ranks of one chunk have their borders found with what they hold.
 */
export class RecomputingStaging extends Staging {
  private readonly costs = new Map<string, BlockCosts | Refusal>()
  private readonly mixed = new Map<boolean, BlockCosts | Refusal>()
  /** By whether backward is divided. */
  private readonly demands: (Map<Stored, Demands> | undefined)[] = []

  constructor(
    model: StepModel,
    place: Place,
    /** Bytes that a rank may hold. */
    private readonly room: number,
    /** Of which candidates are others: those without recomputation, and whether those whose layers all recompute. */
    private readonly others: { readonly without: Unaided | undefined; readonly full: boolean },
  ) {
    super(model, place)
  }

  protected override costsFor(schedule: string): BlockCosts | Refusal {
    return leastOfCosts(recomputations.map((recompute) => this.costsWith(schedule, recompute)))
  }

  private costsWith(schedule: string, recompute: (typeof recomputations)[number]): BlockCosts | Refusal {
    const key = `${recompute} ${this.model.pipelines.isDivided(schedule)}`
    const known = this.costs.get(key) ?? super.costsFor(schedule, { recompute })
    this.costs.set(key, known)
    return known
  }

  override plainCosts(schedule = this.model.plain): BlockCosts | Refusal {
    return this.costsWith(schedule, 'none')
  }

  override divisionOf(cut: Cut): Division | Refusal {
    return this.isOpen(cut) ? this.evenly(cut) : super.divisionOf(cut)
  }

  /** Whether the borders of a cut are found with what is stored. */
  private isOpen(cut: Cut): boolean {
    if (cut.split === 'even' || cut.virtual > 1) return false
    const even = this.evenly(cut)
    return !isRefusal(even) && even.pipeline.schedule.stageRanks.length === this.pp
  }

  override partsOf(cut: Cut, stored: Stored): RecomputedParts | Refusal {
    if (this.others.without?.fits(cut, stored)) return { rule: 'recompute', why: 'It fits without recomputation.' }
    const blocks = this.mixedCosts(cut.schedule)
    if (isRefusal(blocks)) return blocks
    const division = this.divisionOf(cut)
    if (isRefusal(division)) return division
    const model = this.modelFor(blocks, cut, stored)
    if (isRefusal(model)) return model
    const { layers } = this.model
    const { pipeline } = division
    const recomputed = this.recomputedIn(cut, division, new Recomputing(pipeline, layers, model, this.room))
    if (isRefusal(recomputed)) return recomputed
    const { stages } = recomputed
    const seconds = secondsOf(pipeline, stages, this.passing(blocks))
    return { pipeline, stages, seconds, overlap: model, recomputed }
  }

  /** Layers that recompute, unless it is all of them or none, or borders are those of another candidate. */
  private recomputedIn(cut: Cut, division: Division, recomputing: Recomputing): Recomputed | Refusal {
    const { borders: even } = division
    const isOpen = this.isOpen(cut)
    // Where nothing fits they are divided evenly, and miss as they do then.
    const borders = (isOpen && recomputing.borders()) || even
    if (isOpen && areSame(borders, even))
      return { rule: 'split', why: 'Layers that are divided by what they take and hold are divided evenly.' }
    const recomputed = recomputing.within(borders)
    const count = recomputed.counts.flat().reduce((sum, each) => sum + each, 0)
    if (this.others.full && count === this.model.layers.length && areSame(borders, this.bordersOfFull(cut, even)))
      return { rule: 'recompute', why: 'All layers would have to recompute.' }
    return recomputed
  }

  /** Where chunks have their borders if all layers recompute. */
  private bordersOfFull({ split }: Cut, even: readonly number[]): readonly number[] {
    const blocks = split === 'even' ? undefined : this.costsWith(this.model.plain, 'full')
    return (blocks && !isRefusal(blocks) && this.bordersBy(blocks, even.length - 1)) || even
  }

  override optionsOf(cut: Cut, stored: Stored): Found {
    const parts = this.partsOf(cut, stored)
    if (isRefusal(parts)) return { ...super.optionsOf(cut, stored), recompute: 'none' }
    const { borders } = parts.recomputed
    return {
      ...(cut.split !== 'even' && { layers: sizesOf(borders) }),
      recompute: recomputeOf(recomputedLayers(parts.recomputed, this.model.layers), this.model.layers.length),
    }
  }

  override leastOfCut(cut: Cut): number {
    if (this.isOpen(cut)) return this.leastAlike(cut)
    return cut.split === 'even' ? this.leastWithin(this.evenly(cut)) : super.leastOfCut(cut)
  }

  override leastDivided(cut: Cut): number {
    return this.isOpen(cut) ? this.leastAlike(cut) : this.leastWithin(this.divisionOf(cut))
  }

  /** With what is stored told, no less than with as few layers recomputed as memory demands. */
  override leastSeconds(cut: Cut, stored?: Stored, whole = false): number {
    const isOpen = this.isOpen(cut)
    if (!stored) return this.leastDivided(cut)
    if ((whole && this.isDivided(cut)) || this.others.without?.mayFit(cut, stored))
      return isOpen ? this.leastAlike(cut) + this.spreadOf(stored) : this.leastWithin(this.divisionOf(cut), stored)
    const least = isOpen ? this.leastOpen(cut, stored) : super.leastSeconds(cut, stored)
    const division = this.divisionOf(cut)
    const demands = !isOpen && !isRefusal(division) && this.demandsOf(cut, stored)
    if (!demands) return least
    const { values, times } = demands
    const { pipeline, bounds } = division
    const chunks = bounds.kindOf.map((kind) => bounds.kinds[kind] as Float64Array)
    const seconds = leastRecomputingSeconds(pipeline, chunks, values, times, this.room)
    return Math.max(least, seconds * (1 - rounding))
  }

  private leastOpen(cut: Cut, stored: Stored): number {
    const division = this.divisionOf(cut)
    const demands = this.demandsOf(cut, stored)
    if (isRefusal(division) || !demands) return 0
    const { values, times, late } = demands
    return (leastOpenSeconds(division.pipeline, values, times, this.room) + late) * (1 - rounding)
  }

  /**
   * No candidate with these borders takes less, told from layers that recompute nothing: forward and backward together are no shorter if they do.
   * All of it counts as backward, of which no rank has more stages behind it than of forward before it.
   */
  private leastWithin(division: Division | Refusal, stored?: Stored): number {
    const plain = this.plainCosts()
    if (isRefusal(division) || isRefusal(plain)) return 0
    const { overlaps } = division.pipeline
    const blocks = overlaps ? kernelsAlone(plain) : plain
    if (division.pipeline.chains.some(({ before, after }) => before < after)) return this.leastWork(overlaps)
    const { parts } = this.model
    const values = new Float64Array(3 * parts.length + 1)
    const sharing = stored && !overlaps ? this.sharingOf(stored) : undefined
    parts.forEach((part, at) => {
      // Where backward is divided, that of ends may go on beside gradients of weights.
      const isHidden = division.pipeline.isDivided && isEnd(part)
      const { forward = 0, backward = 0 } = sharing?.parts.get(part) ?? {}
      const seconds = isHidden ? (blocks.parts.get(part)?.seconds.F ?? 0) : secondsIn(blocks, part)
      values[parts.length + at] = Math.max(seconds, isHidden ? forward : forward + backward)
    })
    return division.bounds.seconds.of(values) * (1 - rounding) + (stored ? this.spreadOf(stored) : 0)
  }

  protected override waits(isDivided: boolean): (chain: Chain) => number {
    const blocks = this.plainCosts()
    if (isRefusal(blocks) || isDivided) return () => 0
    const kinds = this.model.parts.filter((part) => !isEnd(part))
    const least = Math.min(...kinds.map((kind) => secondsIn(blocks, kind)))
    return ({ before, after }) => Math.max(0, Math.min(before, after) - 1) * least
  }

  /** The same before anything is known of memory. */
  private leastAlike({ schedule }: Cut): number {
    const all = this.leastWork() * this.pp
    return all / sharedBy(this.pp, this.microbatches, this.model.pipelines.isDivided(schedule)) / this.microbatches
  }

  /** Layers that recompute keep no more. */
  override leastBytes(cut: Cut, stored?: Stored, whole = false): number {
    if (this.others.without?.mayFit(cut, stored, whole)) return 0
    if (!this.isOpen(cut)) return super.leastBytes(cut, stored, whole)
    const division = this.divisionOf(cut)
    const least = this.bytesOf(cut.schedule, this.known(cut.schedule, whole), stored)
    if (isRefusal(division) || !least) return 0
    const { layers } = this.model
    return leastFullest(division.pipeline, { layers, plain: least, least }) * (1 - rounding)
  }

  /** What layers hold and take if they recompute or not, of those that share what `stored` says. */
  private demandsOf({ schedule }: Cut, stored: Stored): Demands | undefined {
    const { pipelines } = this.model
    const overlaps = pipelines.overlaps(schedule)
    const kind = overlaps ? 2 : pipelines.isDivided(schedule) ? 1 : 0
    const known = this.demands[kind]?.get(stored)
    if (known) return known
    const as = this.known(schedule, false)
    const [bytes, times] = [this.bytesOf(schedule, as, stored), this.timesOf(schedule, as, stored)]
    const [none, full] = [this.costsWith(schedule, 'none'), this.costsWith(schedule, 'full')]
    if (!bytes || !times || isRefusal(none) || isRefusal(full)) return undefined
    const plain = this.bytesWith(none, schedule, stored)
    if (!plain) return undefined
    const found = {
      values: { layers: this.model.layers, plain, least: bytes },
      times: { least: times.values, again: this.timesWith(full, stored, as, overlaps).values },
      late: times.late,
    }
    const all = this.demands[kind] ?? new Map()
    this.demands[kind] = all.set(stored, found)
    return found
  }

  /** Costs of layers that recompute beside those of the others. */
  private mixedCosts(schedule: string): BlockCosts | Refusal {
    const isDivided = this.model.pipelines.isDivided(schedule)
    const known = this.mixed.get(isDivided)
    if (known) return known
    const [none, full] = [this.costsWith(schedule, 'none'), this.costsWith(schedule, 'full')]
    const found = isRefusal(none)
      ? none
      : isRefusal(full)
        ? full
        : withAgain(none, full, [...new Set(this.model.layers)])
    this.mixed.set(isDivided, found)
    return found
  }
}

/** The depths of layers that recompute. */
function recomputedLayers({ borders, counts }: Recomputed, layers: readonly string[]): number[] {
  const kinds = [...new Set(layers)]
  return counts.flatMap((own, chunk) => {
    const left = [...own]
    const depths = Array.from(
      { length: (borders[chunk + 1] ?? 0) - (borders[chunk] ?? 0) },
      (_, at) => at + (borders[chunk] ?? 0),
    )
    return depths.filter((depth) => {
      const kind = kinds.indexOf(layers[depth] as string)
      left[kind] = (left[kind] as number) - 1
      return (left[kind] as number) >= 0
    })
  })
}

/** What a spec says of layers at these depths. */
function recomputeOf(depths: readonly number[], count: number): NonNullable<Found['recompute']> {
  if (depths.length === 0) return 'none'
  if (depths.length === count) return 'full'
  const ranges: [number, number][] = []
  for (const depth of depths) {
    const last = ranges.at(-1)
    if (last?.[1] === depth - 1) last[1] = depth
    else ranges.push([depth, depth])
  }
  return { full: { layers: ranges.map(([first, last]) => (first === last ? String(first) : `${first}-${last}`)) } }
}
