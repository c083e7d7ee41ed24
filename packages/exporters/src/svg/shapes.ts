import type { NodeKind } from '@shardloom/core'
import { formatCount } from '../format.js'
import { measures } from '../tokens.js'
import type { ViewNode } from '../view.js'
import { group, type Point, path, px, type Rect, rect, text, widthOf } from './pen.js'

/** Width and height in pixels. */
export interface Size {
  readonly width: number
  readonly height: number
}

/** How far the sides of a hexagon lean. */
export const slope = 12
const line = 15
const cap = 6
/** How far each of the two sheets behind a repeated card is moved. */
const sheet = 3.5

const nameWidth = (title: string) => widthOf(title, measures.name, 'semibold')
const pillText = (repeat: number) => `×${formatCount(repeat)}`

/** The width of the pill that counts repeats; 0 for what runs once. */
export const pillWidth = (repeat: number) =>
  repeat > 1 ? widthOf(pillText(repeat), measures.fact, 'semibold') + 12 : 0

/** The pill that counts repeats, its left end at `x`, its middle at `y`. */
export function pill(repeat: number, x: number, y: number): string {
  if (repeat <= 1) return ''
  const width = pillWidth(repeat)
  return (
    rect({ x, y: y - 9, width, height: 18 }, 'pill', 9) +
    text({ x: x + width / 2, y: y + 4 }, pillText(repeat), 'count', 'middle')
  )
}

/** A hexagon between two tips. */
export function hexagon({ x, y, width, height }: Rect, names: string): string {
  const [right, middle, lean] = [x + width, y + height / 2, Math.min(slope, height / 2)]
  return path(
    `M${px(x + lean)} ${px(y)}H${px(right - lean)}L${px(right)} ${px(middle)}L${px(right - lean)} ${px(y + height)}H${px(x + lean)}L${px(x)} ${px(middle)}Z`,
    names,
  )
}

function cylinder({ x, y, width, height }: Rect, names: string): string {
  const [right, low] = [x + width, y + height - cap]
  const arc = (to: string, sweep: 0 | 1) => `A${px(width / 2)} ${cap} 0 0 ${sweep} ${to}`
  const body = `M${px(x)} ${px(y + cap)}${arc(`${px(right)} ${px(y + cap)}`, 1)}V${px(low)}${arc(`${px(x)} ${px(low)}`, 1)}Z`
  return path(`${body}M${px(x)} ${px(y + cap)}${arc(`${px(right)} ${px(y + cap)}`, 0)}`, names)
}

function diamond({ x, y, width, height }: Rect, names: string): string {
  const [middle, centre] = [x + width / 2, y + height / 2]
  return path(
    `M${px(middle)} ${px(y)}L${px(x + width)} ${px(centre)}L${px(middle)} ${px(y + height)}L${px(x)} ${px(centre)}Z`,
    names,
  )
}

/** The outline of a kind of node. */
export function outline(kind: NodeKind, at: Rect, names: string = kind): string {
  switch (kind) {
    case 'compute':
      return rect(at, names, measures.nodeRadius)
    case 'communication':
      return hexagon(at, names)
    case 'control':
      return diamond(at, names)
    case 'memory':
      return cylinder(at, names)
  }
}

/** What stands under the name: a diamond has its name only. */
const factsOf = ({ kind, facts }: ViewNode) => (kind === 'control' ? [] : facts)

/** The size of a node with all of its text, sheets behind it included. */
export function sizeOf(node: ViewNode): Size {
  const { kind, title, chips, repeat, outside } = node
  const facts = factsOf(node)
  const pills = repeat > 1 ? pillWidth(repeat) + 8 : 0
  const texts = Math.max(nameWidth(title) + pills, ...facts.map((fact) => widthOf(fact)))
  const behind = repeat > 1 ? 2 * sheet : 0
  if (outside) return { width: widthOf(title) + 20, height: 26 }
  if (chips.length > 0) {
    const width = Math.max(texts + 24, ...chips.map((chip) => widthOf(chip) + 2 * slope + 12))
    return { width: width + behind, height: 32 + line * facts.length + 26 * chips.length + behind }
  }
  const height = facts.length > 0 ? 29 + line * facts.length : 32
  if (kind === 'control') return { width: Math.ceil(texts * 1.4) + 44 + behind, height: 46 + behind }
  if (kind === 'communication') return { width: texts + 2 * slope + 8 + behind, height: height + behind }
  return {
    width: Math.max(84, texts + 24) + behind,
    height: height + (kind === 'memory' ? 2 * cap - 2 : 0) + behind,
  }
}

/** Draws a node with its top left corner at a place, as large as it has to be, or larger. */
export function drawNode(node: ViewNode, place: Point & Partial<Size>): string {
  const { kind, title, chips, repeat, outside, tooltip, id } = node
  const { x, y } = place
  const size = { ...sizeOf(node), ...place }
  const behind = repeat > 1 ? 2 * sheet : 0
  const at: Rect = { x, y: y + behind, width: size.width - behind, height: size.height - behind }
  if (outside) {
    const label = text({ x: at.x + at.width / 2, y: at.y + 17 }, title, 'fact', 'middle')
    return group(rect(at, 'outside', measures.nodeRadius) + label, tooltip, id)
  }
  const sheets = behind
    ? [2, 1].map((index) => outline(kind, { ...at, x: at.x + index * sheet, y: at.y - index * sheet }, kind)).join('')
    : ''
  const inside = chips.length > 0 ? cardText(node, at) : centredText(node, at, kind === 'memory' ? cap : 0)
  return group(`${sheets}${outline(kind, at)}${inside}`, tooltip, id)
}

/** Name and facts in the middle, as operators have them. */
function centredText(node: ViewNode, at: Rect, lower: number): string {
  const { title, repeat } = node
  const facts = factsOf(node)
  const pills = repeat > 1 ? pillWidth(repeat) + 8 : 0
  const centre = at.x + at.width / 2
  const block = 13 + line * facts.length
  const first = at.y + lower + (at.height - lower - block) / 2 + 11
  const end = centre - pills / 2 + nameWidth(title) / 2
  return [
    text({ x: centre - pills / 2, y: first }, title, 'name', 'middle'),
    pill(repeat, end + 8, first - 4.5),
    ...facts.map((fact, index) => text({ x: centre, y: first + line * (index + 1) }, fact, 'fact', 'middle')),
  ].join('')
}

/** Name, facts and folded communication from the left, the repeats in the top right corner. */
function cardText(node: ViewNode, at: Rect): string {
  const { title, repeat, chips } = node
  const facts = factsOf(node)
  const left = at.x + 12
  const low = at.y + 30 + line * facts.length
  return [
    text({ x: left, y: at.y + 21 }, title, 'name'),
    pill(repeat, at.x + at.width - pillWidth(repeat) - 8, at.y + 17),
    ...facts.map((fact, index) => text({ x: left, y: at.y + 38 + line * index }, fact, 'fact')),
    ...chips.map((chip, index) => {
      const box = { x: at.x + 6, y: low + 26 * index, width: at.width - 12, height: 22 }
      return hexagon(box, 'communication') + text({ x: at.x + at.width / 2, y: box.y + 15 }, chip, 'fact', 'middle')
    }),
  ].join('')
}
