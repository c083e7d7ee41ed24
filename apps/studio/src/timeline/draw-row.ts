import type { TimelineData } from './data.js'
import { heights } from './layout.js'
import { fonts, type Paints } from './paint.js'
import { firstEndingAfter, type Slices } from './slices.js'
import { stripOf } from './strip.js'

/** Slices narrower than this merge into a strip: one pixel is left free on each side. */
const narrowest = 3
/** Kinds that are no mere fill. */
const fusedKind = 3

/** Times as places across. */
export interface Across {
  /** The pixels of time 0, and those of one tick. */
  readonly zero: number
  readonly perTick: number
  /** The pixels between which there is something to see. */
  readonly from: number
  readonly to: number
}

/** How strongly slices are drawn: those of which a view tells. */
export type Emphasis = (grain: number, slice: number) => boolean

/** What rows are drawn with. */
export interface RowStyle {
  readonly context: CanvasRenderingContext2D
  readonly paints: Paints
  readonly widthOf: (text: string) => number
  /** Undefined: all alike. */
  readonly emphasis: Emphasis | undefined
}

/** The opacity of what is not selected. */
const faint = 0.35

/**
 * The finest grain whose slices have room on average in what is seen of the rows that compute, so that they all show the same. O(rows ·
 * log slices).
 */
export function grainOf(data: TimelineData, { zero, perTick, from, to }: Across): number {
  const [first, last] = [(from - zero) / perTick, (to - zero) / perTick]
  const span = Math.min(to - from, (data.end - Math.max(0, first)) * perTick)
  for (const [grain, slices] of data.grains.entries()) {
    let most = 0
    data.rows.forEach(({ stream }, row) => {
      if (stream === 'compute')
        most = Math.max(most, firstEndingAfter(slices, row, last) - firstEndingAfter(slices, row, first))
    })
    if (most * 24 <= span || grain === data.grains.length - 1) return grain
  }
  return 0
}

/** Which slices are drawn on a row: rows that do not compute have the finest alone. */
export const grainOn = (data: TimelineData, row: number, grain: number): number =>
  data.rows[row]?.stream === 'compute' ? grain : 0

/** Draws idle time and slices of a row. O(pixels · log slices), however many slices there are. */
export function drawRow(
  data: TimelineData,
  row: number,
  y: number,
  across: Across,
  grain: number,
  style: RowStyle,
): void {
  const { zero, perTick, from, to } = across
  const { context, paints } = style
  const slices = data.grains[grain] as Slices // chosen among them
  const [left, right] = [Math.max(from, zero), Math.min(to, zero + data.end * perTick)]
  if (right <= left) return
  context.fillStyle = paints.theme.slices.idle
  context.fillRect(left, y, right - left, heights.row)
  // Links that carry nothing are no bubble.
  if (data.rows[row]?.stream === 'compute') {
    context.fillStyle = paints.idle
    context.fillRect(left, y, right - left, heights.row)
  }
  const strip = stripOf(data, row, across, paints.brush)
  const last = slices.rowStart[row + 1] ?? 0
  let at = firstEndingAfter(slices, row, (left - zero) / perTick)
  while (at < last) {
    const x = zero + (slices.start[at] as number) * perTick
    if (x >= right) break
    const width = ((slices.end[at] as number) - (slices.start[at] as number)) * perTick
    if (width >= narrowest) {
      drawSlice(data, slices, at, grain, { x, y, width, from, to }, style)
      at++
      continue
    }
    const column = Math.floor(Math.max(x, left))
    const edge = (column + 1 - zero) / perTick
    const behind = strip.add(column)
    // What ends in the same column is in it already.
    if ((slices.end[at] as number) > edge) strip.add(column + 1)
    at++
    if (at < last && (slices.end[at] as number) <= edge)
      at = grain === 0 ? Math.max(at, behind) : firstEndingAfter(slices, row, edge)
  }
  context.globalAlpha = style.emphasis ? faint : 1
  strip.end(context, y)
  context.globalAlpha = 1
}

interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  /** The pixels between which there is something to see. */
  readonly from: number
  readonly to: number
}

function drawSlice(data: TimelineData, slices: Slices, at: number, grain: number, box: Box, style: RowStyle): void {
  const { context, paints, emphasis } = style
  // Far beyond the edges numbers would overflow what canvases draw.
  const x = Math.max(box.x + 1, box.from - 8)
  const width = Math.min(box.x + box.width - 1, box.to + 8) - x
  if (width <= 0) return
  context.globalAlpha = emphasis && !emphasis(grain, at) ? faint : 1
  const { partner } = slices
  const kind = slices.kind[at] as number
  const label = (name: number) => data.names[name]?.label ?? ''
  const seen = { x: Math.max(x, box.from), width: Math.min(x + width, box.to) - Math.max(x, box.from) }
  if (partner && partner.kind[at] !== 255) {
    const half = heights.row / 2
    const cell = { x, width, height: half }
    drawCell({ ...cell, y: box.y }, kind, 0, label(slices.name[at] as number), seen, style)
    drawCell(
      { ...cell, y: box.y + half },
      partner.kind[at] as number,
      0,
      label(partner.name[at] as number),
      seen,
      style,
    )
    context.strokeStyle = paints.theme.ink
    context.lineWidth = 1
    context.strokeRect(x + 0.5, box.y + 0.5, width - 1, heights.row - 1)
  } else {
    const cell = { x, y: box.y, width, height: heights.row }
    drawCell(cell, kind, slices.again[at] as number, label(slices.name[at] as number), seen, style)
  }
  context.globalAlpha = 1
}

interface Cell {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

function drawCell(
  { x, y, width, height }: Cell,
  kind: number,
  again: number,
  label: string,
  seen: { readonly x: number; readonly width: number },
  { context, paints, widthOf }: RowStyle,
): void {
  const band = (fill: number, at: number, high: number) => {
    context.fillStyle = paints.fill[fill] as string
    context.fillRect(x, at, width, high)
    if (paints.stroke[fill] === paints.fill[fill] || width < 4) return
    context.strokeStyle = paints.stroke[fill] as string
    context.lineWidth = 1
    context.strokeRect(x + 0.5, at + 0.5, width - 1, high - 1)
  }
  const repeated = height * again
  if (repeated > 0.5) {
    band(0, y, repeated)
    context.fillStyle = paints.again
    context.fillRect(x, y, width, repeated)
  }
  const [low, rest] = [y + repeated, height - repeated]
  let [middle, on] = [y + height / 2, kind]
  if (kind === fusedKind) {
    // A full backward is I above W: splitting it is what zero-bubble schedules do.
    const upper = (rest * 2) / 3
    band(1, low, upper)
    band(2, low + upper, rest - upper)
    middle = low + upper / 2
    on = 1
  } else if (rest > 0.5) band(kind, low, rest)
  if (!label || height < 13 || widthOf(label) + 2 > seen.width) return
  if (repeated > 0.5) on = again > 0.5 ? 0 : on
  context.font = fonts.plain
  context.textAlign = 'center'
  context.textBaseline = 'middle'
  context.fillStyle = paints.text[on] as string
  context.fillText(label, seen.x + seen.width / 2, middle + 0.5)
}
