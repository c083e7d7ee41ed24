import type { ViewNode } from '../view.js'
import { circle, group, path, px, type Rect, text, widthOf } from './pen.js'
import { hexagon, slope } from './shapes.js'

/** The height of a bar, and from one to the next of the same collective where their lanes cross. */
export const [barHeight, barStep] = [46, 56] as const

/** In which of several rows each bar stands, so that none lies across another. */
export function rowsOf(groups: readonly (readonly number[])[]): {
  readonly count: number
  readonly rowOf: readonly number[]
} {
  const rows: [number, number][][] = []
  const rowOf = groups.map((members) => {
    const [from, to] = [members[0] ?? 0, members.at(-1) ?? 0]
    const free = rows.findIndex((taken) => taken.every(([a, b]) => to < a || b < from))
    const row = free < 0 ? rows.push([]) - 1 : free
    rows[row]?.push([from, to])
    return row
  })
  return { count: Math.max(1, rows.length), rowOf }
}

const factOf = (node: ViewNode) => node.facts.join(' · ')
/** The width that a bar's text takes. */
export const barWidth = (node: ViewNode) =>
  Math.max(widthOf(node.title, 13, 'semibold'), widthOf(factOf(node))) + 2 * slope + 24

/** A collective: one hexagon from the lane of its first member to that of its last, with a dot in the lane of each. */
export function drawBar(node: ViewNode, centres: readonly number[], y: number): string {
  const [left = 0, right = left] = [Math.min(...centres), Math.max(...centres)]
  const width = Math.max(right - left + 150, barWidth(node))
  return drawBarAt(node, { x: (left + right) / 2 - width / 2, y, width, height: barHeight }, centres)
}

/** The same in a place of its own, with what is left of its members beside its text. */
export function drawBarAt(node: ViewNode, at: Rect, centres: readonly number[]): string {
  const [left = 0, right = left] = [Math.min(...centres), Math.max(...centres)]
  const [middle, high] = [at.x + at.width / 2, at.y + at.height / 2]
  const reach = Math.max(widthOf(node.title, 13, 'semibold'), widthOf(factOf(node))) / 2 + 14
  const dots = centres.length > 1 ? centres.filter((x) => Math.abs(x - middle) > reach) : []
  const member = dots.map((x) => circle({ x, y: high }, 4, 'dot')).join('')
  const line = (from: number, to: number) =>
    to - from > 12 ? path(`M${px(from)} ${px(high)}H${px(to)}`, 'member') : ''
  const lines = centres.length > 1 ? line(left, middle - reach + 6) + line(middle + reach - 6, right) : ''
  const fact = factOf(node)
  const label =
    text({ x: middle, y: fact ? high - 3.5 : high + 4.5 }, node.title, 'name', 'middle') +
    (fact ? text({ x: middle, y: high + 12 }, fact, 'fact', 'middle') : '')
  return group(hexagon(at, 'communication') + lines + member + label, node.tooltip, node.id)
}
