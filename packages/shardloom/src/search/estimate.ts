import type { PartCost } from '@shardloom/simulator'
import { isEnd } from './forms.js'
import { besideCopies, copiesOf, type Prefetch, type StageCopies } from './host-copies.js'
import { awaitLinks, besideState, type LinkedPart, type Overlap, untilGradient } from './link-loads.js'
import type { PartState } from './part-state.js'
import {
  type Divided,
  flightsOf,
  forwardOnly,
  type InFlight,
  keptIn,
  type Pipeline,
  type PipelineTime,
  pipelineTime,
  type StageSeconds,
} from './pipelines.js'

/** One stage: what it takes of each microbatch, keeps of it, and has all through the step. Seconds and bytes. */
export interface StageCost {
  /** Where anything moves over the host link. */
  copies: StageCopies | undefined
  layers: number
  forward: number
  input: number
  weight: number
  /** Of these what the device computes. */
  kernels: { forward: number; input: number; weight: number }
  /** For each microbatch in flight; `endBytes` for one alone, as the end of the model hands it back at once. */
  keptBytes: number
  deferredBytes: number
  endBytes: number
  workingBytes: number
  /** The same without the end behind the layers, which has nothing left to do when all gradients are there. */
  layerWorkingBytes: number
  stateBytes: number
  gradientBytes: number
  gatherSeconds: number
  reduceSeconds: number
  spreadSeconds: number
  updateSeconds: number
}

/** What stages are made of: parts with their costs and state. */
export interface Model extends Overlap {
  readonly parts: ReadonlyMap<string, PartCost>
  readonly states: ReadonlyMap<string, PartState>
  /** Of a step: each has its own share of the KV cache. */
  readonly microbatches: number
  readonly prefetch: Prefetch
  readonly divided: Divided
}

/** A stage that has each of `parts` so many times; the first one, and those behind the layers, are ends of the model. */
export function stageOf(model: Model, parts: readonly string[], counts: Float64Array): StageCost {
  const stage: StageCost = {
    copies: undefined,
    layers: 0,
    forward: 0,
    input: 0,
    weight: 0,
    kernels: { forward: 0, input: 0, weight: 0 },
    keptBytes: 0,
    deferredBytes: 0,
    endBytes: 0,
    workingBytes: 0,
    layerWorkingBytes: 0,
    stateBytes: 0,
    gradientBytes: 0,
    gatherSeconds: 0,
    reduceSeconds: 0,
    spreadSeconds: 0,
    updateSeconds: 0,
  }
  let [aheadBytes, lateBytes] = [0, 0]
  const moving: { readonly times: number; readonly cost: PartCost }[] = []
  const linked: LinkedPart[] = []
  const isLinked = !model.blocking && parts.some((part) => model.states.get(part)?.links.length)
  const ends = { forward: 0, backward: 0 }
  parts.forEach((part, at) => {
    const state = model.states.get(part)
    if (counts[at] === 0 || isEnd(part)) return
    stage.layers += counts[at] as number
    if (!state) return
    const { B = 0, I = 0, W = 0 } = model.parts.get(part)?.seconds ?? {}
    // Gradients of the layer before are there beside a layer's own as far as they are not reduced when it ends.
    const busy = state.links.reduce((most, { gathered, reduced }) => Math.max(most, gathered + reduced), 0)
    if (busy > 0) lateBytes = Math.max(lateBytes, state.reducedBytes * (1 - (B + I + W) / busy))
    aheadBytes = Math.max(aheadBytes, state.gatheredBytes)
  })
  parts.forEach((part, at) => {
    const times = counts[at] as number
    if (times === 0) return
    const cost = model.parts.get(part)
    const state = model.states.get(part)
    const kept = isEnd(part) ? 'endBytes' : 'keptBytes'
    if (cost) {
      const alone = besideCopies(cost, model)
      const { forward, input, weight } = state ? besideState(alone, state.links, model, model.divided) : alone
      stage.forward += times * forward
      stage.input += times * input
      stage.weight += times * weight
      stage.kernels.forward += times * cost.kernels.F
      stage.kernels.input += times * (cost.kernels.B + cost.kernels.I)
      stage.kernels.weight += times * cost.kernels.W
      if (cost.copies.F) moving.push({ times, cost })
      if (part === 'last') {
        ends.forward += alone.forward
        ends.backward += alone.input
      }
      stage[kept] += times * cost.keptBytes
      stage.deferredBytes += times * cost.deferredBytes
      // Beside a part that is whole the next one is, which has been gathered ahead.
      // Where the gradients of an end are whole, what it kept has been read for the last time: logits, before their head's gradient is made.
      const reduced = Math.max(0, (state?.reducedBytes ?? 0) - (part === 'last' ? cost.keptBytes : 0))
      const gathered = state ? state.gatheredBytes + aheadBytes : 0
      // Of an embedding backward reads nothing, so that what forward gathers is gone; nor do gradients of weights where they run apart.
      const isRead = part !== 'first' && model.divided !== 'all'
      const whole = state ? Math.max(gathered, (isRead ? gathered : 0) + reduced + lateBytes) : 0
      stage.workingBytes = Math.max(stage.workingBytes, cost.workingBytes + whole)
      if (part !== 'last') stage.layerWorkingBytes = Math.max(stage.layerWorkingBytes, cost.workingBytes + whole)
      stage.stateBytes += times * cost.cacheBytes * model.microbatches
    }
    if (!state) return
    if (isLinked) linked.push({ times, part, cost, links: state.links })
    stage[kept] += times * state.keptBytes
    stage.stateBytes += times * state.bytes
    stage.gradientBytes += times * state.gradientBytes
    stage.gatherSeconds += times * state.gatherSeconds
    stage.reduceSeconds += times * state.reduceSeconds
    stage.spreadSeconds += times * state.spreadSeconds
    stage.updateSeconds += times * state.updateSeconds
  })
  if (moving.length > 0) stage.copies = copiesOf(moving, ends, model)
  if (isLinked) awaitLinks(stage, linked)
  return stage
}

/** The most bytes that each rank of a pipeline holds. */
export function peakBytesOf(pipeline: Pipeline, stages: readonly StageCost[]): number {
  let most = 0
  for (let rank = 0; rank < pipeline.schedule.ranks; rank++)
    most = Math.max(most, ...heldBy(pipeline, rank, (chunk) => stages[chunk] as StageCost, stages.length))
  return most
}

/** What a rank holds, of those of `count` chunks that it has, at each of the times that {@link Pipeline.inFlight} tells apart. Bytes. */
export function heldBy(
  pipeline: Pipeline,
  rank: number,
  costOf: (chunk: number) => StageCost,
  count: number,
): number[] {
  let [bytes, ends, kept, deferred, working, layerWorking, gradients] = [0, 0, 0, 0, 0, 0, 0]
  const keptBytes: number[] = []
  let [leaving, back] = [0, 0]
  const stages = pipeline.stagesOf[rank] ?? []
  const own = stages.length
  for (const stage of stages) {
    const cost = costOf(stage % count)
    bytes += cost.stateBytes
    ends += cost.endBytes
    gradients += cost.gradientBytes
    kept += cost.keptBytes
    keptBytes.push(cost.keptBytes)
    deferred += cost.deferredBytes
    working = Math.max(working, cost.workingBytes)
    layerWorking = Math.max(layerWorking, cost.layerWorkingBytes)
    leaving += cost.copies?.backlogBytes ?? 0
    back = Math.max(back, cost.copies?.reloadedBytes ?? 0)
  }
  const { first = 0, later = 0 } = pipeline.inRow[rank] ?? {}
  // Nothing comes back before all has left. Before the first backward nothing is deferred, and there are no gradients.
  const moving = Math.max(back, (later * leaving) / own)
  const held = (each: InFlight) =>
    each.kept.reduce((sum, count, at) => sum + count * (keptBytes[at] as number), 0) +
    (each.deferred * deferred) / own +
    each.graded * gradients +
    moving +
    (isOver(each) ? layerWorking : ends + working)
  const flights = (pipeline.inFlight[rank] ?? []).map(held)
  // Of unequal chunks it matters which ones are in flight.
  if (keptBytes.some((each) => each !== keptBytes[0])) {
    let most = 0
    for (const flight of flightsOf(pipeline, rank)) most = Math.max(most, held(flight))
    flights.push(most)
  }
  if (leaving > 0) flights.push((first * (kept + leaving)) / own + ends + working)
  return flights.map((flight) => bytes + flight)
}

/** Whether no microbatch is kept and gradients are there: the last backward has gone through the end behind the layers before. */
export const isOver = (each: InFlight) => each.graded > 0 && keptIn(each) === 0

/** What passing a microbatch on to the next stage takes, and whether it goes on beside what ranks compute. */
export interface Passing {
  readonly seconds: number
  readonly isBeside: boolean
}

/**
 * The seconds of all stages of a schedule, for {@link pipelineTime}. What is not passed on beside computing lengthens the action that it is
 * for, as where ranks of inference receive for one when they have ended the one before.
 */
export function secondsOf(
  { schedule, overlaps }: Pipeline,
  stages: readonly StageCost[],
  { seconds, isBeside }: Passing,
): StageSeconds {
  const { stageRanks } = schedule
  const count = stages.length
  const send = isBeside ? 0 : seconds
  const of = (field: 'forward' | 'input' | 'weight', from: number) => {
    const end = from < 0 ? 0 : count - 1
    return Float64Array.from(stageRanks, (rank, stage) => {
      const own = stages[stage % count]?.[field] ?? 0
      const isReceived = from !== 0 && stage % count !== end && stageRanks[stage + from] !== rank
      return isReceived ? own + send : own
    })
  }
  const inKernels = (field: 'forward' | 'input' | 'weight') =>
    Float64Array.from(stageRanks, (_, stage) => stages[stage % count]?.kernels[field] ?? 0)
  const kernels = () => ({ forward: inKernels('forward'), input: inKernels('input'), weight: inKernels('weight') })
  const isForward = schedule.name === forwardOnly
  return {
    forward: of('forward', -1),
    input: isForward ? new Float64Array(stageRanks.length) : of('input', 1),
    weight: of('weight', 0),
    send: isBeside ? seconds : 0,
    ...(overlaps && { kernels: kernels() }),
  }
}

/**
 * By how much parameters that are gathered once per step hold up the first microbatch: a stage begins with those of its first layer, and
 * gathers the others beside it, from the start of the step on.
 */
function heldUp(
  { schedule }: Pipeline,
  stages: readonly StageCost[],
  seconds: StageSeconds,
  blocking: boolean,
): number {
  let [arrival, most] = [0, 0]
  for (let stage = 0; stage < Math.min(schedule.ranks, stages.length); stage++) {
    const { gatherSeconds, forward, layers } = stages[stage] as StageCost
    const late = blocking ? gatherSeconds : gatherSeconds / Math.max(1, layers) + Math.max(0, gatherSeconds - forward)
    most = Math.max(most, late - arrival)
    arrival += seconds.forward[stage] ?? 0
  }
  return most
}

/**
 * By how much the last microbatch comes later from each stage on its way back: gradients are reduced beside its backwards, which take longer for it.
 * Where gradients of weights run apart, they are not there before they have nothing to hold up. Seconds.
 */
function heldBack(
  { schedule, isDivided }: Pipeline,
  stages: readonly StageCost[],
  { contention, blocking }: Overlap,
): Float64Array {
  const late = new Float64Array(schedule.stageRanks.length + 1)
  if (blocking || isDivided || schedule.name === forwardOnly) return late
  for (let stage = late.length - 2; stage >= 0; stage--) {
    const { input, weight, layers, reduceSeconds } = stages[stage % stages.length] as StageCost
    const beside = (input + weight) * (1 - untilGradient / Math.max(1, layers))
    late[stage] = (late[stage + 1] as number) + contention * Math.min(beside, reduceSeconds)
  }
  return late
}

/**
 * A whole step: the first parameters, the pipeline, then of each rank the reductions of gradients that its last backwards have not hidden, and when all are
 * there the update, whose results are gathered beside it.
 */
export function stepSeconds(
  pipeline: Pipeline,
  stages: readonly StageCost[],
  seconds: StageSeconds,
  overlap: Overlap,
  known?: PipelineTime,
): number {
  const { blocking } = overlap
  const time =
    known ??
    pipelineTime(
      pipeline,
      seconds,
      stages.map(({ copies }) => copies),
      overlap.contention,
    )
  const late = heldBack(pipeline, stages, overlap)
  let [reduced, updated] = [time.seconds + (late[0] as number), 0]
  for (const finished of time.finished) {
    let at = 0
    let update = 0
    let spread = 0
    for (const { stage, at: undisturbed } of finished) {
      const cost = stages[stage % stages.length] as StageCost
      const all = cost.reduceSeconds
      const layers = Math.max(1, cost.layers)
      const end = undisturbed + (late[stage] as number)
      const backward = cost.input + cost.weight + (late[stage] as number) - (late[stage + 1] as number)
      // Of each layer, as soon as it has its gradients.
      at = blocking
        ? Math.max(at, end) + all
        : Math.max(Math.max(at, end - backward + backward / layers) + all, end + all / layers)
      update += cost.updateSeconds
      spread += cost.spreadSeconds
    }
    reduced = Math.max(reduced, at)
    updated = Math.max(updated, blocking ? update + spread : Math.max(update, spread))
  }
  return heldUp(pipeline, stages, seconds, blocking) + reduced + updated
}
