import { isShardloomError } from '@shardloom/core'
import { makeSchedule, type Schedule, type TimedSchedule, timeSchedule, unpackAction } from '@shardloom/schedules'

/** A schedule of enough microbatches to tell what more of them take. */
export interface Pipeline {
  readonly schedule: Schedule
  readonly ranks: number
  /** Microbatches of the step, of which the schedule has the first and the last ones. */
  readonly microbatches: number
  /** Per rank the most microbatches of one of its stages that are kept at once; half of each goes with its input gradient. */
  readonly inFlight: readonly number[]
}

/** What the actions of each stage take, in the order of the data, and what passing a tensor on takes. Seconds. */
export interface StageSeconds {
  readonly forward: Float64Array
  readonly input: Float64Array
  readonly weight: Float64Array
  readonly send: number
}

/** A pipeline in time. */
export interface PipelineTime {
  readonly seconds: number
  /** Per rank its stages, each with the time at which the last of its backwards ends, in that order. */
  readonly finished: readonly (readonly { readonly stage: number; readonly at: number }[])[]
}

/** After so many microbatches for each rank a schedule repeats itself. */
const settled = 4

/** The pipelines of a search, each made once. */
export class Pipelines {
  private readonly made = new Map<string, Pipeline | string>()
  private readonly divided = new Map<string, boolean>()

  /** A pipeline, or why there is none. */
  of(name: string, ranks: number, virtual: number, microbatches: number): Pipeline | string {
    const most = settled * ranks
    const extra = Math.max(0, microbatches - most)
    const some = microbatches - Math.floor(extra / (2 * ranks)) * 2 * ranks
    const key = `${name} ${ranks} ${virtual} ${some}`
    const known = this.made.get(key) ?? this.make(name, ranks, virtual, some)
    this.made.set(key, known)
    return typeof known === 'string' ? known : { ...known, microbatches }
  }

  /** Whether a schedule runs gradients of inputs and weights apart. */
  isDivided(name: string): boolean {
    const known = this.divided.get(name)
    if (known !== undefined) return known
    const small = this.of(name, 2, 2, 4)
    const one = typeof small === 'string' ? this.of(name, 2, 1, 4) : small
    const found =
      typeof one !== 'string' &&
      one.schedule.orders.some((order) =>
        order.some((code) => unpackAction(code, one.schedule.microbatches).kind === 'W'),
      )
    this.divided.set(name, found)
    return found
  }

  private make(name: string, ranks: number, virtual: number, microbatches: number): Pipeline | string {
    try {
      const schedule = makeSchedule(name, { ranks, microbatches, virtual })
      return { schedule, ranks, microbatches, inFlight: inFlightOf(schedule) }
    } catch (error) {
      if (!isShardloomError(error)) throw error
      return error.message
    }
  }
}

/** Per rank the most that it keeps of one of its stages, in microbatches. Linear in the actions. */
function inFlightOf({ orders, microbatches }: Schedule): number[] {
  return orders.map((order) => {
    let [held, most] = [0, 0]
    let [pending] = [0]
    for (const code of order) {
      const { kind } = unpackAction(code, microbatches)
      if (kind === 'F') held++
      else if (kind === 'B') held--
      else if (kind === 'I') {
        held -= 0.5
        pending++
      } else if (kind === 'W') held -= 0.5
      most = Math.max(most, held)
    }
    return pending > 0 ? most : Math.round(most)
  })
}

/**
 * Runs a pipeline: the schedule of its first and last microbatches by their dependencies, and each one between them for as long as the
 * busiest rank takes, which a schedule that has settled repeats.
 */
export function pipelineTime(
  { schedule, microbatches }: Pipeline,
  { forward, input, weight, send }: StageSeconds,
): PipelineTime {
  const timed = timeSchedule(schedule, { F: forward, I: input, W: weight, send })
  const busiest = Math.max(...timed.work) / schedule.microbatches
  const more = busiest * (microbatches - schedule.microbatches)
  return { seconds: timed.makespan + more, finished: finishedOf(timed, more) }
}

function finishedOf({ schedule, ends }: TimedSchedule, more: number): PipelineTime['finished'] {
  return schedule.orders.map((order, rank) => {
    const found = new Map<number, number>()
    for (let at = order.length - 1; at >= 0 && found.size < schedule.virtual; at--) {
      const { kind, stage } = unpackAction(order[at] ?? 0, schedule.microbatches)
      if (kind !== 'F' && !found.has(stage)) found.set(stage, (ends[rank]?.[at] ?? 0) + more)
    }
    return Array.from(found, ([stage, at]) => ({ stage, at })).reverse()
  })
}

/** No pipeline of these stages takes less: what the busiest rank computes, and until its first work comes and its last has gone on. */
export function leastSeconds(
  { schedule, microbatches }: Pipeline,
  { forward, input, weight, send }: StageSeconds,
): number {
  const work = new Float64Array(schedule.ranks)
  const { stageRanks, directions } = schedule
  const each = microbatches / directions
  stageRanks.forEach((rank, stage) => {
    const own = (forward[stage] as number) + (input[stage] as number) + (weight[stage] as number)
    work[rank] = (work[rank] as number) + each * own
  })
  let most = 0
  let before = 0
  const seen = new Set<number>()
  const positions = stageRanks.length / directions
  const endsInOrder = schedule.virtual === 1 && weight.every((each) => each === 0)
  for (let stage = 0; stage < positions && seen.size < schedule.ranks; stage++) {
    const rank = stageRanks[stage] as number
    if (!seen.has(rank)) most = Math.max(most, before + (work[rank] as number))
    seen.add(rank)
    if (directions === 2) continue
    // A rank begins when the stages before it have; with one stage each and whole backwards it ends before these do, too.
    before += (forward[stage] as number) + send
    if (endsInOrder) before += (input[stage] as number) + send
  }
  return Math.max(most, ...work)
}
