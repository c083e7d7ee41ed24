import { byStage } from './choices.js'
import type { Endings } from './endings.js'
import { rounding } from './parts.js'
import { forwardOnly } from './pipelines.js'
import type { Group } from './place.js'
import type { Slot } from './slots.js'
import type { StepModel } from './step-model.js'

/** What a step takes at least in one cut, beside the work itself: so many times the work, and so many layers forward and backward. */
interface Wait {
  readonly work: number
  readonly forward: number
  readonly backward: number
  /** Whether its pairs may take no more than they compute. */
  readonly overlaps: boolean
}

/** What pipelines at least wait for, told before any layer of theirs is measured. */
export class LeastWaits {
  private readonly known = new Map<string, readonly Wait[]>()

  constructor(
    private readonly model: StepModel,
    private readonly endings: Endings,
  ) {}

  /** No step in microbatches of a size takes less, told before anything of it is measured. Of layers some of which recompute no waits are known. */
  ofSlot(group: Group, { microbatch, stagings }: Slot): number {
    const { leastWork } = this.model
    const computed = leastWork.of(group, microbatch) * (1 - rounding)
    if (group.choices['recompute'] === byStage) return computed
    const work = leastWork.of(group, microbatch, false) * (1 - rounding)
    const layer = leastWork.layer(group, microbatch)
    return Math.min(...stagings.map((staging) => this.of(staging, { work, computed }, layer)))
  }

  /**
   * No step on so many stages takes less, whatever its cut, where its ranks work for `work` on the mean and each layer takes no less than
   * `layer`. Seconds.
   */
  private of(
    stages: { readonly pp: number; readonly microbatches: number },
    { work, computed }: { readonly work: number; readonly computed: number },
    layer: { readonly forward: number; readonly backward: number },
  ): number {
    return this.waits(stages).reduce((least, wait) => {
      const own = wait.overlaps ? computed : work
      return Math.min(least, own + secondsOf(wait, own, layer))
    }, Number.POSITIVE_INFINITY)
  }

  private waits({ pp, microbatches }: { readonly pp: number; readonly microbatches: number }): readonly Wait[] {
    const key = `${pp} ${microbatches}`
    const known = this.known.get(key)
    if (known) return known
    const { pipelines } = this.model
    const all = this.endings.cuts(pp).flatMap(({ schedule, virtual }): Wait[] => {
      const [isDivided, overlaps] = [pipelines.isDivided(schedule), pipelines.overlaps(schedule)]
      if (virtual === 1 && !isDivided) {
        const times = leastInRow(schedule === forwardOnly, pp, microbatches) - 1
        return [{ work: times * (1 - rounding), forward: 0, backward: 0, overlaps }]
      }
      const pipeline = pipelines.of(schedule, pp, virtual, microbatches)
      if (typeof pipeline === 'string') return []
      const mean = this.model.leastInStage(pipeline) / pp
      const sum = (of: 'before' | 'after') =>
        mean * pipeline.chains.reduce((sum, chain) => sum + Math.max(0, chain[of] - 1), 0)
      return [{ work: 0, forward: sum('before'), backward: isDivided ? 0 : sum('after'), overlaps }]
    })
    const least = all.filter(
      (one, at) => !all.some((other, index) => isLess(other, one) && (index < at || !isLess(one, other))),
    )
    this.known.set(key, least)
    return least
  }
}

const secondsOf = (wait: Wait, work: number, { forward, backward }: { forward: number; backward: number }) =>
  wait.work * work + wait.forward * forward + wait.backward * backward

/** Whether one wait is no longer than another, whatever layers take. */
const isLess = (a: Wait, b: Wait) =>
  a.work <= b.work && a.forward <= b.forward && a.backward <= b.backward && a.overlaps === b.overlaps

/**
 * How many times as long as a rank works on the mean a step at least takes, of one stage a rank, however its layers are divided. Going forward
 * alone Σt + (m − 1)·max t is least of equal stages. Where microbatches come back, a stage waits for those before it alone, and may do the less
 * the later it is: Σ_{i<s} tᵢ + m·t_s of all stages is least where it is the same of all. Nor is it less than
 * Σt + (m − 1)·(max t)/2: all forwards of a stage pass it before the last one ends its way, or the first one has ended its way before all backwards do.
 */
export function leastInRow(isForward: boolean, ranks: number, microbatches: number): number {
  if (isForward) return (ranks + microbatches - 1) / microbatches
  const same = ranks / (1 - (1 - 1 / microbatches) ** ranks)
  return Math.max(same, ranks + (microbatches - 1) / 2) / microbatches
}
