import { formatCount, formatQuantity, formatSeconds, formatShare } from 'shardloom'
import { type SliceKind, sliceNames, stripFills } from 'shardloom/charts'
import type { TimelineData } from './data.js'
import type { Place } from './draw.js'
import { firstEndingAfter, type Slices, sliceKinds, spentBetween } from './slices.js'

/** A length of time of a timeline in words. */
export const formatTime = ({ unit, perUnit }: Pick<TimelineData, 'unit' | 'perUnit'>, ticks: number): string =>
  unit === 's' ? formatSeconds(ticks / perUnit) : formatQuantity(ticks / perUnit, unit)

/** What a slice is: its name, what kind of work, where and when it runs, and the node in full. */
export function sliceText(data: TimelineData, { row, grain, slice }: Omit<Place, 'panel'>): string {
  const slices = data.grains[grain]
  if (!slices) return ''
  const { label = '', node = '' } = data.names[slices.name[slice] ?? -1] ?? {}
  const kind = sliceKinds[slices.kind[slice] ?? 0] as SliceKind // of the list
  const partner =
    slices.partner && slices.partner.kind[slice] !== 255 ? data.names[slices.partner.name[slice] ?? -1] : undefined
  const [start, end] = [slices.start[slice] ?? 0, slices.end[slice] ?? 0]
  const iterations =
    grain === 0
      ? data.iterations.flatMap(({ axis, at }) => ((at[slice] ?? -1) < 0 ? [] : [`${axis} ${at[slice]}`]))
      : []
  return [
    partner ? `${label} and ${partner.label}` : label,
    (slices.again[slice] ?? 0) > 0.5 ? 'forward again (recompute)' : sliceNames[kind],
    rowText(data, row),
    ...iterations,
    `${formatTime(data, end - start)} from ${formatTime(data, start)}`,
    ...(node && grain === 0 ? [node] : []),
  ].join(' · ')
}

/** A row in words: `stage 2, dp links`. */
export function rowText(data: TimelineData, row: number): string {
  const of = data.rows[row]
  if (!of) return ''
  return of.computing === row ? of.label : `${data.rows[of.computing]?.label}, ${of.label}`
}

/** What a span of time is spent on, over all rows that compute and all others. */
export interface SpanSum {
  readonly kind: string
  readonly ticks: number
  /** Of the time of these rows. */
  readonly share: number
}

const words = stripFills.map((fill) => (fill === 'again' ? 'forward again' : sliceNames[fill]))

/** Adds up what rows spend in a span of ticks, most first; what is left of those that compute is idle. O(rows · log slices). */
export function sumSpan(data: TimelineData, from: number, to: number): SpanSum[] {
  const finest = data.grains[0] as Slices // the finest is there
  const [begin, end] = [Math.max(0, from), Math.min(data.end, to)]
  if (end <= begin) return []
  const sums = new Float64Array(stripFills.length)
  let [computing, busy] = [0, 0]
  data.rows.forEach(({ stream }, row) => {
    const spent = spentBetween(finest, data.sums, row, begin, end)
    const whole = spent.reduce((sum, ticks) => sum + ticks, 0)
    spent.forEach((ticks, fill) => {
      sums[fill] = (sums[fill] ?? 0) + ticks
    })
    if (stream !== 'compute') return
    computing++
    busy += whole
  })
  const all = computing * (end - begin)
  const list = [...sums].map((ticks, fill) => ({ kind: words[fill] ?? '', ticks, share: ticks / all }))
  const idle = { kind: 'nothing on the stream that computes', ticks: all - busy, share: (all - busy) / all }
  return [...list, idle].filter(({ ticks }) => ticks > 0).sort((a, b) => b.ticks - a.ticks)
}

/** A sum in words. */
export const sumText = (data: TimelineData, { kind, ticks, share }: SpanSum): string =>
  `${kind} ${formatTime(data, ticks)} (${formatShare(share)})`

/** A row for readers who do not see it. */
export function rowSummary(data: TimelineData, row: number): string {
  const of = data.rows[row]
  const finest = data.grains[0]
  if (!of || !finest) return ''
  const count = (finest.rowStart[row + 1] ?? 0) - (finest.rowStart[row] ?? 0)
  const idle = of.idle === undefined ? '' : `, ${Math.round(100 * of.idle)} % idle`
  return `${rowText(data, row)}: ${formatCount(count)} slices${idle}`
}

/** The slices of a row from a time on, at most so many. */
export function slicesFrom(
  { grains }: TimelineData,
  row: number,
  grain: number,
  ticks: number,
  most: number,
): number[] {
  const slices = grains[grain]
  if (!slices) return []
  const first = firstEndingAfter(slices, row, ticks)
  const last = Math.min(slices.rowStart[row + 1] ?? 0, first + most)
  return Array.from({ length: Math.max(0, last - first) }, (_, at) => first + at)
}
