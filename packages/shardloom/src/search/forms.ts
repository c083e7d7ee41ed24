import { isOver, type Passing } from './estimate.js'
import { beside, type Overlap } from './link-loads.js'
import type { StoredBytes } from './part-state.js'
import { forwardOnly, type Pipeline } from './pipelines.js'
import type { BlockCosts } from './samples.js'

/** The largest of several sums of values, each value in each sum some times over, never less than none. */
export class LargestSum {
  private readonly rows: readonly Float64Array[]

  /** Of sums that others exceed, whatever the values, nothing is kept. */
  constructor(rows: Iterable<Float64Array>) {
    let kept: Float64Array[] = []
    for (const row of rows) {
      if (kept.some((other) => exceeds(other, row))) continue
      kept = kept.filter((other) => !exceeds(row, other))
      kept.push(row)
    }
    this.rows = kept
  }

  /** For values that are not negative. */
  of(values: Float64Array): number {
    let most = 0
    for (const row of this.rows) {
      let sum = 0
      for (let at = 0; at < row.length; at++) sum += (row[at] as number) * (values[at] as number)
      if (sum > most) most = sum
    }
    return most
  }
}

function exceeds(a: Float64Array, b: Float64Array): boolean {
  for (let at = 0; at < a.length; at++) if ((a[at] as number) < (b[at] as number)) return false
  return true
}

/** What bounds of candidates with one pipeline have in common, whatever their layers cost. */
export interface PipelineBounds {
  /** The chunks that differ: how often each of {@link partsOf} is in them. */
  readonly kinds: readonly Float64Array[]
  /** The kind of each chunk. */
  readonly kindOf: readonly number[]
  /** Of {@link timeValues} of whole backwards: no candidate takes less. */
  readonly seconds: LargestSum
  /** Of {@link timeValues} of backwards as the schedule divides them: no candidate takes less. */
  readonly ownSeconds: LargestSum
  /** Of {@link memoryValues}: no candidate has a rank that holds less, parameters aside that are whole for a while. */
  readonly bytes: LargestSum
}

/** The parts of a model: the end that comes before its layers, their kinds, the end behind them, and what that has of the first. */
export function partsOf(layers: readonly string[]): string[] {
  return ['first', ...new Set(layers), 'last', 'tied']
}

/** Whether a part is an end of a model, not a layer. */
export const isEnd = (part: string): boolean => part === 'first' || part === 'last' || part === 'tied'

/** How often each part is in each chunk. */
export function chunksOf(
  borders: readonly number[],
  layers: readonly string[],
  parts: readonly string[],
): Float64Array[] {
  return borders.slice(1).map((to, chunk) => {
    const from = borders[chunk] ?? 0
    const counts = new Float64Array(parts.length)
    const add = (part: string) => {
      const at = parts.indexOf(part)
      counts[at] = (counts[at] as number) + 1
    }
    for (const layer of layers.slice(from, to)) add(layer)
    // The first and the last chunk may have no layers.
    const isLast = chunk === borders.length - 2
    if (chunk === 0) add('first')
    if (isLast) add('last')
    if (isLast && chunk > 0) add('tied')
    return counts
  })
}

/** Finds the bounds of a pipeline whose chunks end at these layers. O(stages · ranks), once for all candidates. */
export function boundsOf(pipeline: Pipeline, borders: readonly number[], layers: readonly string[]): PipelineBounds {
  const parts = partsOf(layers)
  const chunks = chunksOf(borders, layers, parts)
  const names = chunks.map((counts) => counts.join())
  const first = [...new Set(names)].map((name) => names.indexOf(name))
  const kinds = first.map((at) => chunks[at] as Float64Array)
  const kindOf = names.map((name) => first.indexOf(names.indexOf(name)))
  // Of a candidate that is looked at alone nobody asks for bounds.
  const seconds = once(() => secondsOf(pipeline, chunks, true))
  const ownSeconds = pipeline.isDivided ? once(() => secondsOf(pipeline, chunks, false)) : seconds
  const bytes = once(() => bytesOf(pipeline, chunks, parts))
  return {
    kinds,
    kindOf,
    get seconds() {
      return seconds()
    },
    get ownSeconds() {
      return ownSeconds()
    },
    get bytes() {
      return bytes()
    },
  }
}

function once<T>(find: () => T): () => T {
  let known: T | undefined
  return () => (known ??= find())
}

/**
 * What the busiest rank computes, and the longest of the pipeline's chains. A value each for going forward, backward, and for gradients of
 * weights, of each part; last what passing on takes. With `whole` values backward is whole where the schedule divides it, and nothing is
 * known of when what it hands on is there.
 */
function secondsOf(pipeline: Pipeline, chunks: readonly Float64Array[], whole: boolean): LargestSum {
  const { schedule, microbatches, isDivided, chains } = pipeline
  const { stageRanks, directions } = schedule
  const width = chunks[0]?.length ?? 0
  const count = chunks.length
  /** Adds an action of a stage some times over: 0 forward, 1 backward, 2 gradients of weights. */
  const add = (to: Float64Array, stage: number, times: number, action: 0 | 1 | 2) => {
    const own = chunks[stage % count] as Float64Array
    for (let at = 0; at < width; at++) {
      const index = action * width + at
      to[index] = (to[index] as number) + times * (own[at] as number)
    }
    if (action === 2) return
    const [end, before] = action === 0 ? [0, stage - 1] : [count - 1, stage + 1]
    const isReceived = stage % count !== end && stageRanks[before] !== stageRanks[stage]
    if (isReceived) to[3 * width] = (to[3 * width] as number) + times
  }
  const isForward = schedule.name === forwardOnly
  const work = Array.from({ length: schedule.ranks }, () => new Float64Array(3 * width + 1))
  for (const action of isForward ? ([0] as const) : ([0, 1, 2] as const))
    stageRanks.forEach((rank, stage) => add(work[rank] as Float64Array, stage, microbatches / directions, action))
  const rows = chains.flatMap(({ rank, before, after, beside }) => {
    const all = Float64Array.from(work[rank] as Float64Array)
    for (let stage = 0; stage < before; stage++) add(all, stage, 1, 0)
    if (whole && isDivided) return [all]
    const row = all.slice()
    for (const [stage, times] of beside) add(row, stage, -times, 2)
    for (let left = 0; left < after; left++)
      add(row, isForward ? stageRanks.length - 1 - left : left, 1, isForward ? 0 : 1)
    // Gradients of weights that come behind the way back may take longer than that.
    return beside.size > 0 ? [row, all] : [row]
  })
  return new LargestSum([...work, ...rows])
}

/** The chunks of a rank, by its stages. */
export function chunksOn(
  rank: number,
  { stagesOf }: Pick<Pipeline, 'stagesOf'>,
  chunks: readonly Float64Array[],
): readonly Float64Array[] {
  return (stagesOf[rank] ?? []).map((stage) => chunks[stage % chunks.length] as Float64Array)
}

/** A value each for what is stored, for gradients, kept for backward, kept for gradients of weights, and at work, of each part. */
function bytesOf(pipeline: Pipeline, chunks: readonly Float64Array[], parts: readonly string[]): LargestSum {
  const width = parts.length
  const areEnds = parts.map(isEnd)
  const rows: Float64Array[] = []
  for (let rank = 0; rank < pipeline.schedule.ranks; rank++) {
    const own = chunksOn(rank, pipeline, chunks)
    const counts = parts.map((_, at) => own.reduce((sum, chunk) => sum + (chunk[at] as number), 0))
    for (const flight of pipeline.inFlight[rank] ?? []) {
      const { kept, deferred, graded } = flight
      const over = isOver(flight)
      const row = new Float64Array(5 * width)
      counts.forEach((count, at) => {
        row[at] = count
        row[width + at] = graded * count
        const keptTimes = kept.reduce((sum, each, index) => sum + each * (own[index]?.[at] as number), 0)
        row[2 * width + at] = areEnds[at] ? (over ? 0 : count) : keptTimes
        row[3 * width + at] = (deferred * count) / own.length
      })
      counts.forEach((count, at) => {
        if (count === 0 || (over && parts[at] === 'last')) return
        const working = row.slice()
        working[4 * width + at] = 1
        rows.push(working)
      })
    }
  }
  return new LargestSum(rows)
}

/** Seconds in which parts gather and reduce what is stored in shares: in each of their forwards and backwards, before the update and behind it. */
export interface Sharing extends Overlap {
  readonly parts: ReadonlyMap<
    string,
    {
      readonly forward: number
      /** Of these so much is gathered, and the rest reduced. */
      readonly backward: number
      readonly gathered: number
      readonly summed: number
      readonly spread: number
    }
  >
}

/**
 * The values of {@link PipelineBounds.seconds} and of its `ownSeconds`. With `hidden` those of whole backwards stand for divided ones: what ends
 * of a model do going backward may go on beside gradients of weights, and communication take nothing from these.
 */
export function timeValues(
  parts: readonly string[],
  { parts: costs }: BlockCosts,
  passing: Passing,
  hidden: boolean,
  shared?: Sharing,
): Float64Array {
  const width = parts.length
  const values = new Float64Array(3 * width + 1)
  const sharing = shared && hidden ? { ...shared, contention: 0 } : shared
  parts.forEach((part, at) => {
    const { F = 0, B = 0, I = 0, W = 0 } = costs.get(part)?.seconds ?? {}
    const { forward = 0, backward = 0, gathered = 0 } = sharing?.parts.get(part) ?? {}
    values[at] = sharing ? beside(F, forward, sharing) : F
    const own = hidden && isEnd(part) ? 0 : B + I
    // What is reduced goes on beside gradients of weights, and where these do not always come apart beside those of inputs too.
    const isApart = I > 0 || W > 0
    values[width + at] = sharing ? beside(own, isApart ? gathered : backward, sharing) : own
    const reduced = isApart ? backward - gathered : 0
    values[2 * width + at] = sharing ? beside(W, Math.min(W, reduced), sharing) : W
  })
  values[3 * width] = passing.isBeside ? 0 : passing.seconds
  return values
}

/** The values of {@link PipelineBounds.bytes}; nothing is stored where nobody says what. `kept`: what is kept for backward alone. */
export function memoryValues(
  parts: readonly string[],
  { parts: costs }: BlockCosts,
  kept: boolean,
  stored: ReadonlyMap<string, StoredBytes> = new Map(),
): Float64Array {
  const width = parts.length
  const values = new Float64Array(5 * width)
  parts.forEach((part, at) => {
    const cost = costs.get(part)
    values[at] = stored.get(part)?.bytes ?? 0
    values[width + at] = stored.get(part)?.gradientBytes ?? 0
    values[2 * width + at] = cost?.keptBytes ?? 0
    values[3 * width + at] = cost?.deferredBytes ?? 0
    values[4 * width + at] = kept ? 0 : (cost?.workingBytes ?? 0)
  })
  return values
}
