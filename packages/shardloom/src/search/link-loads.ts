import type { LinkUses, Machine, PartCost, StateMove } from '@shardloom/simulator'
import { isEnd } from './forms.js'
import type { Divided, Pipeline, StageSeconds } from './pipelines.js'

/** How computing and collectives of parameters and gradients go on beside each other. */
export interface Overlap {
  /** The share by which computing beside communication takes longer. */
  readonly contention: number
  /** Whether nothing is computed beside these collectives. */
  readonly blocking: boolean
}

/** How it is on a machine. */
export function overlapOn({ engine, constants }: Machine): Overlap {
  return { contention: constants.values.contention, blocking: engine.blocking.includes('dp') }
}

/** Computing with communication beside it that nothing else waits for: the longer of the two, and what they take from each other. */
export function beside(computing: number, communicating: number, { contention, blocking }: Overlap): number {
  if (communicating === 0) return computing
  if (blocking) return computing + communicating
  return Math.max(computing + contention * Math.min(computing, communicating), communicating)
}

/** How long collectives of a part's parameters and gradients keep the links of one stream busy in each microbatch. Seconds. */
export interface StateLinks {
  readonly name: string
  /** Gathering before forward and before backward, and reducing what backward makes. */
  forward: number
  gathered: number
  reduced: number
  /** Whether the last gradient of the part is reduced here. */
  isLast: boolean
}

/** Adds a collective of each microbatch, which takes so long, to those of a part, in their order. */
export function addMove(all: Map<string, StateLinks>, { links, op, when }: StateMove, seconds: number): void {
  const own = all.get(links) ?? { name: links, forward: 0, gathered: 0, reduced: 0, isLast: false }
  all.set(links, own)
  const does = when === 'F' ? 'forward' : op === 'all-gather' ? 'gathered' : 'reduced'
  own[does] += seconds
  if (does === 'reduced') for (const each of all.values()) each.isLast = each === own
}

/** What the actions of a part or a stage take. Seconds. */
export interface ActionSeconds {
  forward: number
  input: number
  weight: number
}

/** A part that a stage has some times over, with the links that its state keeps busy. */
export interface LinkedPart {
  readonly times: number
  readonly part: string
  readonly cost: PartCost | undefined
  readonly links: readonly Readonly<StateLinks>[]
}

/** What a stage's collectives of parameters and gradients do beside its actions. */
export interface StageLoads {
  /** By stream how long it is busy for one microbatch, activations included, and whether forward has any of it. */
  readonly streams: ReadonlyMap<string, { readonly seconds: number; readonly isForward: boolean }>
  /** By how much the last gradients are reduced later than the last backward ends. */
  readonly lateSeconds: number
}

/**
 * The share of a layer's backward that passes before it has a gradient. Backward begins with the last product of the feed-forward network: of
 * Llama 3.1 405B 53,248 · 16,384 of the 11.9 · 16,384² weights of a layer, beside which attention takes time too.
 */
export const untilGradient = 1 / 4

/** Layers whose gradients are reduced while another one computes: the layer behind them waits. */
const reducing = 2

const busyIn = (cost: PartCost | undefined, direction: keyof LinkUses, name: string) =>
  cost?.links[direction]?.get(name)?.busy ?? 0

/** What backward of a part takes where it makes gradients of parameters. Seconds. */
const gradingIn = (cost: PartCost | undefined) => (cost ? cost.seconds.B + cost.seconds.W : 0)

/** Whether gradients of weights are computed apart. */
const isDivided = ({ seconds: { I, W } }: PartCost) => I > 0 || W > 0

/**
 * What the actions of a part take with collectives of its state beside them. Streams go on beside each other. An action waits for what it gathers,
 * and for collectives that stand before those of activations on their stream: what is gathered for the next layer before the first of these, and what is reduced
 * before one of them, of which no more is hidden than passes between two.
 */
export function besideState(
  own: ActionSeconds,
  cost: PartCost,
  links: readonly Readonly<StateLinks>[],
  { contention, blocking }: Overlap,
): ActionSeconds {
  if (links.length === 0) return own
  const apart = isDivided(cost)
  const action = (
    seconds: number,
    direction: keyof LinkUses,
    gathers: 'forward' | 'gathered' | undefined,
    reduces: boolean,
  ) => {
    let [all, longest, late] = [0, 0, 0]
    for (const link of links) {
      const gathered = gathers ? link[gathers] : 0
      const reduced = reduces ? link.reduced : 0
      const use = cost.links[direction]?.get(link.name)
      all += gathered + reduced
      longest = Math.max(longest, gathered + reduced)
      late = Math.max(
        late,
        use ? Math.max(0, gathered - use.ahead) + Math.max(0, reduced - use.gap) : gathered - seconds,
      )
    }
    const beside = contention * Math.min(seconds, longest)
    return seconds + (blocking ? all : Math.max(beside, late))
  }
  return {
    forward: action(own.forward, 'F', 'forward', false),
    input: action(own.input, apart ? 'I' : 'B', 'gathered', !apart),
    weight: apart ? action(own.weight, 'W', undefined, true) : own.weight,
  }
}

/**
 * What the collectives of a stage do beside its actions, whose `seconds` get longer where a layer waits for gradients: those of the layer two
 * before it have to be reduced, so that of all that an action reduces the last two layers' are nobody's to wait for. But where the last that an action
 * does is to reduce, as of an embedding and of gradients of weights that come apart, the next one waits for that.
 */
export function loadsOf(parts: readonly LinkedPart[], seconds: ActionSeconds, divided: Divided): StageLoads {
  const streams = new Map<string, { seconds: number; isForward: boolean }>()
  const inLayers = parts.filter(({ part }) => !isEnd(part))
  const layers = inLayers.reduce((sum, { times }) => sum + times, 0)
  const longest = inLayers.reduce((most, { cost }) => Math.max(most, gradingIn(cost)), 0)
  const forwards = parts.reduce((sum, { times, cost }) => sum + times * (cost?.seconds.F ?? 0), 0)
  const apart = divided !== 'nothing'
  const action = apart ? 'weight' : 'input'
  const first = parts.find(({ part, links }) => part === 'first' && links.some(({ isLast }) => isLast))
  const awaited = (first ?? (divided === 'all' ? inLayers[0] : undefined))?.links.find(({ isLast }) => isLast)?.name
  const names = new Set(parts.flatMap(({ links }) => links.map(({ name }) => name)))
  let [least, end, late, gathers] = [0, 0, 0, 0]
  for (const name of names) {
    const stream = { seconds: 0, isForward: false }
    streams.set(name, stream)
    let [busy, whole, last, ahead] = [0, 0, 0, 0]
    for (const { times, part, cost, links } of parts) {
      const { forward = 0, gathered = 0, reduced = 0 } = links.find((each) => each.name === name) ?? {}
      const own = apart ? busyIn(cost, 'W', name) + reduced : busyIn(cost, 'B', name) + gathered + reduced
      stream.seconds += times * (busyIn(cost, 'F', name) + forward + own)
      if (apart) stream.seconds += times * (busyIn(cost, 'I', name) + gathered)
      stream.isForward ||= forward + busyIn(cost, 'F', name) > 0
      whole += times * own
      if (part !== 'first') busy += times * own
      if (!isEnd(part)) last = Math.max(last, reduced)
      if (part !== 'first' && isEnd(part)) continue
      late = Math.max(late, reduced - (1 - untilGradient) * gradingIn(cost))
      // What stands before layers is gathered behind the first of these and the one after it, and yet read before.
      if (first) ahead += Math.min(times, 2) * forward
    }
    if (layers > reducing) least = Math.max(least, busy - reducing * last + (1 + untilGradient) * longest)
    if (name === awaited) least = Math.max(least, whole + untilGradient * longest)
    end = Math.max(end, whole + untilGradient * longest)
    gathers = Math.max(gathers, ahead)
  }
  seconds.forward = Math.max(seconds.forward, gathers + forwards)
  // Gradients of weights that are not always apart have those of inputs beside them.
  const before = divided === 'some' ? seconds.input : 0
  seconds[action] = Math.max(seconds[action], least - before)
  return { streams, lateSeconds: Math.max(0, late, end - before - seconds[action]) }
}

/**
 * When the links of a rank's stages are done: each has all that it does in a step to do, from when the first microbatch has gone forward through all
 * stages where nothing of it comes before. Seconds.
 */
export function linksDone(
  stages: readonly (StageLoads | undefined)[],
  { schedule: { directions }, microbatches }: Pipeline,
  { forward }: StageSeconds,
): number {
  const all = new Map<string, { seconds: number; isForward: boolean }>()
  for (const loads of stages)
    for (const [name, { seconds, isForward }] of loads?.streams ?? []) {
      const stream = all.get(name) ?? { seconds: 0, isForward: false }
      all.set(name, stream)
      stream.seconds += seconds
      stream.isForward ||= isForward
    }
  const through = directions === 1 ? forward.reduce((sum, each) => sum + each, 0) : 0
  let done = 0
  for (const { seconds, isForward } of all.values())
    done = Math.max(done, (microbatches / directions) * seconds + (isForward ? 0 : through))
  return done
}
