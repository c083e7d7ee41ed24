import { byStage } from './choices.js'
import type { Endings } from './endings.js'
import { rounding } from './parts.js'
import type { Group } from './place.js'
import type { Slot } from './slots.js'
import type { StepModel } from './step-model.js'

/** What a step takes at least in one cut, beside the work itself: so many times the work, and so many layers forward and backward. */
interface Wait {
  readonly work: number
  readonly forward: number
  readonly backward: number
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
    const work = leastWork.of(group, microbatch) * (1 - rounding)
    if (group.choices['recompute'] === byStage) return work
    const layer = leastWork.layer(group, microbatch)
    return Math.min(...stagings.map((staging) => this.of(staging, work, layer)))
  }

  /**
   * No step on so many stages takes less, whatever its cut, where its ranks work for `work` on the mean and each layer takes no less than
   * `layer`. Seconds.
   */
  private of(
    stages: { readonly pp: number; readonly microbatches: number },
    work: number,
    layer: { readonly forward: number; readonly backward: number },
  ): number {
    const all = this.waits(stages)
    return work + all.reduce((least, wait) => Math.min(least, secondsOf(wait, work, layer)), Number.POSITIVE_INFINITY)
  }

  private waits({ pp, microbatches }: { readonly pp: number; readonly microbatches: number }): readonly Wait[] {
    const key = `${pp} ${microbatches}`
    const known = this.known.get(key)
    if (known) return known
    const { pipelines } = this.model
    const all = this.endings.cuts(pp).flatMap(({ schedule, virtual }): Wait[] => {
      const isDivided = pipelines.isDivided(schedule)
      // Σt + (m − 1)·max t of equal stages.
      if (virtual === 1 && !isDivided) return [{ work: (pp - 1) / microbatches, forward: 0, backward: 0 }]
      const pipeline = pipelines.of(schedule, pp, virtual, microbatches)
      if (typeof pipeline === 'string') return []
      const mean = this.model.leastInStage(pipeline) / pp
      const sum = (of: 'before' | 'after') =>
        mean * pipeline.chains.reduce((sum, chain) => sum + Math.max(0, chain[of] - 1), 0)
      return [{ work: 0, forward: sum('before'), backward: isDivided ? 0 : sum('after') }]
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
const isLess = (a: Wait, b: Wait) => a.work <= b.work && a.forward <= b.forward && a.backward <= b.backward
