import {
  type Costs,
  formatStep,
  type PeakInFlight,
  type Schedule,
  stepsOf,
  type TransferLists,
  timeSchedule,
} from '@shardloom/schedules'

/** A schedule with its times: the document of `shardloom schedule --json`. Lists have one entry per pipeline rank. */
export interface ScheduleSummary {
  readonly schema: 'shardloom.schedule/1'
  readonly name: string
  /** How many pipeline ranks there are. */
  readonly ranks: number
  /** How many stages there are on all ranks. */
  readonly stages: number
  /** The rank of each stage. */
  readonly stageRanks: readonly number[]
  /** How many microbatches a step has, of both directions together. */
  readonly microbatches: number
  /** 2 where microbatches enter at either end, half of them each. */
  readonly directions: 1 | 2
  /** What actions of one stage on one microbatch cost, in one unit of time; `overlap` only where a pair costs something else than its parts. */
  readonly costs: EqualCosts & { readonly F: number; readonly I: number; readonly W: number; readonly send: number }
  /** What each rank does in order, in PyTorch's grammar; sends and receives only where lists of them were passed. */
  readonly actions: readonly (readonly string[])[]
  /** The end of the last action, in units of the costs. */
  readonly makespan: number
  /** The makespan if the costs were those of a p-th of the model, not of one stage: schedules of one model compare by it. */
  readonly comparableMakespan: number
  /** Time in which a rank computes nothing: of the makespan, and between its own first start and last end. */
  readonly idle: { readonly global: readonly number[]; readonly ownSpan: readonly number[] }
  /** The most activations of one stage on one microbatch that a rank holds at once, counted in three ways. */
  readonly peakInFlight: PeakInFlight
}

/** What actions cost, the same on every stage; 1 where not given, except `send`, which is 0. */
export type EqualCosts = { readonly [Name in keyof Omit<Costs, 'startOf'>]: number }

/**
 * Times a schedule and says all of it as one document; with `transfers` the actions are theirs, sends and receives
 * included. Throws what `timeSchedule` throws.
 */
export function summariseSchedule(
  schedule: Schedule,
  { F = 1, I = 1, W = 1, overlap, send = 0 }: EqualCosts = {},
  transfers?: TransferLists,
): ScheduleSummary {
  const { name, ranks, stageRanks, microbatches, directions } = schedule
  const costs = { F, I, W, ...(overlap !== undefined && { overlap }), send }
  const { makespan, comparableMakespan, idle, peakInFlight } = timeSchedule(schedule, costs)
  const orders = transfers?.lists ?? schedule.orders
  return {
    schema: 'shardloom.schedule/1',
    name,
    ranks,
    stages: stageRanks.length,
    stageRanks: Array.from(stageRanks),
    microbatches,
    directions,
    costs,
    actions: orders.map((_, rank) => stepsOf({ orders, microbatches }, rank).map(formatStep)),
    makespan,
    comparableMakespan,
    idle,
    peakInFlight,
  }
}
