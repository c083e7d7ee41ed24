import type { TimelineData } from './data.js'
import { type Across, drawRow } from './draw-row.js'
import { heights, type Layout } from './layout.js'
import type { Paints } from './paint.js'
import type { View } from './view.js'

/** Pixels of the strip that shows all of the time. */
export const overviewHeight = 56
/** Pixels on both sides of an edge of the window that take hold of it. */
const grip = 7

/** Draws all rows that compute, as thin as there is room for. */
export function drawOverview(
  context: CanvasRenderingContext2D,
  panels: readonly TimelineData[],
  layout: Layout,
  width: number,
  paints: Paints,
): void {
  context.fillStyle = paints.theme.surface
  context.fillRect(0, 0, width, overviewHeight)
  const rows = panels.flatMap((data) =>
    data.rows.flatMap(({ stream }, row) => (stream === 'compute' ? [{ data, row }] : [])),
  )
  const [top, room] = [5, overviewHeight - 10]
  const most = Math.max(1, Math.floor(room / 2))
  const shown = rows.filter(
    (_, at) => Math.floor((at * most) / rows.length) !== Math.floor(((at - 1) * most) / rows.length),
  )
  const step = room / Math.max(1, shown.length)
  const inner = Math.max(1, width - layout.left - layout.right)
  shown.forEach(({ data, row }, at) => {
    const perTick = inner / layout.end / data.perUnit
    const across: Across = { zero: layout.left, perTick, from: layout.left, to: layout.left + inner }
    const coarsest = data.grains.length - 1
    context.save()
    context.translate(0, top + at * step)
    context.scale(1, Math.max(0.5, step - (step > 3 ? 1 : 0)) / heights.row)
    drawRow(data, row, 0, across, coarsest, {
      context,
      paints,
      widthOf: () => Number.POSITIVE_INFINITY,
      emphasis: undefined,
    })
    context.restore()
  })
}

/** Where the window of an overview begins and ends, in pixels. */
export function windowOf({ from, to }: View, { left, right, end }: Layout, width: number): readonly [number, number] {
  const inner = Math.max(1, width - left - right)
  return [left + (from / (end || 1)) * inner, left + (to / (end || 1)) * inner]
}

/** Draws the window over an overview, with a handle on each side. */
export function drawWindow(
  context: CanvasRenderingContext2D,
  view: View,
  layout: Layout,
  width: number,
  { theme }: Paints,
): void {
  const [a, b] = windowOf(view, layout, width)
  const right = width - layout.right
  context.globalAlpha = 0.72
  context.fillStyle = theme.surface
  context.fillRect(layout.left, 0, Math.max(0, a - layout.left), overviewHeight)
  context.fillRect(b, 0, Math.max(0, right - b), overviewHeight)
  context.globalAlpha = 1
  context.strokeStyle = theme.secondary
  context.lineWidth = 1.5
  context.strokeRect(a, 1, Math.max(2, b - a), overviewHeight - 2)
  context.fillStyle = theme.secondary
  for (const x of [a, b]) {
    context.beginPath()
    context.roundRect(x - 3, overviewHeight / 2 - 11, 6, 22, 3)
    context.fill()
  }
}

/** What a press on the overview takes hold of. */
export function heldAt(x: number, view: View, layout: Layout, width: number): 'from' | 'to' | 'window' | 'outside' {
  const [a, b] = windowOf(view, layout, width)
  if (Math.abs(x - a) <= grip && Math.abs(x - a) <= Math.abs(x - b)) return 'from'
  if (Math.abs(x - b) <= grip) return 'to'
  return x > a && x < b ? 'window' : 'outside'
}
