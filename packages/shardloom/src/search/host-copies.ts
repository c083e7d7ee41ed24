import type { StartOf } from '@shardloom/schedules'
import type { PartCost } from '@shardloom/simulator'

/** When what waits in host memory comes back. */
export interface Prefetch {
  /** How many layers ahead of the one whose backward is at work. */
  readonly layers: number
  /** Whether forward and backward of a microbatch are actions of their own: what one reads comes back when the one before it has computed. */
  readonly apart: boolean
}

/** What a stage moves over the host link for each microbatch. Seconds and bytes. */
export interface StageCopies {
  readonly prefetch: Prefetch
  /** How long the link is busy beside forward, beside backward and beside gradients of weights. */
  readonly forward: number
  readonly input: number
  readonly weight: number
  /** When in forward the last layer is done, and in backward the first one begins: what ends of the model compute lies between. */
  readonly done: number
  readonly begun: number
  /** From when the link is free to when layers go on without waiting: of backward, of backward whose copies found others in their way, of weights. */
  readonly late: number
  readonly queued: number
  readonly lateWeight: number
  /** Of each forward in a row: what has not left when it has computed. */
  readonly backlogBytes: number
  /** Brought back for the layer at work and those after it. */
  readonly reloadedBytes: number
}

/** What a layer takes going in one direction, with copies beside it that compete with it for memory. */
function computing(seconds: number, copying: number, contention: number): number {
  return seconds + contention * Math.min(seconds, copying)
}

/** What each of several layers takes in the actions of a stage: backward waits for what comes back, forward for nothing. */
export function besideCopies(
  { seconds: { F, B, I, W }, copies }: PartCost,
  { contention, prefetch }: { readonly contention: number; readonly prefetch: Prefetch },
): { readonly forward: number; readonly input: number; readonly weight: number } {
  const input = copies.B ?? copies.I
  const whole = computing(B + I, input?.seconds ?? 0, contention)
  return {
    forward: computing(F, copies.F?.seconds ?? 0, contention),
    input: Math.max(prefetch.layers > 0 ? whole : whole + (input?.lateSeconds ?? 0), input?.seconds ?? 0),
    weight: Math.max(computing(W, copies.W?.seconds ?? 0, contention), copies.W?.seconds ?? 0),
  }
}

/** The copies of a stage of these layers, and of ends of the model that compute so long behind them. */
export function copiesOf(
  layers: readonly { readonly times: number; readonly cost: PartCost }[],
  ends: { readonly forward: number; readonly backward: number },
  { contention, prefetch }: { readonly contention: number; readonly prefetch: Prefetch },
): StageCopies {
  let [count, forward, input, weight, done] = [0, 0, 0, 0, 0]
  let [late, hidden, lateWeight, backlogBytes, reloadedBytes] = [0, 0, 0, 0, 0]
  for (const { times, cost } of layers) {
    const { copies, seconds } = cost
    const back = copies.B ?? copies.I
    const own = computing(seconds.F, copies.F?.seconds ?? 0, contention)
    count += times
    forward += times * (copies.F?.seconds ?? 0)
    input += times * (back?.seconds ?? 0)
    weight += times * (copies.W?.seconds ?? 0)
    done += times * own
    if (copies.F) backlogBytes += times * copies.F.bytes * Math.max(0, 1 - own / copies.F.seconds)
    reloadedBytes = Math.max(reloadedBytes, (back?.bytes ?? 0) + (copies.W?.bytes ?? 0))
    hidden = Math.max(
      hidden,
      Math.min(computing(seconds.B + seconds.I, back?.seconds ?? 0, contention), back?.seconds ?? 0),
    )
    late = Math.max(late, lateIn(seconds.B + seconds.I, back, contention))
    lateWeight = Math.max(lateWeight, lateIn(seconds.W, copies.W, contention))
  }
  const back = Math.min(count, prefetch.layers + 1)
  // What is needed first comes last of what was asked for together: behind other layers', in an action of its own behind its own layer's too.
  const queued = prefetch.apart ? back * hidden : (back - 1) * hidden + late
  const { backward: begun } = ends
  return {
    ...{ prefetch, forward, input, weight, done, begun, late, queued, lateWeight, backlogBytes },
    reloadedBytes: back * reloadedBytes,
  }
}

/**
 * When actions start whose ranks copy beside computing. Copies of a rank follow each other: forward waits for none, what comes back for an
 * action leaves when the one before has computed, or in one with forward when it has left itself.
 */
export function startsBesideCopies(stages: readonly (StageCopies | undefined)[], ranks: number): StartOf {
  const link = new Float64Array(ranks)
  return ({ rank, kind, stage }, { ready, free }) => {
    const own = stages[stage % stages.length]
    const from = link[rank] as number
    if (!own) return ready
    if (kind === 'F') {
      link[rank] = Math.max(Math.max(from, ready) + own.forward, ready + own.done)
      return ready
    }
    const begin = own.prefetch.apart ? Math.max(from, free) : from
    if (kind === 'W') {
      link[rank] = begin + own.weight
      return own.weight > 0 ? Math.max(ready, begin + own.lateWeight) : ready
    }
    link[rank] = begin + own.input + (kind === 'B' ? own.weight : 0)
    return Math.max(ready, begin + (from > free ? own.queued : own.late) - own.begun)
  }
}

/** By how much longer the first layer of an action takes, which finds nothing there, than those behind it. */
function lateIn(
  seconds: number,
  copies: { readonly seconds: number; readonly lateSeconds: number } | undefined,
  contention: number,
): number {
  if (!copies) return 0
  const own = computing(seconds, copies.seconds, contention)
  return Math.max(0, own + copies.lateSeconds - Math.max(own, copies.seconds))
}
