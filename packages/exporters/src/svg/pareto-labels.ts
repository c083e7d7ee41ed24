import { cutMiddle } from '../format.js'
import { hasPrefixes, valueText } from './axis.js'
import type { ParetoPicture, ParetoPoint } from './pareto.js'
import { type Point, path, px, type Rect, text, widthOf } from './pen.js'
import { type Occupied, placeLabels } from './place-labels.js'

/** Names up to this length stand beside their points, if there is room for all; others are numbered, and listed. */
const longest = 24
/** No further than this from their points, in pixels: lines from long names to their points would cross. */
const besides = 14
/** More numbers than these would cover the front: they are given to points at even distances along it. */
export const mostLabels = 24
/** Where names begin in the list, and how wide their column is at least, in pixels. */
const indent = 28
const leastNames = 240

/** What stands beside the points of a front. */
export interface Labels {
  readonly parts: readonly string[]
  readonly numbered: boolean
  /** Those that have a label, in the order of the front. */
  readonly shown: readonly { readonly point: ParetoPoint; readonly label: string }[]
}

/** The front's labels where they cover neither each other nor its points: names, or numbers where names have no room. */
export function labelsOf(
  front: readonly ParetoPoint[],
  marked: string | undefined,
  at: (point: ParetoPoint) => Point,
  occupied: Occupied,
): Labels {
  const even = Array.from({ length: mostLabels }, (_, index) =>
    Math.round((index * (front.length - 1)) / (mostLabels - 1)),
  )
  const labelled = front.filter(
    ({ name }, index) => front.length <= mostLabels || even.includes(index) || name === marked,
  )
  const names = labelled.map(({ name }) => name)
  const short = labelled.length === front.length && names.every((name) => [...name].length <= longest)
  for (const numbered of short ? [false, true] : [true]) {
    const texts = numbered ? labelled.map((_, index) => String(index + 1)) : names
    const sized = texts.map((content, index) => ({
      anchor: at(labelled[index] as ParetoPoint),
      width: widthOf(content, 11, 'semibold') + 6,
      height: 15,
    }))
    const boxes = placeLabels(sized, occupied, numbered ? Infinity : besides)
    if (!numbered && boxes.includes(undefined)) continue
    const shown = labelled
      .map((point, index) => ({ point, label: texts[index] as string, box: boxes[index] }))
      .filter((each): each is typeof each & { box: Rect } => each.box !== undefined)
    const parts = shown.flatMap(({ point, label, box }) => [
      leader(at(point), box, occupied.radius),
      text({ x: box.x + box.width / 2, y: box.y + 11 }, label, 'count-ink clear-page', 'middle'),
    ])
    return { parts, numbered, shown }
  }
  return { parts: [], numbered: false, shown: [] }
}

/** A line to a label that does not stand right beside its point. */
function leader({ x, y }: Point, box: Rect, dot: number): string {
  const to = {
    x: Math.min(Math.max(x, box.x), box.x + box.width),
    y: Math.min(Math.max(y, box.y), box.y + box.height),
  }
  const length = Math.hypot(to.x - x, to.y - y)
  if (length < dot + 12) return ''
  const from = { x: x + ((to.x - x) * dot) / length, y: y + ((to.y - y) * dot) / length }
  return path(`M${px(from.x)} ${px(from.y)}L${px(to.x)} ${px(to.y)}`, 'pointer')
}

/** What the numbers stand for: name and both metrics. */
export function drawList(shown: Labels['shown'], { x, y }: ParetoPicture['axes'], least: number, top: number) {
  const columns = [x, y].map(({ name, unit = '' }, index) => {
    // Units without prefixes stand in the head, once.
    const own = hasPrefixes(unit)
    const head = cutMiddle(own || unit === '' ? name : `${name}, ${unit}`, 32)
    const values = shown.map(({ point }) => valueText(index === 0 ? point.x : point.y, own ? unit : ''))
    const widest = Math.max(widthOf(head), ...values.map((each) => widthOf(each, 12)))
    return { head, values, width: widest + 16 }
  })
  const sides = indent + columns.reduce((sum, column) => sum + column.width, 0)
  const width = Math.max(least, sides + leastNames)
  const ends = [width - (columns[1]?.width ?? 0), width]
  const parts = columns.map(({ head }, index) => text({ x: ends[index] ?? 0, y: top }, head, 'fact', 'end'))
  parts.push(path(`M0 ${px(top + 7)}H${px(width)}`, 'rule'))
  let line = top + 7
  for (const [index, { point, label }] of shown.entries()) {
    const lines = wrapWords(point.name, width - sides)
    const first = line + 15
    parts.push(text({ x: indent - 8, y: first }, label, 'count-ink', 'end'))
    for (const [column, { values }] of columns.entries())
      parts.push(text({ x: ends[column] ?? 0, y: first }, values[index] ?? '', 'plain', 'end'))
    parts.push(...lines.map((words, at) => text({ x: indent, y: first + 15 * at }, words, 'plain')))
    line = first + 15 * (lines.length - 1) + 5
  }
  return { body: parts.join('\n'), width, bottom: line + 4 }
}

/** Words on as many lines as a width takes; a word longer than a line loses its middle. */
function wrapWords(content: string, width: number): string[] {
  const lines: string[] = []
  const cut = (word: string) => cutMiddle(word, Math.floor([...word].length * Math.min(1, width / widthOf(word, 12))))
  for (const word of content.split(/\s+/).map(cut)) {
    const longer = `${lines.at(-1) ?? ''} ${word}`.trim()
    if (lines.length > 0 && widthOf(longer, 12) <= width) lines[lines.length - 1] = longer
    else lines.push(word)
  }
  return lines
}
