import { B, F, I, W } from './action.js'
import type { Schedule } from './schedule.js'

/**
 * The most activations that each rank holds at once, in activations of one stage on one microbatch (divide by v for
 * those of a whole rank). What an input gradient frees is a choice: papers count differently.
 */
export interface PeakInFlight {
  /** An activation is held from its F to its I or B. */
  readonly untilI: readonly number[]
  /** An activation is held from its F to its W or B. */
  readonly untilW: readonly number[]
  /** Half of an activation is freed by I and half by W, as the zero-bubble authors count. */
  readonly half: readonly number[]
}

/** Counts the activations in flight along every rank's order; in an overlapped pair the forward counts first. */
export function peakInFlight(schedule: Pick<Schedule, 'orders'>): PeakInFlight {
  const untilI: number[] = []
  const untilW: number[] = []
  const half: number[] = []
  for (const order of schedule.orders) {
    let i = 0
    let w = 0
    let most = 0
    let mostI = 0
    let mostW = 0
    for (let at = 0; at < order.length; at++) {
      const kind = (order[at] as number) & 7
      if (kind === F) {
        i++
        w++
        if (i > mostI) mostI = i
        if (w > mostW) mostW = w
        if (i + w > most) most = i + w
      } else {
        if (kind === I || kind === B) i--
        if (kind === W || kind === B) w--
      }
    }
    untilI.push(mostI)
    untilW.push(mostW)
    half.push(most / 2)
  }
  return { untilI, untilW, half }
}
