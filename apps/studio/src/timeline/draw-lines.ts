import type { TimelineData } from './data.js'
import type { Across } from './draw-row.js'
import { heights, type PlacedRow } from './layout.js'
import type { Paints } from './paint.js'
import type { Slices } from './slices.js'

/** An arrow from one of the finest slices to another; `together`: both are parts of one collective. */
export interface Flow {
  readonly from: number
  readonly to: number
  readonly fromRow: number
  readonly toRow: number
  readonly together: boolean
}

/** More arrows than this are not read. */
const mostFlows = 200

/** The arrows that begin or end in a slice of any grain. Linear in all arrows. */
export function flowsFor(data: TimelineData, row: number, grain: number, slice: number): Flow[] {
  const finest = data.grains[0] as Slices // the finest is there
  const chosen = data.grains[grain]
  if (!chosen) return []
  const [from, to] = [chosen.start[slice] ?? 0, chosen.end[slice] ?? 0]
  const rowOf = (at: number) => {
    let [low, high] = [0, finest.rowStart.length - 1]
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if ((finest.rowStart[middle] as number) <= at) low = middle
      else high = middle - 1
    }
    return low
  }
  const [first, last] = [finest.rowStart[row] ?? 0, finest.rowStart[row + 1] ?? 0]
  const within = (at: number) =>
    at >= first && at < last && (finest.start[at] ?? 0) >= from && (finest.end[at] ?? 0) <= to
  const flows: Flow[] = []
  for (let each = 0; each < data.flows.from.length && flows.length < mostFlows; each++) {
    const [a, b] = [data.flows.from[each] as number, data.flows.to[each] as number]
    if (!within(a) && !within(b)) continue
    const together = (finest.end[a] as number) > (finest.start[b] as number)
    flows.push({ from: a, to: b, fromRow: rowOf(a), toRow: rowOf(b), together })
  }
  return flows
}

/** Draws arrows over a halo in the colour of the page; what belongs to one collective is one bar with a dot for each member. */
export function drawFlows(
  context: CanvasRenderingContext2D,
  flows: readonly Flow[],
  data: TimelineData,
  rows: readonly PlacedRow[],
  { zero, perTick }: Across,
  { page, kinds }: Paints['theme'],
): void {
  const { start, end } = data.grains[0] as Slices // the finest is there
  const paints = [
    [page, 5.5],
    [kinds.communication.stroke, 2.25],
  ] as const
  for (const [colour, thickness] of paints)
    for (const { from, to, fromRow, toRow, together } of flows) {
      // What the folded links of a rank hand to the rank itself is too near for arrows.
      const isFolded = [fromRow, toRow].some((row) => (rows[row]?.height ?? 0) < heights.row)
      if (isFolded && data.rows[fromRow]?.rank === data.rows[toRow]?.rank) continue
      const [{ y: y1 = 0, height: high1 = 0 } = {}, { y: y2 = 0, height: high2 = 0 } = {}] = [
        rows[fromRow],
        rows[toRow],
      ]
      const down = y2 > y1
      context.strokeStyle = colour
      context.fillStyle = colour
      context.lineWidth = thickness
      context.beginPath()
      if (together) {
        const x = zero + (((start[from] as number) + (end[from] as number)) / 2) * perTick
        const [middle1, middle2] = [y1 + high1 / 2, y2 + high2 / 2]
        context.moveTo(x, middle1)
        context.lineTo(x, middle2)
        context.stroke()
        for (const y of [middle1, middle2]) {
          context.beginPath()
          context.arc(x, y, thickness + 1.5, 0, 2 * Math.PI)
          context.fill()
        }
        continue
      }
      // From inside of the one slice to inside of the other: often one ends when the other begins.
      const widthOf = (slice: number) => ((end[slice] as number) - (start[slice] as number)) * perTick
      const x1 = zero + (end[from] as number) * perTick - Math.min(10, widthOf(from) / 2)
      const x2 = zero + (start[to] as number) * perTick + Math.min(7, widthOf(to) / 2)
      const top = y1 + (down ? high1 : 0)
      const tip = y2 + (down ? 0 : high2)
      const turn = down ? -1 : 1
      const [base, bend] = [tip + turn * 6, (top + tip) / 2]
      context.moveTo(x1, top)
      context.bezierCurveTo(x1, bend, x2, bend, x2, base)
      context.stroke()
      context.beginPath()
      context.moveTo(x2, tip)
      context.lineTo(x2 - 5, tip + turn * 8)
      context.lineTo(x2 + 5, tip + turn * 8)
      context.closePath()
      context.fill()
    }
}

/** Pieces of a critical path narrower than this are drawn together: more steps are not read. */
const visibleStep = 14

/** Draws a critical path as one line under slices, thin where it steps between rows. Linear in its pieces that are seen. */
export function drawCritical(
  context: CanvasRenderingContext2D,
  { critical, rows: of, end }: TimelineData,
  rows: readonly PlacedRow[],
  { zero, perTick, from, to }: Across,
  { ink }: Paints['theme'],
): void {
  const { row, start, end: until } = critical
  const xOf = (time: number) => Math.min(to + 8, Math.max(from - 8, zero + time * perTick))
  let last: { readonly x: number; readonly y: number } | undefined
  context.fillStyle = ink
  const line = (own: number, left: number, right: number) => {
    const placed = rows[own]
    // What folded links are waited for stands under the row that computes.
    const shown = placed && placed.height < heights.row ? rows[of[own]?.computing ?? own] : placed
    const y = (shown?.y ?? 0) + heights.row + 1.5
    if (last) {
      context.fillRect(last.x, last.y, Math.max(0, left - last.x), 2.5)
      if (last.y !== y) context.fillRect(left - 0.75, Math.min(last.y, y), 1.5, Math.abs(last.y - y) + 2.5)
    }
    context.fillRect(left, y, right - left, 2.5)
    last = { x: right, y }
  }
  const stop = Math.min((to - zero) / perTick, end)
  let at = firstAfter(until, (from - zero) / perTick)
  while (at < row.length && (start[at] as number) < stop) {
    const left = start[at] as number
    const own = row[at] as number
    if (((until[at] as number) - left) * perTick >= visibleStep) {
      line(own, xOf(left), xOf(until[at++] as number))
      continue
    }
    // Under the row that computes on the rank on which most of this stretch is spent.
    const spent = new Map<number, number>()
    let right = left
    for (; at < row.length && (right - left) * perTick < visibleStep; at++) {
      const length = (until[at] as number) - (start[at] as number)
      if (length * perTick >= visibleStep) break
      const computing = of[row[at] as number]?.computing ?? own
      spent.set(computing, (spent.get(computing) ?? 0) + length)
      right = until[at] as number
    }
    let [main, most] = [own, -1]
    for (const [each, length] of spent) if (length > most) [main, most] = [each, length]
    line(main, xOf(left), xOf(right))
  }
}

/** The first of ascending values that is above one. O(log n). */
function firstAfter(ascending: Float64Array, value: number): number {
  let [low, high] = [0, ascending.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((ascending[middle] as number) <= value) low = middle + 1
    else high = middle
  }
  return low
}
