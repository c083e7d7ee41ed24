import { type Action, F, kinds, OVERLAP } from './action.js'
import { quote, ScheduleError } from './error.js'
import { type PeakInFlight, peakInFlight } from './in-flight.js'
import type { Schedule } from './schedule.js'
import { type Durations, simulate, type Times } from './simulate.js'

/** A cost: one for all stages, or one per stage. */
export type Cost = number | ArrayLike<number>

/** What actions of one stage on one microbatch cost, in any unit of time; 1 where not given, except `send`, which is 0. */
export interface Costs {
  /** A forward. */
  readonly F?: Cost
  /** An input gradient. */
  readonly I?: Cost
  /** A weight gradient. A full backward costs I + W. */
  readonly W?: Cost
  /** An overlapped pair; what its forward and its backward cost one after the other unless given. One for all, or by their stages. */
  readonly overlap?: number | ((forwardStage: number, backwardStage: number, kind: 'I' | 'B') => number)
  /** From the end of an action to the moment when its result is on another rank. */
  readonly send?: number
  /** What else actions wait for: from when a rank is free, and an action could start, to when it does. Default: nothing. */
  readonly startOf?: StartOf
}

/** When an action starts that could at `ready`, on a rank that is free from `free` on; no sooner. Asked in the order of the rank. */
export type StartOf = (
  action: { readonly rank: number; readonly kind: Action['kind']; readonly stage: number },
  when: { readonly ready: number; readonly free: number },
) => number

/** A schedule with times. */
export interface TimedSchedule extends Times {
  readonly schedule: Schedule
  /** The end of the last action, in units of the costs, which are those of one stage. */
  readonly makespan: number
  /**
   * The makespan if the costs were those of a p-th of the model, however many stages a rank's share of it is cut into: by it
   * schedules of one model compare. In two directions a rank holds two stages, each for half of the microbatches: a stage is a
   * p-th of the model already.
   */
  readonly comparableMakespan: number
  /** Time that each rank computes. */
  readonly work: readonly number[]
  /** Time that each rank does not compute: of the makespan, and between its own first start and last end. */
  readonly idle: { readonly global: readonly number[]; readonly ownSpan: readonly number[] }
  readonly peakInFlight: PeakInFlight
}

/**
 * Runs a schedule by its dependencies and says when each action starts and ends, how long ranks idle and what they hold.
 * Linear in the number of actions. Throws `DEADLOCK` when the orders of the ranks wait for each other, `BAD_COST` for a
 * cost that is not a finite number ≥ 0, and where costs add up to more than a number holds.
 */
export function timeSchedule(schedule: Schedule, costs: Costs = {}): TimedSchedule {
  const times = simulate(schedule, durationsOf(costs, schedule.stageRanks.length))
  const work: number[] = []
  const global: number[] = []
  const ownSpan: number[] = []
  let makespan = 0
  for (const end of times.ends) makespan = Math.max(makespan, end[end.length - 1] ?? 0)
  // No sum of times over all ranks exceeds this product.
  if (makespan * schedule.ranks === Infinity) {
    throw new ScheduleError('BAD_COST', `The costs of ${schedule.name} add up to more than a number holds.`, {
      subject: 'costs',
      help: `Give them in a larger unit of time: all ranks together may take at most ${Number.MAX_VALUE.toPrecision(3)}.`,
    })
  }
  for (const [rank, order] of schedule.orders.entries()) {
    const start = times.starts[rank] as Float64Array
    const end = times.ends[rank] as Float64Array
    let busy = 0
    let gaps = 0
    let last = start[0] ?? 0
    for (let at = 0; at < order.length; at++) {
      busy += (end[at] as number) - (start[at] as number)
      gaps += (start[at] as number) - last
      last = end[at] as number
      if ((order[at] as number) & OVERLAP) at++
    }
    work.push(busy)
    ownSpan.push(gaps)
    global.push(gaps + (start[0] ?? 0) + (makespan - last))
  }
  const shares = schedule.stageRanks.length / schedule.directions
  const comparableMakespan = makespan * (schedule.ranks / shares)
  return {
    schedule,
    ...times,
    makespan,
    comparableMakespan,
    work,
    idle: { global, ownSpan },
    peakInFlight: peakInFlight(schedule),
  }
}

/** The durations that costs mean, checked. */
export function durationsOf(costs: Costs, stages: number): Durations {
  const forward = perStage('F', costs.F ?? 1, stages)
  const input = perStage('I', costs.I ?? 1, stages)
  const weight = perStage('W', costs.W ?? 1, stages)
  const full = input.map((cost, stage) => cost + (weight[stage] as number))
  const byKind = [forward, input, weight, full]
  const action = (kind: number, stage: number) => (byKind[kind] as Float64Array)[stage] as number
  const { startOf } = costs
  const { overlap } = costs
  const same = typeof overlap === 'number' ? checked('overlap', overlap) : undefined
  return {
    action,
    pair: (forwardStage, kind, stage) => {
      if (typeof overlap === 'function')
        return checked('overlap', overlap(forwardStage, stage, kinds[kind] === 'I' ? 'I' : 'B'))
      return same ?? action(F, forwardStage) + action(kind, stage)
    },
    send: checked('send', costs.send ?? 0),
    startOf:
      startOf &&
      ((rank, kind, stage, ready, free) =>
        startOf({ rank, kind: kinds[kind] as Action['kind'], stage }, { ready, free })),
  }
}

function perStage(name: string, cost: Cost, stages: number): Float64Array {
  if (typeof cost === 'number') return new Float64Array(stages).fill(checked(name, cost))
  if (cost === null || typeof cost !== 'object' || cost.length !== stages) {
    throw new ScheduleError('BAD_COST', `The cost ${name} is ${quote(cost)}, not a number or one number per stage.`, {
      subject: name,
      help: `Give a number, or ${stages} numbers, one per stage.`,
    })
  }
  return Float64Array.from({ length: stages }, (_, stage) => checked(name, cost[stage]))
}

function checked(name: string, cost: unknown): number {
  if (typeof cost === 'number' && cost >= 0 && cost < Infinity) return cost
  throw new ScheduleError('BAD_COST', `The cost ${name} is ${quote(cost)}.`, {
    subject: name,
    help: 'Costs are finite numbers from 0 on, all in one unit of time.',
  })
}
