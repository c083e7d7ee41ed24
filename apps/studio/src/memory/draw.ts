import { formatBytes, formatSeconds } from 'shardloom'
import {
  bandNames,
  type CurvePiece,
  type LevelLabel,
  levelLabelAt,
  readableOn,
  ticksOf,
  tickText,
  unitOf,
} from 'shardloom/charts'
import { fonts, type Paints } from '../timeline/paint.js'
import { drawTicks } from '../timeline/ticks.js'
import type { View } from '../timeline/view.js'
import { type MemoryData, type MemoryRank, momentAt } from './data.js'

/** Heights and widths in pixels. */
export const sizes = { head: 26, gap: 18, axis: 26, left: 76, flag: 262, right: 16 } as const

/** One rank of one step, where it is drawn. */
export interface MemoryPlace {
  readonly data: MemoryData
  readonly rank: MemoryRank
}

/** All that a frame shows. */
export interface MemoryScene {
  readonly places: readonly MemoryPlace[]
  /** Seconds. */
  readonly view: View
  readonly width: number
  readonly height: number
  /** Bytes at the upper end of every plot. */
  readonly top: number
  /** A moment that is looked at, in seconds. */
  readonly at: number | undefined
  /** When what is selected runs, and on which place. */
  readonly selected: { readonly place: number; readonly from: number; readonly to: number } | undefined
  /** Places that are none of what is selected. */
  readonly faint: ReadonlySet<number>
}

/** Pixels above the first plot. */
const above = 6

/** The opacity of what is not selected. */
const faint = 0.35

/** Bytes that plots reach up to, so that all are on one scale. A limit far above what is held would leave no room for the steps. */
export function topOf(places: readonly MemoryPlace[]): number {
  const peak = places.reduce((most, { rank }) => Math.max(most, rank.peak.bytes), 0)
  const limits = places.map(({ data }) => data.limit).filter((limit) => limit <= peak * 2.5)
  return Math.max(1, peak, ...limits) * 1.08
}

/** The height of one rank with its heading: as many as there are share the canvas, as long as they are not too low. */
export const placeHeight = (height: number, places: number): number =>
  Math.min(320, Math.max(200, (height - sizes.axis - 6) / Math.max(1, places)))

/** How high all ranks are together. */
export const wholeHeight = (height: number, places: number): number => above + places * placeHeight(height, places)

/** The rank that is drawn at a height, counted from the upper end of all. */
export const placeAtHeight = (y: number, height: number, places: number): number =>
  Math.min(places - 1, Math.max(0, Math.floor((y - above) / placeHeight(height, places))))

/** The pixels between which time is drawn. */
export const plotOf = (width: number) => ({
  left: sizes.left,
  right: Math.max(sizes.left + 60, width - (width > 640 ? sizes.flag : 0) - sizes.right),
})

/** Draws a frame. O(ranks that are seen · (moments that are seen + pixels) · parts). */
export function drawMemory(
  context: CanvasRenderingContext2D,
  scene: MemoryScene,
  paints: Paints,
  widthOf: (text: string) => number,
): void {
  const { places, view, width, height } = scene
  const { theme } = paints
  context.fillStyle = theme.page
  context.fillRect(0, 0, width, height)
  const bottom = height - sizes.axis
  context.save()
  context.beginPath()
  context.rect(0, 0, width, bottom)
  context.clip()
  context.translate(0, -view.scroll)
  const step = placeHeight(height, places.length)
  places.forEach((place, index) => {
    const y = above + index * step
    if (y + step < view.scroll || y > view.scroll + bottom) return
    context.globalAlpha = scene.faint.has(index) ? faint : 1
    drawPlace(context, scene, place, y, paints, widthOf)
    context.globalAlpha = 1
    if (scene.selected?.place === index) drawSelected(context, scene, scene.selected, y, theme)
  })
  context.restore()
  drawTime(context, scene, bottom, theme)
}

function drawPlace(
  context: CanvasRenderingContext2D,
  scene: MemoryScene,
  { data, rank }: MemoryPlace,
  y: number,
  paints: Paints,
  widthOf: (text: string) => number,
): void {
  const { places, view, width, height, top } = scene
  const { theme } = paints
  const { left, right } = plotOf(width)
  const plot = { y: y + sizes.head, height: placeHeight(height, places.length) - sizes.head - sizes.gap }
  const yOf = (bytes: number) => plot.y + plot.height - (bytes / top) * plot.height
  const xOf = (seconds: number) => left + ((seconds - view.from) / (view.to - view.from)) * (right - left)
  drawHeading(context, { data, rank }, scene.at, y, theme)
  const [size, unit] = top >= 1e9 ? [1e9, 'GB'] : top >= 1e6 ? [1e6, 'MB'] : [1e3, 'kB']
  context.font = fonts.fact
  context.textAlign = 'right'
  context.textBaseline = 'middle'
  for (const tick of ticksOf(top / size, 4)) {
    const at = yOf(tick * size)
    context.fillStyle = theme.rule
    context.fillRect(left, Math.round(at), right - left, 1)
    context.fillStyle = theme.secondary
    context.fillText(`${tickText(tick)}\u00a0${unit}`, left - 8, at)
  }
  context.save()
  context.beginPath()
  context.rect(left, plot.y - 8, right - left, plot.height + 8)
  context.clip()
  const steps = stepsOf(rank.seconds, rank.total, data.end, view, left, right)
  let lower = steps.map(() => 0)
  const labels: { text: string; x: number; y: number; colour: string }[] = []
  for (const { band, bytes } of rank.bands) {
    const upper = steps.map(({ at }, index) => (lower[index] ?? 0) + (bytes[at] ?? 0))
    context.fillStyle = theme.bands[band]
    context.beginPath()
    steps.forEach(({ x, until }, index) => {
      const [high, low] = [yOf(upper[index] ?? 0), yOf(lower[index] ?? 0)]
      if (low > high) context.rect(x, high, until - x, low - high)
    })
    context.fill()
    const room = roomFor(bandNames[band], steps, lower, upper, yOf, widthOf)
    if (room) labels.push({ text: bandNames[band], ...room, colour: readableOn(theme.bands[band], theme) })
    lower = upper
  }
  // The hatch of what exceeds the limit, and the outline of all.
  if (data.limit <= top) {
    context.fillStyle = paints.over
    context.beginPath()
    steps.forEach(({ x, until }, index) => {
      const over = yOf(lower[index] ?? 0)
      if (over < yOf(data.limit)) context.rect(x, over, until - x, yOf(data.limit) - over)
    })
    context.fill()
  }
  context.strokeStyle = theme.ink
  context.lineWidth = 1
  context.beginPath()
  steps.forEach(({ x, until }, index) => {
    const high = yOf(lower[index] ?? 0)
    if (index === 0) context.moveTo(x, high)
    else context.lineTo(x, high)
    context.lineTo(until, high)
  })
  context.stroke()
  context.font = fonts.fact
  context.textAlign = 'left'
  for (const { text, x, y: at, colour } of labels) {
    context.fillStyle = colour
    context.fillText(text, x, at)
  }
  const peakX = xOf(rank.peak.seconds)
  if (data.limit <= top) {
    const curve = steps.map(({ x, until }, index) => ({ x, until, y: yOf(lower[index] ?? 0) }))
    const corner = { x: Math.min(right, Math.max(left, peakX)), y: plot.y + 9 }
    const pointer = [
      { ...corner, width: 1, height: Math.max(1, yOf(rank.peak.bytes) - corner.y) },
      { ...corner, width: right - corner.x, height: 1 },
    ]
    drawLimit(context, data, { left, right, level: yOf(data.limit), curve, taken: width > 640 ? pointer : [] }, theme)
  }
  if (scene.at !== undefined) {
    context.fillStyle = theme.ink
    context.fillRect(xOf(scene.at) - 0.5, plot.y, 1, plot.height)
  }
  context.restore()
  if (peakX >= left && peakX <= right) {
    context.fillStyle = theme.ink
    context.beginPath()
    context.arc(peakX, yOf(rank.peak.bytes), 3.5, 0, 2 * Math.PI)
    context.fill()
  }
  if (width > 640)
    drawFlag(
      context,
      rank,
      { x: right + 20, y: plot.y - 4 },
      { x: Math.min(right, Math.max(left, peakX)), y: yOf(rank.peak.bytes) },
      theme,
    )
}

type Theme = Paints['theme']

/** A ring around the time in which what is selected runs. */
function drawSelected(
  context: CanvasRenderingContext2D,
  { places, view, width, height }: MemoryScene,
  { from, to }: { readonly from: number; readonly to: number },
  y: number,
  theme: Theme,
): void {
  const { left, right } = plotOf(width)
  const xOf = (seconds: number) => left + ((seconds - view.from) / (view.to - view.from)) * (right - left)
  if (to < view.from || from > view.to) return
  const [start, end] = [Math.max(left - 1, xOf(from)), Math.min(right + 1, xOf(to))]
  context.strokeStyle = theme.accent
  context.lineWidth = 2
  const high = placeHeight(height, places.length) - sizes.head - sizes.gap
  context.strokeRect(start, y + sizes.head, Math.max(3, end - start), high)
}

function drawHeading(
  context: CanvasRenderingContext2D,
  { data, rank }: MemoryPlace,
  at: number | undefined,
  y: number,
  theme: Theme,
): void {
  context.textAlign = 'left'
  context.textBaseline = 'alphabetic'
  context.font = fonts.name
  context.fillStyle = theme.ink
  const name = data.name ? `${data.name} · ${rank.name}` : rank.name
  context.fillText(name, 12, y + 14)
  const from = Math.max(sizes.left, 24 + context.measureText(name).width)
  context.font = fonts.fact
  context.fillStyle = theme.secondary
  context.fillText(at === undefined ? roomText(data, rank) : momentText(rank, at), from, y + 14)
}

/** `48.3 GB at 5.42 s`. */
const momentText = ({ seconds, total }: MemoryRank, at: number): string =>
  `${formatBytes(total[Math.max(0, momentAt(seconds, at))] ?? 0)} at ${formatSeconds(at)}`

/** `peak 61.2 GB · 18.8 GB free of 80 GB`. */
export function roomText({ limit }: MemoryData, { peak }: MemoryRank): string {
  const room = formatBytes(Math.abs(limit - peak.bytes))
  return `peak ${formatBytes(peak.bytes)} · ${room} ${peak.bytes > limit ? 'too much for' : 'free of'} ${formatBytes(limit)}`
}

interface LimitPlace extends Pick<LevelLabel, 'level' | 'left' | 'right' | 'taken'> {
  readonly curve: readonly CurvePiece[]
}

function drawLimit(
  context: CanvasRenderingContext2D,
  { limit, reserve }: MemoryData,
  { curve, ...place }: LimitPlace,
  theme: Theme,
): void {
  context.fillStyle = theme.ink
  context.fillRect(place.left, place.level - 1, place.right - place.left, 2)
  const less = reserve > 0 ? `: ${formatBytes(limit + reserve)} less ${formatBytes(reserve)} in reserve` : ''
  const text = `limit ${formatBytes(limit)}${less}`
  context.font = fonts.fact
  context.textAlign = 'left'
  context.textBaseline = 'middle'
  context.fillStyle = theme.page
  const room = { width: context.measureText(text).width + 8, height: 15 }
  const at = levelLabelAt(curve, { ...place, ...room })
  context.fillRect(at.x, at.y, room.width, room.height)
  context.fillStyle = theme.ink
  context.fillText(text, at.x + 4, at.y + 8)
}

/** A moment from one pixel to another; of many moments in one pixel that with the most. */
interface Step {
  readonly x: number
  readonly until: number
  readonly at: number
}

/** The steps of a curve between two pixels, of which `total` says how much is held from each moment on. */
export function stepsOf(
  seconds: Float64Array,
  total: Float64Array,
  end: number,
  view: View,
  left: number,
  right: number,
): Step[] {
  const perSecond = (right - left) / (view.to - view.from)
  const xOf = (time: number) => left + (time - view.from) * perSecond
  const stop = Math.min(end, view.to)
  const steps: { x: number; until: number; at: number }[] = []
  for (let at = Math.max(0, momentAt(seconds, view.from)); at < seconds.length; at++) {
    const from = seconds[at] as number
    if (from >= stop) break
    const x = Math.max(left - 2, xOf(from))
    const until = Math.min(right + 2, xOf(Math.min(end, seconds[at + 1] ?? end)))
    const last = steps.at(-1)
    // So that no peak is lost, a pixel shows the moment with the most.
    if (last && Math.floor(x) === Math.floor(last.x)) {
      if ((total[at] as number) > (total[last.at] as number)) last.at = at
      last.until = until
    } else steps.push({ x, until, at })
  }
  return steps
}

/** Where the name of a band has room inside of it. */
function roomFor(
  name: string,
  steps: readonly Step[],
  lower: readonly number[],
  upper: readonly number[],
  yOf: (bytes: number) => number,
  widthOf: (text: string) => number,
): { readonly x: number; readonly y: number } | undefined {
  const needed = widthOf(name) + 10
  for (let first = 0; first < steps.length; first++) {
    let [high, low] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]
    for (let at = first; at < steps.length; at++) {
      high = Math.max(high, yOf(upper[at] ?? 0))
      low = Math.min(low, yOf(lower[at] ?? 0))
      if (low - high < 14) break
      if ((steps[at]?.until ?? 0) - (steps[first]?.x ?? 0) >= needed)
        return { x: (steps[first]?.x ?? 0) + 6, y: (high + low) / 2 + 0.5 }
    }
  }
  return undefined
}

/** A list beside the plot of what is alive at the peak, and a line from there. */
function drawFlag(
  context: CanvasRenderingContext2D,
  { flag, peak }: MemoryRank,
  at: { readonly x: number; readonly y: number },
  from: { readonly x: number; readonly y: number },
  theme: Theme,
): void {
  const lines = flag.slice(0, 9)
  const width = sizes.flag - 12
  context.strokeStyle = theme.ink
  context.lineWidth = 1
  context.beginPath()
  context.moveTo(from.x, from.y)
  context.lineTo(from.x, at.y + 13)
  context.lineTo(at.x, at.y + 13)
  context.stroke()
  context.fillStyle = theme.surface
  context.strokeStyle = theme.rule
  context.beginPath()
  context.roundRect(at.x, at.y, width, 26 + 15 * lines.length, 6)
  context.fill()
  context.stroke()
  context.textAlign = 'left'
  context.textBaseline = 'alphabetic'
  context.font = `600 ${fonts.fact}`
  context.fillStyle = theme.ink
  context.fillText(`alive at the peak, ${formatBytes(peak.bytes)}`, at.x + 10, at.y + 17)
  context.font = fonts.fact
  context.fillStyle = theme.secondary
  lines.forEach((line, index) => {
    context.fillText(line, at.x + 10, at.y + 34 + 15 * index, width - 20)
  })
}

function drawTime(context: CanvasRenderingContext2D, { view, width }: MemoryScene, bottom: number, theme: Theme): void {
  const { left, right } = plotOf(width)
  const [unit, perUnit] = unitOf(view.to)
  drawTicks(context, { from: view.from * perUnit, to: view.to * perUnit }, { left, right, bottom }, theme)
  context.textAlign = 'right'
  context.fillText(unit, right + sizes.right - 2, bottom + 13)
}
