import { cutMiddle, formatCount, formatCounted } from '../format.js'
import { type Axis, axisOf, valueText } from './axis.js'
import type { Drawing, LegendItem } from './page.js'
import { drawList, type Labels, labelsOf, mostLabels } from './pareto-labels.js'
import { circle, group, type Point, path, px, type Rect, rect, text, widthOf, wrap } from './pen.js'

/** A candidate by two metrics. */
export interface ParetoPoint {
  /** Such as `tp=8 pp=4`. */
  readonly name: string
  readonly x: number
  readonly y: number
}

/** A metric along a side of the picture. */
export interface ParetoAxis {
  /** Such as `step time`. */
  readonly name: string
  /** Of all values; `s`, `B` and `FLOP` are written with the prefix that suits them. Default none. */
  readonly unit?: string
  /** Which way is better. Default `less`. */
  readonly better?: 'less' | 'more'
  /** What values may not exceed, or fall below where `more` is better: a line, where it is not far from all points. */
  readonly limit?: number
}

/** What a search kept, by two metrics. */
export interface ParetoPicture {
  /** The candidates, in any order; of those of one name the last is drawn. */
  readonly points: readonly ParetoPoint[]
  readonly axes: { readonly x: ParetoAxis; readonly y: ParetoAxis }
  /** The name of the candidate that is chosen. */
  readonly marked?: string
  /** What the candidates are of and where their metrics come from, which the subtitle begins with. */
  readonly of?: string
}

const plotHeight = 400
/** The radius of points on the front. */
const dot = 5

/** Draws points and their front; `width` is that of the picture, in pixels. */
export function drawPareto(picture: ParetoPicture, width: number): Drawing {
  const { axes, marked, of = '' } = picture
  const given = new Map(picture.points.map((point) => [point.name, point]))
  const all = [...given.values()].filter(isDrawn)
  const front = alongFront(all, axes)
  const names = new Set(front.map(({ name }) => name))
  const others = all.filter(({ name }) => !names.has(name))
  const inner = Math.max(360, width - 48)
  const [xLimit, yLimit] = (['x', 'y'] as const).map((side) =>
    nearLimit(
      axes[side].limit,
      all.map((point) => point[side]),
    ),
  )
  const yAxis = axisOf([...all.map(({ y }) => y), ...(yLimit === undefined ? [] : [yLimit])], axes.y.unit ?? '', 6)
  const yTitle = axisTitle(axes.y, yAxis, inner)
  const left = Math.max(28, ...yAxis.ticks.map((tick) => widthOf(tick.text))) + 10
  const plot: Rect = { x: left, y: 8 + 16 * yTitle.length, width: inner - left, height: plotHeight }
  const xAxis = axisOf(
    [...all.map(({ x }) => x), ...(xLimit === undefined ? [] : [xLimit])],
    axes.x.unit ?? '',
    Math.max(4, Math.floor(plot.width / 110)),
  )
  const axesDrawn = drawAxes(plot, xAxis, yAxis, yTitle, axisTitle(axes.x, xAxis, inner))
  const at = ({ x, y }: { readonly x: number; readonly y: number }): Point => ({
    x: plot.x + xAxis.place(x) * plot.width,
    y: plot.y + (1 - yAxis.place(y)) * plot.height,
  })
  const tip = ({ name, x, y }: ParetoPoint) =>
    `${name} · ${axes.x.name} ${valueText(x, axes.x.unit ?? '')} · ${axes.y.name} ${valueText(y, axes.y.unit ?? '')}`

  const chosen = all.find(({ name }) => name === marked)
  const corners = staircase(front.map(at), plot, axes)
  const limits = [
    ...(xLimit === undefined ? [] : [upright(plot, xAxis.place(xLimit), limitText(axes.x, xLimit))]),
    ...(yLimit === undefined ? [] : [level(plot, yAxis.place(yLimit), limitText(axes.y, yLimit))]),
  ]
  const labels = labelsOf(front, marked, at, {
    frame: plot,
    points: [...front, ...(chosen ? [chosen] : [])].map(at),
    radius: dot,
    lines: [
      ...corners.slice(1).map((to, index) => between(corners[index] ?? to, to)),
      ...limits.flatMap(({ boxes }) => boxes),
    ],
    lesser: others.map(at),
  })
  const list = labels.numbered ? drawList(labels.shown, axes, inner, axesDrawn.bottom + 26) : undefined
  const body = [
    axesDrawn.body,
    ...limits.map(({ body }) => body),
    drawCloud(others, at, tip),
    path(corners.map(({ x, y }, index) => `${index === 0 ? 'M' : 'L'}${px(x)} ${px(y)}`).join(''), 'front'),
    ...front.map((point) => group(circle(at(point), dot, 'front-point'), tip(point))),
    chosen ? circle(at(chosen), dot + 4, 'marked') : '',
    ...labels.parts,
    list?.body ?? '',
  ]
  const lost = given.size - all.length
  const [x, y] = [axes.x, axes.y].map(({ name, better = 'less' }) => `${better} ${name}`) as [string, string]
  return {
    title: [axes.x, axes.y].map(({ name }) => cutMiddle(name, 40)).join(' against '),
    subtitle: [of, formatCounted(all.length, 'candidate'), `${formatCount(front.length)} on the front`]
      .filter(Boolean)
      .join(' · '),
    ...(lost > 0 && { notice: `${formatCount(lost)} without a value for both metrics not drawn` }),
    alt: [
      ...(of ? [`${of}.`] : []),
      `${formatCounted(all.length, 'candidate')} by ${axes.x.name} and ${axes.y.name}; ${x} and ${y} are better.`,
      `The front: ${front.slice(0, mostLabels).map(tip).join('; ') || 'none'}${front.length > mostLabels ? `; and ${front.length - mostLabels} more` : ''}.`,
      ...(chosen ? [`Chosen: ${tip(chosen)}.`] : []),
    ].join(' '),
    width: Math.max(inner, list?.width ?? 0),
    height: list ? list.bottom : axesDrawn.bottom,
    body: body.filter(Boolean).join('\n'),
    legend: legendOf(others.length > 0, front.length, chosen !== undefined, labels),
  }
}

/** Whether a point has a place: differences of greater numbers would be infinite. */
export const isDrawn = ({ x, y }: ParetoPoint) => Math.abs(x) < 1e300 && Math.abs(y) < 1e300

/** The points that no other beats, from the best in x to the best in y; of equal ones that with the smallest name. */
function alongFront(points: readonly ParetoPoint[], axes: ParetoPicture['axes']): ParetoPoint[] {
  const [x, y] = [axes.x, axes.y].map(({ better }) => (better === 'more' ? -1 : 1)) as [number, number]
  const sorted = [...points].sort((a, b) => x * (a.x - b.x) || y * (a.y - b.y) || (a.name < b.name ? -1 : 1))
  const front: ParetoPoint[] = []
  for (const point of sorted) {
    const last = front.at(-1)
    if (last === undefined || y * point.y < y * last.y) front.push(point)
  }
  return front
}

/** The corners of the border of what the front is at least as good as. */
function staircase(points: readonly Point[], plot: Rect, axes: ParetoPicture['axes']): Point[] {
  const [first, last] = [points[0], points.at(-1)]
  if (first === undefined || last === undefined) return []
  return [
    { x: first.x, y: axes.y.better === 'more' ? plot.y + plot.height : plot.y },
    first,
    ...points.slice(1).flatMap((point, index) => [{ x: point.x, y: points[index]?.y ?? point.y }, point]),
    { x: axes.x.better === 'more' ? plot.x : plot.x + plot.width, y: last.y },
  ]
}

/** A limit that is not far from the values: else there would be no room for these. */
function nearLimit(limit: number | undefined, values: readonly number[]): number | undefined {
  const [least, most] = [Math.min, Math.max].map((of) => values.reduce((a, b) => of(a, b))) as [number, number]
  return limit !== undefined && limit >= least / 1.5 && limit <= most * 1.5 ? limit : undefined
}

const limitText = ({ unit = '' }: ParetoAxis, limit: number) => `limit ${valueText(limit, unit)}`

/** A line of a limit across a picture, with its words at an end, and the boxes of both. */
function level(plot: Rect, share: number, words: string) {
  const y = plot.y + (1 - share) * plot.height
  const isHigh = y - plot.y < 18
  const box = { x: plot.x + 6, y: isHigh ? y + 3 : y - 15, width: widthOf(words), height: 12 }
  return {
    body: path(`M${px(plot.x)} ${px(y)}h${px(plot.width)}`, 'bound') + text({ x: box.x, y: box.y + 10 }, words, 'fact'),
    boxes: [{ x: plot.x, y, width: plot.width, height: 0 }, box],
  }
}

function upright(plot: Rect, share: number, words: string) {
  const x = plot.x + share * plot.width
  const width = widthOf(words)
  const isRight = x + 6 + width > plot.x + plot.width
  const box = { x: isRight ? x - 6 - width : x + 6, y: plot.y + plot.height - 18, width, height: 12 }
  return {
    body:
      path(`M${px(x)} ${px(plot.y)}v${px(plot.height)}`, 'bound') + text({ x: box.x, y: box.y + 10 }, words, 'fact'),
    boxes: [{ x, y: plot.y, width: 0, height: plot.height }, box],
  }
}

/** A level or upright line as a box. */
const between = (a: Point, b: Point): Rect => ({
  x: Math.min(a.x, b.x),
  y: Math.min(a.y, b.y),
  width: Math.abs(a.x - b.x),
  height: Math.abs(a.y - b.y),
})

/** What an axis shows, on as many lines as its room takes. */
function axisTitle({ name, better = 'less' }: ParetoAxis, { unit, logarithmic }: Axis, room: number): string[] {
  const metric = cutMiddle(`${name}${unit && `, ${unit}`}`, Math.floor(room / widthOf('x', 12)))
  // Lines are measured for text of 11 pixels, and written in 12.
  return wrap([metric, `${better} is better`, ...(logarithmic ? ['logarithmic'] : [])].join(' · '), (room * 11) / 12)
}

function drawAxes(plot: Rect, x: Axis, y: Axis, yTitle: readonly string[], xTitle: readonly string[]) {
  const bottom = plot.y + plot.height
  const parts = [rect(plot, 'plot')]
  for (const { at, text: written } of y.ticks) {
    const level = plot.y + (1 - at) * plot.height
    parts.push(path(`M${px(plot.x)} ${px(level)}h${px(plot.width)}`, 'rule'))
    parts.push(text({ x: plot.x - 8, y: level + 4 }, written, 'fact', 'end'))
  }
  for (const { at, text: written } of x.ticks) {
    const place = plot.x + at * plot.width
    parts.push(path(`M${px(place)} ${px(plot.y)}v${px(plot.height + 4)}`, 'rule'))
    // Under the ends of the axis too the whole number stays within the picture.
    const half = widthOf(written) / 2
    const middle = Math.min(place, plot.x + plot.width - half)
    parts.push(text({ x: middle, y: bottom + 17 }, written, 'fact', 'middle'))
  }
  parts.push(...yTitle.map((line, index) => text({ x: 0, y: 12 + 16 * index }, line, 'plain')))
  const right = plot.x + plot.width
  parts.push(...xTitle.map((line, index) => text({ x: right, y: bottom + 36 + 16 * index }, line, 'plain', 'end')))
  return { body: parts.join('\n'), bottom: bottom + 26 + 16 * xTitle.length }
}

/** Points at the same place are one, with the names of all up to three. */
function drawCloud(
  points: readonly ParetoPoint[],
  at: (point: ParetoPoint) => Point,
  tip: (point: ParetoPoint) => string,
) {
  const places = new Map<string, ParetoPoint[]>()
  for (const point of points) {
    const { x, y } = at(point)
    const key = `${Math.round(x)} ${Math.round(y)}`
    const there = places.get(key)
    if (there) there.push(point)
    else places.set(key, [point])
  }
  const parts = [...places.values()].map((there) => {
    const more = there.length > 3 ? [`and ${there.length - 3} more`] : []
    return group(circle(at(there[0] as ParetoPoint), 2.5, 'point'), [...there.slice(0, 3).map(tip), ...more].join('\n'))
  })
  return parts.join('\n')
}

/** Only what the picture contains. */
function legendOf(others: boolean, front: number, chosen: boolean, { numbered, shown }: Labels): LegendItem[] {
  const some =
    shown.length < front
      ? `; ${formatCount(shown.length)} of ${formatCount(front)} numbered below`
      : ', numbered below the axis'
  const middle = { x: 12, y: 6 }
  return [
    ...(front > 0
      ? [
          {
            sample: path('M6 -3V8H26', 'front') + circle({ x: 6, y: 8 }, 4, 'front-point'),
            width: 24,
            text: `front: no candidate is better in both${numbered ? some : ''}`,
          },
        ]
      : []),
    ...(others ? [{ sample: circle(middle, 2.5, 'point'), width: 24, text: 'other candidate' }] : []),
    ...(chosen ? [{ sample: circle(middle, dot + 4, 'marked'), width: 24, text: 'chosen' }] : []),
  ]
}
