import { selectedAmong, subjectOf } from '../graph/selected.js'
import { axisUnit } from './axis.js'
import type { TimelineData } from './data.js'
import { drawCritical, drawFlows, type Flow } from './draw-lines.js'
import { type Across, drawRow, type Emphasis, grainOf, grainOn, type RowStyle } from './draw-row.js'
import { heights, type Layout, type PlacedRow, type RowName } from './layout.js'
import { fonts, type Paints } from './paint.js'
import type { Slices } from './slices.js'
import { drawTicks } from './ticks.js'
import type { View } from './view.js'

/** A slice of a timeline. */
export interface Place {
  readonly panel: number
  readonly row: number
  readonly grain: number
  readonly slice: number
}

/** How a critical path shows: not at all, as a line, or with all else faint. */
export type CriticalPath = 'hidden' | 'line' | 'lit'

/** All that a frame shows. */
export interface Scene {
  readonly panels: readonly TimelineData[]
  readonly layout: Layout
  readonly view: View
  /** Pixels of the canvas. */
  readonly width: number
  readonly height: number
  readonly path: CriticalPath
  readonly selected: Place | undefined
  /** What is selected in any view, wherever it runs. */
  readonly ids: readonly string[]
  readonly hovered: Place | undefined
  readonly flows: readonly Flow[]
  /** A span of time that is summed, in the unit of the timelines. */
  readonly span: readonly [from: number, to: number] | undefined
}

/** The pixels of a scene in which rows are seen: those above the axis. */
export const roomOf = ({ height }: Pick<Scene, 'height'>) => Math.max(0, height - heights.axis)

/** Where times of a timeline stand in a scene. */
export function acrossOf({ layout, view, width }: Scene, { perUnit }: TimelineData): Across {
  const inner = Math.max(1, width - layout.left - layout.right)
  const perTick = inner / (view.to - view.from) / perUnit
  return {
    zero: layout.left - view.from * perUnit * perTick,
    perTick,
    from: layout.left,
    to: layout.left + inner,
  }
}

/** Draws a frame. O(rows that are seen · pixels · log slices). */
export function draw(
  context: CanvasRenderingContext2D,
  scene: Scene,
  paints: Paints,
  widthOf: RowStyle['widthOf'],
): void {
  const { panels, layout, view, width, height } = scene
  const { theme } = paints
  const inner = { left: layout.left, right: width - layout.right, bottom: roomOf(scene) }
  context.fillStyle = theme.page
  context.fillRect(0, 0, width, height)
  context.save()
  context.beginPath()
  context.rect(0, 0, width, inner.bottom)
  context.clip()
  context.translate(0, -view.scroll)
  const seen = (y: number, high: number) => y + high >= view.scroll && y <= view.scroll + inner.bottom
  for (const { panel, y } of layout.heads) if (seen(y, heights.head)) drawHead(context, panels[panel], y, layout, theme)
  panels.forEach((data, panel) => {
    const across = acrossOf(scene, data)
    const grain = grainOf(data, across)
    const style = { context, paints, widthOf, emphasis: emphasisOf(scene, data, panel) }
    const rows = layout.places[panel] ?? []
    clipped(context, inner.left, inner.right, layout.height, () => {
      for (const { row, y, height: high } of rows)
        if (high > 0 && seen(y, high)) drawPlaced(data, row, y, high, across, grainOn(data, row, grain), style)
      if (scene.path !== 'hidden') drawCritical(context, data, rows, across, theme)
      if (scene.selected?.panel === panel) drawFlows(context, scene.flows, data, rows, across, theme)
      for (const [place, colour] of [
        [scene.hovered, theme.ink],
        [scene.selected, theme.accent],
      ] as const)
        if (place?.panel === panel) drawRing(context, data, place, rows[place.row], across, colour)
    })
  })
  for (const name of layout.names) {
    const data = panels[name.panel]
    if (data && seen(name.y, name.height)) drawEnds(context, data, name, acrossOf(scene, data), theme, layout)
  }
  context.restore()
  if (scene.span) drawSpan(context, scene, scene.span, inner, theme)
  drawScrolled(context, scene, inner, theme)
  drawAxis(context, scene, inner, theme)
}

/** Where there is more than is seen, a bar at the right says how much, and which of it this is. */
function drawScrolled(
  context: CanvasRenderingContext2D,
  { layout, view, width }: Scene,
  { bottom }: Inner,
  theme: Theme,
) {
  if (layout.height <= bottom) return
  const share = bottom / layout.height
  context.fillStyle = theme.secondary
  context.fillRect(width - 7, view.scroll * share, 4, bottom * share)
}

/** A row at its own height: what is thinner than a row is the same, without names. */
function drawPlaced(
  data: TimelineData,
  row: number,
  y: number,
  height: number,
  across: Across,
  grain: number,
  style: RowStyle,
): void {
  if (height === heights.row) return drawRow(data, row, y, across, grain, style)
  const { context } = style
  context.save()
  context.translate(0, y)
  context.scale(1, height / heights.row)
  drawRow(data, row, 0, across, grain, { ...style, widthOf: () => Number.POSITIVE_INFINITY })
  context.restore()
}

/** What is drawn strongly: what is selected wherever it runs, a slice, or a critical path. */
function emphasisOf({ selected, ids, path }: Scene, data: TimelineData, panel: number): Emphasis | undefined {
  if (selected) {
    const slices = panel === selected.panel ? data.grains[selected.grain] : undefined
    const [from, to] = [slices?.start[selected.slice] ?? 0, slices?.end[selected.slice] ?? 0]
    const rank = data.rows[selected.row]?.rank
    const rowOf = rowFinder(data)
    // Slices of other grains stand out where they are parts of the one, or hold it.
    return (grain, slice) => {
      if (!slices || data.rows[rowOf(grain, slice)]?.rank !== rank) return false
      if (grain === selected.grain) return slice === selected.slice
      const [start, end] = [data.grains[grain]?.start[slice] ?? 0, data.grains[grain]?.end[slice] ?? 0]
      return start < to && end > from
    }
  }
  if (ids.length > 0) {
    const parts = selectedAmong(
      data.names.flatMap(({ node }) => (node === '' ? [] : [node])),
      ids,
    )
    // Coarser slices that hold what is selected stand out too.
    const alike = new Set(
      data.names.flatMap(({ node }, at) =>
        parts.has(node) || ids.some((id) => subjectOf(id).path.startsWith(`${node}/`)) ? [at] : [],
      ),
    )
    const places = new Set(ids.map((id) => subjectOf(id).place))
    const rowOf = rowFinder(data)
    const anywhere = places.has(undefined)
    return (grain, slice) => {
      if (!alike.has(data.grains[grain]?.name[slice] ?? -1)) return false
      const row = data.rows[rowOf(grain, slice)]
      return anywhere || !row || places.has(data.rows[row.computing]?.label)
    }
  }
  if (path !== 'lit') return undefined
  const { start, row } = data.critical
  const rowOf = rowFinder(data)
  return (grain, slice) => {
    const slices = data.grains[grain] as Slices // of this timeline
    const [from, to] = [slices.start[slice] as number, slices.end[slice] as number]
    const own = rowOf(grain, slice)
    // Pieces of a path follow each other in time: those that begin in the slice are a run.
    let [low, high] = [0, start.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((start[middle] as number) < from) low = middle + 1
      else high = middle
    }
    for (
      let at = Math.max(0, low - 1), steps = 0;
      steps < 64 && at < start.length && (start[at] as number) < to;
      at++, steps++
    )
      if (row[at] === own && (data.critical.end[at] as number) > from) return true
    return false
  }
}

/** Which row a slice is on. O(log rows). */
function rowFinder(data: TimelineData): (grain: number, slice: number) => number {
  return (grain, slice) => {
    const rowStart = data.grains[grain]?.rowStart ?? new Uint32Array()
    let [low, high] = [0, rowStart.length - 1]
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if ((rowStart[middle] as number) <= slice) low = middle
      else high = middle - 1
    }
    return low
  }
}

function clipped(
  context: CanvasRenderingContext2D,
  left: number,
  right: number,
  height: number,
  paint: () => void,
): void {
  context.save()
  context.beginPath()
  context.rect(left, 0, right - left, height)
  context.clip()
  paint()
  context.restore()
}

type Theme = Paints['theme']

function drawHead(
  context: CanvasRenderingContext2D,
  data: TimelineData | undefined,
  y: number,
  { left }: Layout,
  theme: Theme,
) {
  if (!data) return
  context.textAlign = 'left'
  context.textBaseline = 'alphabetic'
  context.font = fonts.name
  context.fillStyle = theme.ink
  context.fillText(data.name, 12, y + 14)
  const room = context.measureText(data.name).width + 24
  context.font = fonts.fact
  context.fillStyle = theme.secondary
  context.fillText(data.fact, Math.max(left, room), y + 14)
}

function drawEnds(
  context: CanvasRenderingContext2D,
  data: TimelineData,
  { row, y, height, folded }: RowName,
  across: Across,
  theme: Theme,
  { left }: Layout,
): void {
  const of = data.rows[row]
  if (!of) return
  const middle = y + height / 2
  context.textBaseline = 'middle'
  context.textAlign = 'left'
  const computes = of.stream === 'compute'
  context.font = computes ? fonts.plain : fonts.fact
  context.fillStyle = computes ? theme.ink : theme.secondary
  context.fillText(folded ? 'links' : of.label, computes ? 12 : 26, middle, left - 28)
  if (folded !== undefined) drawFold(context, 17, middle, folded)
  if (of.idle === undefined) return
  const x = Math.min(across.to, Math.max(across.from, across.zero + data.end * across.perTick))
  context.font = fonts.fact
  context.fillStyle = theme.secondary
  context.fillText(`${Math.round(100 * of.idle)}\u00a0% idle`, x + 10, middle)
}

/** The sign of what can be unfolded, or folded. */
function drawFold(context: CanvasRenderingContext2D, x: number, y: number, folded: boolean): void {
  context.beginPath()
  for (const [across, down] of [
    [-2.5, -4],
    [-2.5, 4],
    [3.5, 0],
  ] as const)
    if (folded) context.lineTo(x + across, y + down)
    else context.lineTo(x + down, y + across)
  context.closePath()
  context.fill()
}

function drawRing(
  context: CanvasRenderingContext2D,
  data: TimelineData,
  { grain, slice }: Place,
  at: PlacedRow | undefined,
  { zero, perTick, from, to }: Across,
  colour: string,
): void {
  const slices = data.grains[grain]
  if (!slices || slice < 0 || !at) return
  const left = Math.max(from - 4, zero + (slices.start[slice] ?? 0) * perTick)
  const right = Math.min(to + 4, zero + (slices.end[slice] ?? 0) * perTick)
  context.strokeStyle = colour
  context.lineWidth = 2
  context.strokeRect(left, at.y - 1, Math.max(3, right - left), at.height + 2)
}

interface Inner {
  readonly left: number
  readonly right: number
  readonly bottom: number
}

function drawSpan(
  context: CanvasRenderingContext2D,
  { view }: Scene,
  [from, to]: readonly [number, number],
  { left, right, bottom }: Inner,
  theme: Theme,
): void {
  const place = (time: number) =>
    Math.min(right, Math.max(left, left + ((time - view.from) / (view.to - view.from)) * (right - left)))
  const [a, b] = [place(from), place(to)]
  context.globalAlpha = 0.14
  context.fillStyle = theme.accent
  context.fillRect(a, 0, b - a, bottom)
  context.globalAlpha = 1
  context.fillRect(a, 0, 1.5, bottom)
  context.fillRect(b - 1.5, 0, 1.5, bottom)
}

function drawAxis(
  context: CanvasRenderingContext2D,
  { view, panels }: Scene,
  { left, right, bottom }: Inner,
  theme: Theme,
): void {
  const [unit, perUnit] = axisUnit(panels[0]?.unit ?? '', view)
  drawTicks(context, { from: view.from * perUnit, to: view.to * perUnit }, { left, right, bottom }, theme)
  context.textAlign = 'left'
  context.fillText(unit, right + 10, bottom + 13)
}
