import type { Point, Rect } from './pen.js'
import type { SideRoute } from './routes.js'

/** The box of a label at the long part of a route, where nothing else stands; if there is no such place, in the middle of it. */
export function labelBeside({ points, middle }: SideRoute, width: number, taken: readonly Rect[]): Rect {
  const [, start = middle, end = middle] = points
  const upright = start.x === end.x
  const places = [0.5, 0.35, 0.65, 0.2, 0.8].flatMap((share): Rect[] => {
    const at = { x: start.x + (end.x - start.x) * share, y: start.y + (end.y - start.y) * share }
    const box = { width, height: 14 }
    return upright
      ? [
          { ...box, x: at.x - width - 6, y: at.y - 7 },
          { ...box, x: at.x + 6, y: at.y - 7 },
        ]
      : [
          { ...box, x: at.x - width / 2, y: at.y - 16 },
          { ...box, x: at.x - width / 2, y: at.y + 2 },
        ]
  })
  const free = (box: Rect) => !taken.some((other) => overlaps(box, other))
  return places.find(free) ?? (places[0] as Rect) // of five shares
}

const overlaps = (a: Rect, b: Rect) =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height

/** The straight parts of a line as boxes without breadth. */
export const segments = (points: readonly Point[]): Rect[] =>
  points.slice(1).map((point, index) => {
    const before = points[index] ?? point
    const [x, y] = [Math.min(point.x, before.x), Math.min(point.y, before.y)]
    return { x, y, width: Math.abs(point.x - before.x) + 0.1, height: Math.abs(point.y - before.y) + 0.1 }
  })
