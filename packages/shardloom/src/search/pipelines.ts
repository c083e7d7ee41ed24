import { isShardloomError } from '@shardloom/core'
import {
  makeSchedule,
  type Schedule,
  stepsOf,
  type TimedSchedule,
  timeSchedule,
  unpackAction,
} from '@shardloom/schedules'
import { boundsOf, type PipelineBounds } from './forms.js'
import { type StageCopies, startsBesideCopies } from './host-copies.js'

/** A schedule of enough microbatches to tell what more of them take. */
export interface Pipeline {
  readonly schedule: Schedule
  /** The same of 2p microbatches fewer, which tells what one more takes where that is more than the busiest rank works on it. */
  readonly shorter?: (() => Schedule) | undefined
  readonly ranks: number
  /** Of each rank its stages, in the order of the data. */
  readonly stagesOf: readonly (readonly number[])[]
  /** Microbatches of the step, of which the schedule has the first and the last ones. */
  readonly microbatches: number
  /** Whether gradients of inputs and weights run apart. */
  readonly isDivided: boolean
  /** Whether forwards overlap with backwards of other microbatches. */
  readonly overlaps: boolean
  /**
   * Per rank how many microbatches of each of its stages are kept until their input gradients, how many between these and their weight
   * gradients, and of how many stages there are weight gradients: what was so at some time, and at none all of it and more.
   * Inference keeps nothing for a backward.
   */
  readonly inFlight: readonly (readonly InFlight[])[]
  /** Per rank how many forwards follow each other before the first backward, and at most behind it. */
  readonly inRow: readonly { readonly first: number; readonly later: number }[]
  /** Chains of actions that follow each other, of which no step takes less than the longest. */
  readonly chains: readonly Chain[]
}

/**
 * A microbatch on its way to a rank, all that the rank does, and the last microbatch on its way from there. In the order of the data these
 * are forwards of the first stages, and then inputs of them (training) or forwards of the last ones.
 */
export interface Chain {
  readonly rank: number
  /** Of how many stages the first microbatch has passed before. */
  readonly before: number
  /** Through how many stages the last one has still to go. */
  readonly after: number
  /** Of how many microbatches the rank runs gradients of weights beside that, by stage. */
  readonly beside: ReadonlyMap<number, number>
}

/** What a rank has of its stages between two of its actions. */
export interface InFlight {
  /** By the rank's stages, in their order. */
  readonly kept: readonly number[]
  readonly deferred: number
  /** Of its stages, those with weight gradients; 1 for all. */
  readonly graded: number
}

/** What the actions of each stage take, in the order of the data. Seconds. */
export interface StageSeconds {
  readonly forward: Float64Array
  readonly input: Float64Array
  readonly weight: Float64Array
  /** From the end of an action to when its result is on another rank, where nobody does that instead of computing. */
  readonly send: number
  /** Of these, where pairs overlap, those in which the device computes. */
  readonly kernels?: StageKernels
}

/** What the device computes of the actions of each stage. Seconds. */
export type StageKernels = Pick<StageSeconds, 'forward' | 'input' | 'weight'>

/** A pipeline in time. */
export interface PipelineTime {
  readonly seconds: number
  /** Per rank its stages, each with the time at which the last of its backwards ends, in that order. */
  readonly finished: readonly (readonly { readonly stage: number; readonly at: number }[])[]
}

/** The order of inference, which a spec does not name: each rank passes the microbatches on in turn. */
export const forwardOnly = 'forward'

/** Of the backwards of a schedule, those whose gradients of weights are actions of their own. */
export type Divided = 'nothing' | 'some' | 'all'

/** After so many microbatches for each rank a schedule repeats itself. */
const settled = 4

/** The pipelines of a search, each made once. */
export class Pipelines {
  private readonly made = new Map<string, Pipeline | string>()
  private readonly divided = new Map<string, Divided>()
  private readonly overlapping = new Map<string, boolean>()
  private readonly whole = new Map<string, Pipeline | string>()
  private readonly bounds = new WeakMap<Pipeline, Map<string, PipelineBounds>>()
  private readonly even = new Map<string, readonly number[]>()
  private readonly texts = new WeakMap<readonly number[], string>()

  /** A pipeline, or why there is none. */
  of(name: string, ranks: number, virtual: number, microbatches: number): Pipeline | string {
    const key = `${name} ${ranks} ${virtual} ${microbatches}`
    const known = this.whole.get(key) ?? this.settling(name, ranks, virtual, microbatches)
    this.whole.set(key, known)
    return known
  }

  private settling(name: string, ranks: number, virtual: number, microbatches: number): Pipeline | string {
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

  /** What bounds the candidates of a pipeline whose chunks have these borders, among the layers of the model. */
  boundsOf(pipeline: Pipeline, borders: readonly number[], layers: readonly string[]): PipelineBounds {
    const text = this.texts.get(borders) ?? borders.join()
    this.texts.set(borders, text)
    const all = this.bounds.get(pipeline) ?? new Map<string, PipelineBounds>()
    this.bounds.set(pipeline, all)
    const known = all.get(text) ?? boundsOf(pipeline, borders, layers)
    all.set(text, known)
    return known
  }

  /** Borders of so many chunks, as even as can be. */
  evenBorders(layers: number, chunks: number): readonly number[] {
    const key = `${layers} ${chunks}`
    const border = (_: unknown, chunk: number) => Math.floor((chunk * layers) / chunks)
    const known = this.even.get(key) ?? Array.from({ length: chunks + 1 }, border)
    this.even.set(key, known)
    return known
  }

  /** Whether a schedule runs gradients of inputs and weights apart. */
  isDivided(name: string): boolean {
    return this.dividedBy(name) !== 'nothing'
  }

  /** Whether forwards of a schedule overlap with backwards. */
  overlaps(name: string): boolean {
    const known = this.overlapping.get(name)
    if (known !== undefined) return known
    const one = this.small(name)
    const found = typeof one !== 'string' && one.overlaps
    this.overlapping.set(name, found)
    return found
  }

  private small(name: string): Pipeline | string {
    const small = this.of(name, 2, 2, 4)
    return typeof small === 'string' ? this.of(name, 2, 1, 4) : small
  }

  /** Which backwards of a schedule are divided. */
  dividedBy(name: string): Divided {
    const known = this.divided.get(name)
    if (known) return known
    const one = this.small(name)
    const found = typeof one === 'string' || !one.isDivided ? 'nothing' : runs(one.schedule, 'B') ? 'some' : 'all'
    this.divided.set(name, found)
    return found
  }

  private make(name: string, ranks: number, virtual: number, microbatches: number): Pipeline | string {
    try {
      const isForward = name === forwardOnly
      const schedule = isForward ? forwards(ranks, microbatches) : makeSchedule(name, { ranks, microbatches, virtual })
      const stages = stagesOf(schedule)
      const own = { schedule, ranks, microbatches, stagesOf: stages, chains: chainsOf(schedule) }
      if (isForward) {
        const inFlight = stages.map(() => [{ kept: [0], deferred: 0, graded: 0 }])
        return { ...own, inFlight, inRow: [], isDivided: false, overlaps: false }
      }
      const isDivided = runs(schedule, 'W')
      let known: Schedule | undefined
      const fewer = { ranks, microbatches: microbatches - 2 * ranks, virtual }
      const shorter = microbatches >= settled * ranks ? () => (known ??= makeSchedule(name, fewer)) : undefined
      const inFlight = inFlightOf(schedule, stages)
      return { ...own, shorter, isDivided, overlaps: hasPairs(schedule), inFlight, inRow: inRowOf(schedule) }
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

const runs = ({ orders, microbatches }: Schedule, kind: 'B' | 'W') =>
  orders.some((order) => order.some((code) => unpackAction(code, microbatches).kind === kind))

/** Whether pairs of actions overlap in any of these schedules. */
export function anyOverlaps(names: readonly string[]): boolean {
  const pipelines = new Pipelines()
  return names.some((name) => pipelines.overlaps(name))
}

const hasPairs = (schedule: Schedule) => stepsOf(schedule, 0).some(({ kind }) => kind === 'OVERLAP_F_B')

/**
 * What an overlapped pair takes of which the forward goes first: while it waits for communication the backward computes, and while it computes that of
 * the backward is under way, and both take longer for it; the rest of the backward follows. Never less than both compute, or than either takes alone.
 */
function pairSeconds(
  forward: number,
  backward: number,
  kernels: { readonly forward: number; readonly backward: number },
  contention: number,
): number {
  const waits = { forward: forward - kernels.forward, backward: backward - kernels.backward }
  const done = Math.min(
    1,
    kernels.backward > 0 ? waits.forward / kernels.backward : 1,
    waits.backward > 0 ? kernels.forward / waits.backward : 1,
  )
  return forward + (1 - (1 - contention) * done) * backward
}

/** Whether a rank at some time keeps all microbatches of all its stages. */
function keepsAll({ schedule, inFlight }: Pipeline): boolean {
  const all = (schedule.microbatches * schedule.stageRanks.length) / schedule.directions / schedule.ranks
  return inFlight.some((pairs) => pairs.some((each) => keptIn(each) >= all))
}

function stagesOf({ ranks, stageRanks }: Schedule): number[][] {
  const found = Array.from({ length: ranks }, (): number[] => [])
  stageRanks.forEach((rank, stage) => void found[rank]?.push(stage))
  return found
}

/** Linear in the actions. */
function inFlightOf(schedule: Schedule, stagesOf: Pipeline['stagesOf']): Pipeline['inFlight'] {
  return stagesOf.map((_, rank) => {
    const found = new Map<number, InFlight>()
    const most = new Map<number, number>()
    for (const { kept, deferred, graded } of flightsOf({ schedule, stagesOf }, rank)) {
      // How many are deferred is a whole number, what is graded a share.
      const key = deferred + graded / 2
      let all = 0
      for (const each of kept) all += each
      if (all <= (most.get(key) ?? -1)) continue
      most.set(key, all)
      found.set(key, { kept: [...kept], deferred, graded })
    }
    const times = [...found.values()]
    return times.filter((one) => !times.some((other) => other !== one && holdsMore(other, one)))
  })
}

/** What a rank has of its stages after each of its actions; the same object, which changes. Linear in the actions. */
export function* flightsOf(
  { schedule: { orders, microbatches }, stagesOf }: Pick<Pipeline, 'schedule' | 'stagesOf'>,
  rank: number,
): Generator<InFlight> {
  const own = stagesOf[rank] ?? []
  const graded = new Set<number>()
  const now = { kept: own.map(() => 0), deferred: 0, graded: 0 }
  for (const code of orders[rank] ?? []) {
    const { kind, stage } = unpackAction(code, microbatches)
    const at = own.indexOf(stage)
    if (kind === 'F') now.kept[at] = (now.kept[at] as number) + 1
    else if (kind !== 'W') now.kept[at] = (now.kept[at] as number) - 1
    if (kind === 'I') now.deferred++
    else if (kind === 'W') now.deferred--
    if (kind === 'B' || kind === 'W') graded.add(stage)
    now.graded = graded.size / own.length
    yield now
  }
}

function inRowOf({ orders, microbatches }: Schedule): Pipeline['inRow'] {
  return orders.map((order) => {
    const most = { first: 0, later: 0 }
    let [now, begun] = [0, false]
    for (const code of order) {
      const isForward = unpackAction(code, microbatches).kind === 'F'
      now = isForward ? now + 1 : 0
      begun ||= !isForward
      const run = begun ? 'later' : 'first'
      most[run] = Math.max(most[run], now)
    }
    return most
  })
}

/** Of two that are not equal. */
const holdsMore = (a: InFlight, b: InFlight) =>
  keptIn(a) >= keptIn(b) && a.deferred >= b.deferred && a.graded >= b.graded

/** How many microbatches are kept in all stages of a rank. */
export const keptIn = ({ kept }: InFlight): number => kept.reduce((sum, each) => sum + each, 0)

/**
 * Runs a pipeline: the schedule of its first and last microbatches by their dependencies, and each one between them for as long as the
 * busiest rank takes, which a schedule that has settled repeats. Ranks that go through their chunks in step wait for each other at each of
 * them where chunks differ: what one more microbatch takes is then what the last ones have taken.
 */
export function pipelineTime(
  { schedule, shorter, microbatches, isDivided }: Pipeline,
  { forward, input, weight, send, kernels }: StageSeconds,
  copies: readonly (StageCopies | undefined)[] = [],
  contention = 0,
): PipelineTime {
  const copy = copies.some((each) => each)
  const overlap = (first: number, second: number, kind: 'I' | 'B') => {
    const of = (seconds: StageKernels) => ({
      forward: seconds.forward[first] as number,
      backward: (seconds.input[second] as number) + (kind === 'B' ? (seconds.weight[second] as number) : 0),
    })
    const own = of({ forward, input, weight })
    return pairSeconds(own.forward, own.backward, kernels ? of(kernels) : own, contention)
  }
  const run = (one: Schedule) => {
    const startOf = copy ? { startOf: startsBesideCopies(copies, one.ranks) } : {}
    return timeSchedule(one, { F: forward, I: input, W: weight, send, ...startOf, ...(kernels && { overlap }) })
  }
  const timed = run(schedule)
  const busiest = Math.max(...timed.work) / schedule.microbatches
  const left = microbatches - schedule.microbatches
  const isUneven =
    schedule.virtual > 1 &&
    !isDivided &&
    forward.some((each, stage) => stage > 1 && stage < forward.length - 1 && each !== forward[1])
  const fewer = left > 0 && (isUneven || copy) ? shorter?.() : undefined
  const added = fewer ? (timed.makespan - run(fewer).makespan) / (schedule.microbatches - fewer.microbatches) : 0
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

/** Linear in the actions. */
function chainsOf({ name, orders, microbatches, stageRanks, directions }: Schedule): Chain[] {
  return orders.map((order, rank) => {
    // In two directions the data come from both ends.
    if (directions === 2) return { rank, before: 0, after: 0, beside: new Map() }
    const before = unpackAction(order[0] ?? 0, microbatches).stage
    const beside = new Map<number, number>()
    for (let at = order.length - 1; at >= 0; at--) {
      const { kind, stage } = unpackAction(order[at] as number, microbatches)
      if (name === forwardOnly) return { rank, before, after: stageRanks.length - 1 - stage, beside }
      if (kind !== 'W') return { rank, before, after: stage, beside }
      beside.set(stage, (beside.get(stage) ?? 0) + 1)
    }
    return { rank, before, after: 0, beside }
  })
}

/** No pipeline of these stages takes less than the longest of its chains. `more`: what each rank does besides. */
export function leastSeconds(
  { schedule: { name, ranks, stageRanks, directions }, microbatches, chains }: Pipeline,
  { forward, input, weight }: StageKernels,
  more?: Float64Array,
): number {
  const work = more?.slice() ?? new Float64Array(ranks)
  const [forwards, inputs] = [new Float64Array(stageRanks.length + 1), new Float64Array(stageRanks.length + 1)]
  stageRanks.forEach((rank, stage) => {
    const [f, i] = [forward[stage] as number, input[stage] as number]
    work[rank] = (work[rank] as number) + (microbatches / directions) * (f + i + (weight[stage] as number))
    forwards[stage + 1] = (forwards[stage] as number) + f
    inputs[stage + 1] = (inputs[stage] as number) + i
  })
  const all = forwards.at(-1) as number
  let most = Math.max(...work)
  for (const { rank, before, after, beside } of chains) {
    let sum = (forwards[before] as number) + (work[rank] as number)
    most = Math.max(most, sum)
    for (const [stage, times] of beside) sum -= times * (weight[stage] as number)
    sum += name === forwardOnly ? all - (forwards[stageRanks.length - after] as number) : (inputs[after] as number)
    most = Math.max(most, sum)
  }
  return most
}
