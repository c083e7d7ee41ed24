import { chunksOn, isEnd, partsOf } from './forms.js'
import { leastSeconds, type Pipeline } from './pipelines.js'

/** What sums in another order may differ by. */
const rounding = 1e-6

/** Values of each part, as {@link memoryValues} and {@link timeValues} have them, if no layer recomputes, or the least if some may. */
export interface LayerValues {
  readonly layers: readonly string[]
  /** Bytes without recomputation, and the least with it. */
  readonly plain: Float64Array
  readonly least: Float64Array
}

/** Seconds of parts: the least, and of layers that recompute. */
export interface LayerTimes {
  readonly least: Float64Array
  readonly again: Float64Array
}

/** What ranks hold of a layer at one of their times, and save of it at most if it recomputes; and what they hold beside layers. Bytes. */
interface RankLine {
  readonly plain: number
  readonly least: number
  readonly saved: number
  readonly beside: number
}

/** What each rank of one chunk holds at least, at each of its times. */
function linesOf({ inFlight }: Pipeline, { layers, plain, least }: LayerValues): RankLine[][] {
  const parts = partsOf(layers)
  const width = parts.length
  const kinds = [...parts.keys()].filter((at) => !isEnd(parts[at] as string))
  const value = (of: Float64Array, field: 0 | 1 | 2 | 3 | 4, at: number) => of[field * width + at] as number
  const working = Math.min(...kinds.map((at) => value(least, 4, at)))
  return inFlight.map((times, rank) => {
    const ends = [...(rank === 0 ? ['first'] : []), ...(rank === inFlight.length - 1 ? ['last'] : [])]
    return times.map(({ kept: [kept = 0], deferred, graded }) => {
      const of = (values: Float64Array, at: number) =>
        value(values, 0, at) +
        graded * value(values, 1, at) +
        (isEnd(parts[at] as string) ? 1 : kept) * value(values, 2, at) +
        deferred * value(values, 3, at)
      return {
        plain: Math.min(...kinds.map((at) => of(plain, at))),
        least: Math.min(...kinds.map((at) => of(least, at))),
        saved: Math.max(...kinds.map((at) => of(plain, at) - of(least, at))),
        beside: ends.reduce((sum, end) => sum + of(least, parts.indexOf(end)), working),
      }
    })
  })
}

const most = (lines: readonly RankLine[], of: 'plain' | 'least') =>
  lines.reduce<RankLine | undefined>((best, line) => (best && best[of] >= line[of] ? best : line), undefined)

/**
 * The fullest rank of a pipeline with one chunk each holds no less, wherever the borders are. A rank that holds so much has no more layers
 * than fit beside its end of the model, and all of them together have all layers.
 */
export function leastFullest(pipeline: Pipeline, values: LayerValues): number {
  let [layersPerByte, taken] = [0, 0]
  for (const lines of linesOf(pipeline, values)) {
    const line = most(lines, 'least')
    if (!line || line.least <= 0) return 0
    layersPerByte += 1 / line.least
    taken += line.beside / line.least
  }
  return (values.layers.length + taken) / layersPerByte
}

/** Seconds of a part in all directions, and the least that a layer takes longer if it recomputes. */
function timesOf(layers: readonly string[], { least, again }: LayerTimes) {
  const parts = partsOf(layers)
  const width = parts.length
  const total = (values: Float64Array, at: number) =>
    (values[at] as number) + (values[width + at] as number) + (values[2 * width + at] as number)
  const kinds = [...parts.keys()].filter((at) => !isEnd(parts[at] as string))
  return {
    of: (part: string) => total(least, parts.indexOf(part)),
    kind: Math.min(...kinds.map((at) => total(least, at))),
    added: Math.max(0, Math.min(...kinds.map((at) => total(again, at) - total(least, at)))),
  }
}

/**
 * What all stages together take of a microbatch, as a share of what no pipeline with one chunk each takes less than, wherever the borders
 * are: the first microbatch passes the stages before a rank, which does all of its own, and the last one passes them back. What all ranks so
 * take is least where it is the same. Backward in two leaves the mean.
 */
export function sharedBy(ranks: number, microbatches: number, isDivided: boolean): number {
  return isDivided ? ranks / microbatches : 1 - (1 - 1 / microbatches) ** ranks
}

/**
 * No pipeline with one chunk each takes less, wherever the borders are, whose ranks have no more than so much room. All do together no less
 * than layers with as few of them recomputed as let all fit; and each has no more of them than it may hold in the time of the slowest.
 */
export function leastOpenSeconds(pipeline: Pipeline, values: LayerValues, times: LayerTimes, room: number): number {
  const { microbatches, ranks, isDivided } = pipeline
  const { layers } = values
  const { of, kind, added } = timesOf(layers, times)
  const lines = linesOf(pipeline, values).flatMap((each) => most(each, 'plain') ?? [])
  if (lines.length < ranks) return 0
  const work = ['first', ...layers, 'last'].reduce((sum, part) => sum + of(part), 0)
  const all = work + fewestAgain(lines, layers.length, room) * added
  const slowest = slowestStage(lines, layers.length, room, { kind, added, first: of('first'), last: of('last') })
  return Math.max(all / sharedBy(ranks, microbatches, isDivided), microbatches * slowest)
}

/** The fewest layers that recompute, of so many on ranks with so much room each: where each more of them needs least. */
function fewestAgain(lines: readonly RankLine[], count: number, room: number): number {
  let left = count - lines.reduce((sum, { plain, beside }) => sum + Math.max(0, room - beside) / plain, 0)
  if (!(left > 0)) return 0
  const needs = lines
    .filter(({ saved }) => saved > 0)
    .map(({ plain, saved, beside }) => {
      const free = Math.max(0, room - beside)
      const all = plain > saved ? free / (plain - saved) : Number.POSITIVE_INFINITY
      return { each: plain / saved, more: all - free / plain }
    })
    .sort((a, b) => a.each - b.each)
  let again = 0
  for (const { each, more } of needs) {
    const some = Math.min(left, more)
    again += some * each
    left -= some
  }
  return again
}

/** No less than this is the time of the slowest of stages that have all layers and fit. Seconds of a microbatch. */
function slowestStage(
  lines: readonly RankLine[],
  count: number,
  room: number,
  {
    kind,
    added,
    first,
    last,
  }: { readonly kind: number; readonly added: number; readonly first: number; readonly last: number },
): number {
  /** How many layers ranks may have that take no longer. */
  const within = (seconds: number) =>
    lines.reduce((sum, { plain, saved, beside }, rank) => {
      const free = Math.max(0, room - beside)
      const time = Math.max(0, seconds - (rank === 0 ? first : 0) - (rank === lines.length - 1 ? last : 0))
      const some = time / kind
      if (some * plain <= free) return sum + some
      if (!(saved > 0)) return sum + free / plain
      // Each layer beyond what fits needs plain / saved of them to recompute.
      return sum + (time + (free * added) / saved) / (kind + (plain * added) / saved)
    }, 0)
  let [low, high] = [0, count * (kind + added) + first + last]
  for (let step = 0; step < 40 && within(low) < count; step++) {
    const middle = (low + high) / 2
    if (within(middle) < count) low = middle
    else high = middle
  }
  return low
}

/** No candidate takes less whose chunks have so often each part, and whose ranks have no more than so much room. */
export function leastRecomputingSeconds(
  pipeline: Pipeline,
  chunks: readonly Float64Array[],
  { layers, plain, least }: LayerValues,
  times: LayerTimes,
  room: number,
): number {
  const { schedule, microbatches, inFlight } = pipeline
  const { stageRanks, directions } = schedule
  const parts = partsOf(layers)
  const width = parts.length
  const { added } = timesOf(layers, times)
  const more = new Float64Array(schedule.ranks)
  const kinds = [...parts.keys()].filter((at) => !isEnd(parts[at] as string))
  const working = Math.min(...kinds.map((at) => least[4 * width + at] as number))
  for (let rank = 0; rank < schedule.ranks; rank++) {
    const own = chunksOn(rank, pipeline, chunks)
    let again = 0
    for (const { kept, deferred, graded } of inFlight[rank] ?? []) {
      /** What a part in one of the rank's chunks holds. */
      const of = (values: Float64Array, at: number, index: number) =>
        (values[at] as number) +
        graded * (values[width + at] as number) +
        (isEnd(parts[at] as string) ? 1 : (kept[index] as number)) * (values[2 * width + at] as number) +
        (deferred / own.length) * (values[3 * width + at] as number)
      let [bytes, saved] = [working, 0]
      for (const [index, chunk] of own.entries())
        for (const [at, count] of chunk.entries()) {
          if (count === 0) continue
          bytes += count * of(plain, at, index)
          if (kinds.includes(at)) saved = Math.max(saved, of(plain, at, index) - of(least, at, index))
        }
      if (bytes > room && saved > 0) again = Math.max(again, Math.ceil((bytes - room) / saved - rounding))
    }
    const all = own.reduce((sum, chunk) => kinds.reduce((total, at) => total + (chunk[at] as number), sum), 0)
    // A chunk that is on two ranks has half of the microbatches on each.
    more[rank] = (Math.min(again, all) * added * microbatches) / directions
  }
  if (!more.some((each) => each > 0)) return 0
  const secondsOf = (direction: 0 | 1 | 2) =>
    Float64Array.from(stageRanks, (_, stage) =>
      (chunks[stage % chunks.length] as Float64Array).reduce(
        (sum, count, at) => (count === 0 ? sum : sum + count * (times.least[direction * width + at] as number)),
        0,
      ),
    )
  return leastSeconds(pipeline, { forward: secondsOf(0), input: secondsOf(1), weight: secondsOf(2) }, more)
}
