import { isShardloomError } from '@shardloom/core'
import { makeSchedule, type Schedule, type TimedSchedule, timeSchedule, unpackAction } from '@shardloom/schedules'

/** A schedule of enough microbatches to tell what more of them take. */
export interface Pipeline {
  readonly schedule: Schedule
  readonly ranks: number
  /** Microbatches of the step, of which the schedule has the first and the last ones. */
  readonly microbatches: number
  /**
   * Per rank how many microbatches of one of its stages are kept until their input gradients, and how many between these and their
   * weight gradients: the pairs of which at some time neither was more without the other less.
   */
  readonly inFlight: readonly (readonly { readonly kept: number; readonly deferred: number }[])[]
}

/** What the actions of each stage take, in the order of the data. Seconds. */
export interface StageSeconds {
  readonly forward: Float64Array
  readonly input: Float64Array
  readonly weight: Float64Array
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

/** Linear in the actions. */
function inFlightOf({ orders, microbatches }: Schedule): Pipeline['inFlight'] {
  return orders.map((order) => {
    const most = new Map<number, number>()
    let [kept, deferred] = [0, 0]
    for (const code of order) {
      const { kind } = unpackAction(code, microbatches)
      if (kind === 'F') kept++
      else if (kind !== 'W') kept--
      if (kind === 'I') deferred++
      else if (kind === 'W') deferred--
      most.set(deferred, Math.max(most.get(deferred) ?? 0, kept))
    }
    const pairs = Array.from(most, ([deferred, kept]) => ({ kept, deferred }))
    return pairs.filter(({ kept, deferred }) =>
      pairs.every(
        (other) =>
          other.kept < kept || other.deferred <= deferred || (other.kept === kept && other.deferred === deferred),
      ),
    )
  })
}

/**
 * Runs a pipeline: the schedule of its first and last microbatches by their dependencies, and each one between them for as long as the
 * busiest rank takes, which a schedule that has settled repeats.
 */
export function pipelineTime(
  { schedule, microbatches }: Pipeline,
  { forward, input, weight }: StageSeconds,
): PipelineTime {
  const timed = timeSchedule(schedule, { F: forward, I: input, W: weight })
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
export function leastSeconds({ schedule, microbatches }: Pipeline, { forward, input, weight }: StageSeconds): number {
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
    before += forward[stage] as number
    if (endsInOrder) before += input[stage] as number
  }
  return Math.max(most, ...work)
}
