import { isShardloomError } from '@shardloom/core'
import { makeSchedule, type Schedule, type TimedSchedule, timeSchedule, unpackAction } from '@shardloom/schedules'
import { boundsOf, type PipelineBounds } from './forms.js'

/** A schedule of enough microbatches to tell what more of them take. */
export interface Pipeline {
  readonly schedule: Schedule
  /** The same of 2p microbatches fewer, where one more may take longer than the busiest rank works on it. */
  readonly shorter?: Schedule | undefined
  readonly ranks: number
  /** Microbatches of the step, of which the schedule has the first and the last ones. */
  readonly microbatches: number
  /** Whether gradients of inputs and weights run apart. */
  readonly isDivided: boolean
  /**
   * Per rank how many microbatches of one of its stages are kept until their input gradients, how many between these and their weight
   * gradients, and of how many stages there are weight gradients: what was so at some time, and at none all of it and more.
   * Inference keeps nothing for a backward.
   */
  readonly inFlight: readonly (readonly InFlight[])[]
}

/** What a rank has of its stages between two of its actions. */
interface InFlight {
  readonly kept: number
  readonly deferred: number
  /** Of its stages, those with weight gradients; 1 for all. */
  readonly graded: number
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

/** The order of inference, which a spec does not name: each rank passes the microbatches on in turn. */
export const forwardOnly = 'forward'

/** After so many microbatches for each rank a schedule repeats itself. */
const settled = 4

/** The pipelines of a search, each made once. */
export class Pipelines {
  private readonly made = new Map<string, Pipeline | string>()
  private readonly divided = new Map<string, boolean>()
  private readonly bounds = new Map<string, PipelineBounds>()

  /** A pipeline, or why there is none. */
  of(name: string, ranks: number, virtual: number, microbatches: number): Pipeline | string {
    const extra = Math.max(0, microbatches - settled * ranks)
    const some = microbatches - Math.floor(extra / (2 * ranks)) * 2 * ranks
    const cut = this.known(name, ranks, virtual, some)
    // A schedule that begins all microbatches before it ends one never settles.
    const known = typeof cut !== 'string' && keepsAll(cut) ? this.known(name, ranks, virtual, microbatches) : cut
    return typeof known === 'string' ? known : { ...known, microbatches }
  }

  private known(name: string, ranks: number, virtual: number, microbatches: number): Pipeline | string {
    const key = `${name} ${ranks} ${virtual} ${microbatches}`
    const known = this.made.get(key) ?? this.make(name, ranks, virtual, microbatches)
    this.made.set(key, known)
    return known
  }

  /** What bounds the candidates of a pipeline; of those with one key it is found once. */
  boundsOf(key: string, pipeline: Pipeline, borders: readonly number[], layers: readonly string[]): PipelineBounds {
    const known = this.bounds.get(key) ?? boundsOf(pipeline, borders, layers)
    this.bounds.set(key, known)
    return known
  }

  /** Whether a schedule runs gradients of inputs and weights apart. */
  isDivided(name: string): boolean {
    const known = this.divided.get(name)
    if (known !== undefined) return known
    const small = this.of(name, 2, 2, 4)
    const one = typeof small === 'string' ? this.of(name, 2, 1, 4) : small
    const found = typeof one !== 'string' && one.isDivided
    this.divided.set(name, found)
    return found
  }

  private make(name: string, ranks: number, virtual: number, microbatches: number): Pipeline | string {
    try {
      if (name === forwardOnly) {
        const schedule = forwards(ranks, microbatches)
        const inFlight = schedule.orders.map(() => [{ kept: 0, deferred: 0, graded: 0 }])
        return { schedule, ranks, microbatches, inFlight, isDivided: false }
      }
      const schedule = makeSchedule(name, { ranks, microbatches, virtual })
      const isDivided = dividesBackward(schedule)
      const isLockstep = schedule.virtual > 1 && microbatches >= settled * ranks && !isDivided
      const shorter = isLockstep
        ? makeSchedule(name, { ranks, microbatches: microbatches - 2 * ranks, virtual })
        : undefined
      return { schedule, shorter, ranks, microbatches, isDivided, inFlight: inFlightOf(schedule) }
    } catch (error) {
      if (!isShardloomError(error)) throw error
      return error.message
    }
  }
}

/** The forwards of a schedule that has all of them first. */
function forwards(ranks: number, microbatches: number): Schedule {
  const { orders, ...schedule } = makeSchedule('gpipe', { ranks, microbatches })
  return { ...schedule, name: forwardOnly, orders: orders.map((order) => order.subarray(0, microbatches)) }
}

function dividesBackward({ orders, microbatches }: Schedule): boolean {
  return orders.some((order) => order.some((code) => unpackAction(code, microbatches).kind === 'W'))
}

/** Whether a rank at some time keeps all microbatches of all its stages. */
function keepsAll({ schedule, inFlight }: Pipeline): boolean {
  const all = (schedule.microbatches * schedule.stageRanks.length) / schedule.directions / schedule.ranks
  return inFlight.some((pairs) => pairs.some(({ kept }) => kept >= all))
}

/** Linear in the actions. */
function inFlightOf({ orders, microbatches, stageRanks }: Schedule): Pipeline['inFlight'] {
  return orders.map((order, rank) => {
    const own = stageRanks.filter((each) => each === rank).length
    const found = new Map<string, InFlight>()
    const graded = new Set<number>()
    let [kept, deferred] = [0, 0]
    for (const code of order) {
      const { kind, stage } = unpackAction(code, microbatches)
      if (kind === 'F') kept++
      else if (kind !== 'W') kept--
      if (kind === 'I') deferred++
      else if (kind === 'W') deferred--
      if (kind === 'B' || kind === 'W') graded.add(stage)
      const key = `${deferred} ${graded.size}`
      if (kept > (found.get(key)?.kept ?? -1)) found.set(key, { kept, deferred, graded: graded.size / own })
    }
    const all = [...found.values()]
    return all.filter((one) => !all.some((other) => other !== one && holdsMore(other, one)))
  })
}

/** Of two that are not equal. */
const holdsMore = (a: InFlight, b: InFlight) => a.kept >= b.kept && a.deferred >= b.deferred && a.graded >= b.graded

/**
 * Runs a pipeline: the schedule of its first and last microbatches by their dependencies, and each one between them for as long as the
 * busiest rank takes, which a schedule that has settled repeats. Ranks that go through their chunks in step wait for each other at each of
 * them where chunks differ: what one more microbatch takes is then what the last ones have taken.
 */
export function pipelineTime(
  { schedule, shorter, microbatches }: Pipeline,
  { forward, input, weight }: StageSeconds,
): PipelineTime {
  const costs = { F: forward, I: input, W: weight }
  const timed = timeSchedule(schedule, costs)
  const busiest = Math.max(...timed.work) / schedule.microbatches
  const left = microbatches - schedule.microbatches
  const isUneven =
    left > 0 && forward.some((each, stage) => stage > 1 && stage < forward.length - 1 && each !== forward[1])
  const added =
    shorter && isUneven
      ? (timed.makespan - timeSchedule(shorter, costs).makespan) / (schedule.microbatches - shorter.microbatches)
      : 0
  const more = Math.max(busiest, added) * left
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
