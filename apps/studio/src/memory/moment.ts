import type { TimelineData } from '../timeline/data.js'
import type { Place } from '../timeline/draw.js'
import { grainOf } from '../timeline/draw-row.js'
import { placeOfId } from '../timeline/selection.js'
import { firstEndingAfter } from '../timeline/slices.js'
import type { View } from '../timeline/view.js'

/** A moment on one of the ranks that are drawn. */
export interface Moment {
  readonly place: number
  /** Seconds from the start of the step. */
  readonly at: number
}

/** A part of the step on one rank, in seconds. */
export interface Span {
  readonly rank: number
  readonly from: number
  readonly to: number
}

/** What runs on a rank at a time, or ran last before it: as coarse as the timeline draws it in a view that is so wide. */
export function runningAt(data: TimelineData, rank: number, at: number, view: View, width: number): Place | undefined {
  const row = rowOf(data, rank)
  const perTick = width / (view.to - view.from) / data.perUnit
  const zero = -view.from * data.perUnit * perTick
  const grain = grainOf(data, { zero, perTick, from: 0, to: width })
  const slices = data.grains[grain]
  const [first = 0, last = 0] = [slices?.rowStart[row], slices?.rowStart[row + 1]]
  if (!slices || first === last) return undefined
  const time = at * data.perUnit
  const found = firstEndingAfter(slices, row, time)
  const runs = found < last && (slices.start[found] ?? 0) <= time
  return { panel: 0, row, grain, slice: runs ? found : Math.max(first, found - 1) }
}

/** The start of the slice behind or before one on the same row, in seconds; undefined where there is none. */
export function startBeside(data: TimelineData, { row, grain, slice }: Place, by: 1 | -1): number | undefined {
  const slices = data.grains[grain]
  const next = slice + by
  if (!slices || next < (slices.rowStart[row] ?? 0) || next >= (slices.rowStart[row + 1] ?? 0)) return undefined
  return (slices.start[next] ?? 0) / data.perUnit
}

/** When what is selected runs, where that is a slice of the timeline. */
export function spanOf(data: TimelineData | undefined, id: string | undefined): Span | undefined {
  const place = placeOfId(data, id)
  const slices = place && data?.grains[place.grain]
  if (!data || !slices) return undefined
  return {
    rank: data.rows[place.row]?.rank ?? 0,
    from: (slices.start[place.slice] ?? 0) / data.perUnit,
    to: (slices.end[place.slice] ?? 0) / data.perUnit,
  }
}

const rowOf = ({ rows }: TimelineData, rank: number) =>
  rows.findIndex((row) => row.stream === 'compute' && row.rank === rank)
