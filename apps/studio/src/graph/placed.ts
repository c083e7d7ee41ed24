import type { View } from 'shardloom'
import type { PlacedView } from 'shardloom/svg'
import type { GraphView } from '../worker/protocol.js'

export type Rect = PlacedView['bounds']
export type ViewNode = View['nodes'][number]
export type ViewEdge = View['edges'][number]
export type ViewCluster = View['clusters'][number]

/** Pixels that a picture may take. */
export interface Room {
  readonly width: number
  readonly height: number
}

/** A node with its place; of a bar across lanes also how far from its left each member stands. */
export interface PlacedNode {
  readonly node: ViewNode
  readonly at: Rect
  readonly dots?: readonly number[]
}

/** An edge with its way; what is quiet shows where one of its ends is selected. */
export interface PlacedEdge {
  readonly edge: ViewEdge
  readonly path: string
  readonly label?: Rect
  readonly quiet: boolean
}

/** A part of a picture that is laid out by itself: one card, or what an opened one holds. Its corner is at 0, 0. */
export interface Block extends Pick<Placed, 'clusters' | 'nodes' | 'edges'> {
  readonly width: number
  readonly height: number
}

/** A view with a place for everything that is drawn, in pixels. */
export interface Placed {
  readonly bounds: Rect
  /** Where one begins to read. */
  readonly start: Rect
  /** Outer ones before those inside of them. */
  readonly clusters: readonly { readonly cluster: ViewCluster; readonly at: Rect; readonly depth: number }[]
  /** What stands at the head of a row or column: stages, ranks. */
  readonly titles: readonly { readonly cluster: ViewCluster; readonly at: Rect }[]
  readonly nodes: readonly PlacedNode[]
  readonly edges: readonly PlacedEdge[]
}

/** A view with the places that were made for it: the two come together or not at all. */
export interface DrawnGraph {
  readonly view: GraphView
  readonly placed: Placed
}

/** Below this, the smallest labels, of eleven pixels, cannot be read. */
export const readableZoom = 0.79

/** Pixels around a picture. */
export const margins = { side: 10, top: 8, bottom: 8 } as const

/** The zoom at which all of a picture is in a room. */
export function fitZoom({ width, height }: Pick<Rect, 'width' | 'height'>, room: Room): number {
  const across = (room.width - 2 * margins.side) / Math.max(1, width)
  const down = (room.height - margins.top - margins.bottom) / Math.max(1, height)
  return Math.min(across, down)
}

/** A rectangle, or a point of no size, with its axes exchanged: what flows to the right is arranged as what flows down. */
export const turned = ({ x, y, width, height }: Rect): Rect => ({ x: y, y: x, width: height, height: width })

/** What contains all of some rectangles. */
export function around(rects: readonly Rect[]): Rect {
  if (rects.length === 0) return { x: 0, y: 0, width: 0, height: 0 }
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity]
  for (const { x, y, width, height } of rects) {
    left = Math.min(left, x)
    top = Math.min(top, y)
    right = Math.max(right, x + width)
    bottom = Math.max(bottom, y + height)
  }
  return { x: left, y: top, width: right - left, height: bottom - top }
}

export const overlaps = (a: Rect, b: Rect): boolean =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height

export const moved = (at: Rect, x: number, y: number): Rect => ({ ...at, x: at.x + x, y: at.y + y })

/** The number of pixels that a text of eleven pixels takes at most: viewers' fonts differ. */
export const textWidth = (text: string): number => Math.ceil(text.length * 6.9)

/** The number of pixels that a bold title takes at most, with how often it runs behind it. */
export const nameWidth = ({ title, repeat }: Pick<ViewNode, 'title' | 'repeat'>): number =>
  textWidth(title) * 1.2 + (repeat > 1 ? 24 + 7.5 * String(repeat).length : 0)

/** The number of pixels that the head of a frame takes at most. */
export const headWidth = ({ title, repeat, fact }: ViewCluster): number =>
  textWidth(title) * 1.2 + (repeat > 1 ? 40 : 0) + (fact ? textWidth(fact) + 28 : 0)

/** Corners of a path that runs along the axes, rounded. */
export function roundedPath(points: readonly { readonly x: number; readonly y: number }[]): string {
  const px = (value: number) => String(Math.round(value * 10) / 10)
  const [first, ...rest] = points
  if (!first) return ''
  let d = `M${px(first.x)} ${px(first.y)}`
  let last = first
  rest.forEach((corner, at) => {
    const next = rest[at + 1]
    if (!next) {
      d += `L${px(corner.x)} ${px(corner.y)}`
      return
    }
    const toward = (to: { x: number; y: number }) => {
      const length = Math.hypot(to.x - corner.x, to.y - corner.y)
      const by = length === 0 ? 0 : Math.min(6, length / 2) / length
      return { x: corner.x + (to.x - corner.x) * by, y: corner.y + (to.y - corner.y) * by }
    }
    const [before, after] = [toward(last), toward(next)]
    d += `L${px(before.x)} ${px(before.y)}Q${px(corner.x)} ${px(corner.y)} ${px(after.x)} ${px(after.y)}`
    last = corner
  })
  return d
}

/** A path of absolute commands somewhere else. */
export function movedPath(d: string, x: number, y: number): string {
  if (x === 0 && y === 0) return d
  return d.replace(/([A-Z])([^A-Z]*)/g, (_, command: string, list: string) => {
    const numbers = (list.match(/-?[\d.]+(?:e-?\d+)?/g) ?? []).map(Number)
    const by = (value: number, at: number) => {
      const across = command === 'H' || (command !== 'V' && at % 2 === 0)
      return Math.round((value + (across ? x : y)) * 10) / 10
    }
    return command + numbers.map(by).join(' ')
  })
}
