import type { ViewEdge } from '../view.js'
import { Bounds } from './bounds.js'
import { drawCurve, edgeClass, headsOf } from './graph.js'
import type { Places } from './layout.js'
import { type Point, path, type Rect, rounded, text, widthOf } from './pen.js'
import { labelBeside, segments } from './route-label.js'
import { sideRoutes } from './routes.js'

/** The edges of one lane: residuals on its outer side, short ones as curves of our own, others as Graphviz leads them. */
export function drawEdges(
  edges: readonly ViewEdge[],
  places: Places,
  boxes: readonly Rect[],
  outer: -1 | 1,
  sideways: readonly boolean[],
  bars: Pick<ReadonlySet<string>, 'has'>,
): { readonly lines: string; readonly labels: string; readonly bounds: Bounds } {
  const bounds = new Bounds()
  const asked = edges.flatMap((edge, index) => {
    const [from, to] = [places.nodes.get(edge.from), places.nodes.get(edge.to)]
    const side: -1 | 1 = edge.role === 'skip' ? outer : outer < 0 ? 1 : -1
    return sideways[index] && from && to ? [{ index, from, to, side }] : []
  })
  const routes = new Map(sideRoutes(asked, boxes, []).map((route, at) => [asked[at]?.index ?? -1, route]))
  const [lines, labels]: [string[], string[]] = [[], []]
  const labelled = new Set<string>()
  // Bars reach from lane to lane.
  const taken = [
    ...[...places.nodes].map(([id, at]) => (bars.has(id) ? { ...at, x: -1e5, width: 2e5 } : at)),
    ...[...routes.values()].flatMap((route) => (route ? segments(route.points) : [])),
  ]
  for (const [index, edge] of edges.entries()) {
    const route = routes.get(index)
    const [from, to] = [places.nodes.get(edge.from), places.nodes.get(edge.to)]
    const { curve = [], label } = places.edges[index] ?? {}
    if (route) {
      for (const point of route.points) bounds.add({ ...point, width: 0, height: 0 })
      lines.push(path(rounded(route.points), edgeClass(edge), headsOf(edge)))
      const key = `${edge.from} ${edge.label}`
      if (!edge.label || labelled.has(key)) continue
      labelled.add(key)
      const box = labelBeside(route, widthOf(edge.label), taken)
      taken.push(box)
      bounds.add(box)
      labels.push(text({ x: box.x + box.width / 2, y: box.y + 11 }, edge.label, 'fact clear', 'middle'))
      continue
    }
    // What nobody has led anywhere passes behind what stands between its ends.
    const straight = from && to && (direct(from, to, boxes) ?? (curve.length > 0 ? undefined : between(from, to)))
    lines.push(straight ? drawCurve(edge, straight) : drawCurve(edge, curve))
    for (const point of straight || curve) bounds.add({ ...point, width: 0, height: 0 })
    if (!edge.label) continue
    const at = straight ? middleOf(straight) : label && { x: label.x - widthOf(edge.label) / 2, y: label.y }
    if (!at) continue
    const x = straight ? at.x + 7 : at.x
    labels.push(text({ x, y: at.y + 4 }, edge.label, 'fact clear'))
    bounds.add({ x, y: at.y, width: widthOf(edge.label), height: 1 })
  }
  return { lines: lines.filter(Boolean).join('\n'), labels: labels.join('\n'), bounds }
}

/** A curve from the bottom of one box to the top of another, where it is below and nothing is between them. */
function direct(from: Rect, to: Rect, boxes: readonly Rect[]): Point[] | undefined {
  const [top, bottom] = [from.y + from.height, to.y]
  const curve = between(from, to)
  const ends = [curve[0].x, curve[3].x]
  const [left, right] = [Math.min(...ends) - 6, Math.max(...ends) + 6]
  const blocked = boxes.some(
    (box) =>
      box !== from &&
      box !== to &&
      box.y < bottom &&
      box.y + box.height > top &&
      box.x < right &&
      box.x + box.width > left,
  )
  return bottom <= top || blocked ? undefined : curve
}

/** A curve from the bottom of one box to the top of another. */
function between(from: Rect, to: Rect): [Point, Point, Point, Point] {
  const [top, bottom] = [from.y + from.height, to.y]
  const start = { x: from.x + from.width / 2, y: top }
  const aim = to.x + to.width / 2
  // What comes from the side enters a little on that side.
  const lean = Math.sign(start.x - aim) * Math.min(Math.abs(start.x - aim), to.width / 3.4)
  const end = { x: aim + (Math.abs(start.x - aim) < 1 ? 0 : lean), y: bottom }
  const bend = (bottom - top) * 0.55
  return [start, { x: start.x, y: top + bend }, { x: end.x, y: bottom - bend }, end]
}

const middleOf = (curve: readonly Point[]): Point => {
  const [a, b] = [curve[0], curve.at(-1)]
  return { x: ((a?.x ?? 0) + (b?.x ?? 0)) / 2, y: ((a?.y ?? 0) + (b?.y ?? 0)) / 2 }
}
