import type { Machine, PartCost, StateMove } from '@shardloom/simulator'
import { isEnd } from './forms.js'
import type { Divided } from './pipelines.js'

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
}

/** Adds a collective of each microbatch, which takes so long, to those of a part. */
export function addMove(all: Map<string, StateLinks>, { links, op, when }: StateMove, seconds: number): void {
  const own = all.get(links) ?? { name: links, forward: 0, gathered: 0, reduced: 0 }
  all.set(links, own)
  const does = when === 'F' ? 'forward' : op === 'all-gather' ? 'gathered' : 'reduced'
  own[does] += seconds
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

/**
 * The share of a layer's backward that passes before it has a gradient. Backward begins with the last product of the feed-forward network: of
 * Llama 3.1 405B 53,248 · 16,384 of the 11.9 · 16,384² weights of a layer, beside which attention takes time too.
 */
export const untilGradient = 1 / 4

/**
 * What the actions of a part take with collectives of its state beside them. Streams go on beside each other: an action takes as long as the longest of
 * them, since a layer waits for gradients of others before it.
 */
export function besideState(
  own: ActionSeconds,
  links: readonly Readonly<StateLinks>[],
  { contention, blocking }: Overlap,
  divided: Divided,
): ActionSeconds {
  if (links.length === 0) return own
  const apart = divided !== 'nothing'
  const action = (seconds: number, gathers: 'forward' | 'gathered' | undefined, reduces: boolean, before = 0) => {
    let [all, longest, late] = [0, 0, 0]
    for (const link of links) {
      const gathered = gathers ? link[gathers] : 0
      const reduced = reduces ? link.reduced : 0
      all += gathered + reduced
      longest = Math.max(longest, gathered + reduced)
      late = Math.max(late, (before > 0 ? link.gathered : gathered) + reduced - before - seconds)
    }
    const beside = contention * Math.min(seconds, longest)
    return seconds + (blocking ? all : Math.max(beside, late))
  }
  const input = action(own.input, 'gathered', !apart)
  return {
    forward: action(own.forward, 'forward', false),
    input,
    // Gradients of weights that are not always apart have those of inputs beside them.
    weight: apart ? action(own.weight, undefined, true, divided === 'some' ? input : 0) : own.weight,
  }
}

/**
 * Lengthens forward of a stage that waits for more than its own layers do: what stands before the layers is gathered behind the first of these and
 * the one after it, and yet read before.
 */
export function awaitLinks(seconds: ActionSeconds, parts: readonly LinkedPart[]): void {
  if (!parts.some(({ part, links }) => part === 'first' && links.length > 0)) return
  const forward = parts.reduce((sum, { times, cost }) => sum + times * (cost?.seconds.F ?? 0), 0)
  const ahead = new Map<string, number>()
  for (const { times, part, links } of parts)
    for (const { name, forward } of links)
      if (part === 'first' || !isEnd(part)) ahead.set(name, (ahead.get(name) ?? 0) + Math.min(times, 2) * forward)
  seconds.forward = Math.max(seconds.forward, Math.max(0, ...ahead.values()) + forward)
}
