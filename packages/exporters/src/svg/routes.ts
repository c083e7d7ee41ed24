import type { Point, Rect } from './pen.js'

/** An edge that is to run beside what stands between its ends: to the left of it (−1), or to the right. */
export interface SideEdge {
  readonly from: Rect
  readonly to: Rect
  readonly side: -1 | 1
}

/** Where it runs, corner by corner, and the middle of its long part. */
export interface SideRoute {
  readonly points: readonly Point[]
  readonly middle: Point
}

/** Pixels from nodes to the first line beside them, between such lines, and how far one may be led away. */
const [clear, step, farthest] = [16, 10, 420]

/**
 * Leads edges outside of what stands between their ends, the short ones nearest. An edge that cannot leave its node sideways, or
 * would go far around, has no route. O(edges × (edges + obstacles)).
 */
export function sideRoutes(
  edges: readonly SideEdge[],
  obstacles: readonly Rect[],
  regions: readonly Rect[],
): (SideRoute | undefined)[] {
  const routes: (SideRoute | undefined)[] = edges.map(() => undefined)
  // Lines keep apart from each other, and from the borders of regions.
  const lines = regions.flatMap(({ x, y, width, height }) =>
    [x, x + width].map((at) => ({ x: at, top: y, bottom: y + height, source: '' })),
  )
  const ends = edges.map((edge) => portsOf(edge, edges))
  const order = edges.map((_, index) => index).sort((a, b) => spanOf(ends[a]) - spanOf(ends[b]) || a - b)
  for (const index of order) {
    const [edge, ports] = [edges[index], ends[index]]
    if (!edge || !ports) continue
    const { side } = edge
    const [top, bottom] = [Math.min(ports.from.y, ports.to.y), Math.max(ports.from.y, ports.to.y)]
    const start = side < 0 ? Math.min(ports.from.x, ports.to.x) : Math.max(ports.from.x, ports.to.x)
    let x = start + side * clear
    const source = `${ports.from.x} ${ports.from.y} ${side}`
    for (let again = true; again; ) {
      again = false
      for (const box of obstacles) {
        if (box.y > bottom || box.y + box.height < top || box.x - 8 > x || box.x + box.width + 8 < x) continue
        x = side < 0 ? box.x - clear : box.x + box.width + clear
        again = true
      }
      for (const line of lines) {
        // What one node sends to several runs as one line.
        if (line.source === source || line.top > bottom + 4 || line.bottom < top - 4 || Math.abs(line.x - x) >= step)
          continue
        x = line.x + side * step
        again = true
      }
      if (Math.abs(x - start) > farthest) break
    }
    const isFree = ({ x: from, y }: Point, own: Rect) =>
      obstacles.every(
        (box) =>
          box === own ||
          box.y - 3 > y ||
          box.y + box.height + 3 < y ||
          Math.max(box.x, Math.min(from, x)) > Math.min(box.x + box.width, Math.max(from, x)),
      )
    if (Math.abs(x - start) > farthest || !isFree(ports.from, edge.from) || !isFree(ports.to, edge.to)) continue
    lines.push({ x, top, bottom, source })
    routes[index] = {
      points: [ports.from, { x, y: ports.from.y }, { x, y: ports.to.y }, ports.to],
      middle: { x, y: (top + bottom) / 2 },
    }
  }
  return routes
}

/** Where an edge leaves and enters: in the middle of a side, or a little apart where lines leave and enter there. */
function portsOf({ from, to, side }: SideEdge, edges: readonly SideEdge[]): { from: Point; to: Point } {
  const port = (box: Rect, leaves: boolean): Point => {
    const both = edges.some((each) => each.side === side && (leaves ? each.to : each.from) === box)
    // What comes from above enters above what leaves downwards.
    const down = from.y < to.y === leaves ? 6 : -6
    return { x: side < 0 ? box.x : box.x + box.width, y: box.y + box.height / 2 + (both ? down : 0) }
  }
  return { from: port(from, true), to: port(to, false) }
}

const spanOf = (ends: { readonly from: Point; readonly to: Point } | undefined) =>
  ends ? Math.abs(ends.from.y - ends.to.y) : 0

/** A place with its axes exchanged: pictures from left to right are laid out as those from top to bottom. */
export const turned = <Place extends Point | Rect>(place: Place): Place =>
  'width' in place
    ? { ...place, x: place.y, y: place.x, width: place.height, height: place.width }
    : { ...place, x: place.y, y: place.x }
