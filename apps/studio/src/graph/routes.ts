import type { Cell, Grid } from './grid.js'
import { type Rect, roundedPath, textWidth, turned, type ViewEdge } from './placed.js'

/** One end of an edge: the node, and the cell that it is in. */
export interface End {
  readonly at: Rect
  readonly cell: Cell
}

/** Where an edge runs, and the box of its label where it has one. */
export interface Route {
  readonly path: string
  readonly label?: Rect
}

type Point = { readonly x: number; readonly y: number }

/** Pixels from cells to the first line beside them, and between such lines. */
const [clear, step] = [14, 9]

/**
 * Leads edges from cell to cell of a grid: straight to the next one, from band to band through what is between them, and past others
 * beside the band. `lead` is called edge by edge, short ones first.
 */
export function router({ flow, cells, bands }: Grid<Cell>) {
  const turn = (at: Rect) => (flow === 'down' ? at : turned(at))
  const boxes = cells.map(({ cell, at }) => ({ cell, at: turn(at) }))
  /** Lines that run along the flow, so that others keep apart; what comes from or goes to the same node runs as one. */
  const lines: { x: number; from: number; to: number; of: string }[] = []
  const pathOf = (points: readonly Point[]) =>
    roundedPath(flow === 'down' ? points : points.map(({ x, y }) => ({ x: y, y: x })))
  const curveOf = (points: readonly [Point, Point, Point, Point]) => {
    const [a, b, c, d] = points.map(({ x, y }) => (flow === 'down' ? [x, y] : [y, x]).map(round).join(' '))
    return `M${a}C${b} ${c} ${d}`
  }
  const free = (x: number, from: number, to: number, side: number, of: string) => {
    let at = x
    for (let again = true; again; ) {
      again = false
      for (const line of lines) {
        if (line.of === of || line.to < from - 4 || line.from > to + 4 || Math.abs(line.x - at) >= step) continue
        at = line.x + side * step
        again = true
      }
    }
    lines.push({ x: at, from, to, of })
    return at
  }
  const labelAt = (point: Point, text: string | undefined, beside: boolean): Pick<Route, 'label'> => {
    if (!text) return {}
    const at = flow === 'down' ? point : { x: point.y, y: point.x }
    const width = textWidth(text)
    // Beside a line down, above a line across.
    const upright = (flow === 'down') === beside
    const x = upright ? at.x + 5 : at.x - width / 2
    return { label: { x, y: upright ? at.y - 7 : at.y - 16, width, height: 14 } }
  }
  return (edge: ViewEdge, from: End, to: End): Route => {
    const [a, b] = [turn(from.at), turn(to.at)]
    const [middleA, middleB] = [centre(a), centre(b)]
    const forth = middleB.y >= middleA.y
    if (from.cell.band === to.cell.band) {
      const between = boxes.some(
        ({ cell }) =>
          cell.band === from.cell.band &&
          !cell.passable &&
          cell.slot > Math.min(from.cell.slot, to.cell.slot) &&
          cell.slot < Math.max(from.cell.slot, to.cell.slot),
      )
      if (!between) {
        const start = { x: middleA.x, y: forth ? a.y + a.height : a.y }
        const end = { x: middleB.x, y: forth ? b.y : b.y + b.height }
        // What leads back beside the way forth stands apart from it.
        const aside = edge.role === 'back' ? 16 : 0
        const [x1, x2] = [start.x + aside, end.x + aside]
        const half = (end.y - start.y) / 2
        const label = labelAt({ x: (x1 + x2) / 2, y: start.y + half }, edge.label, true)
        if (Math.abs(x1 - x2) < 2)
          return {
            path: pathOf([
              { ...start, x: x1 },
              { ...end, x: x1 },
            ]),
            ...label,
          }
        return {
          path: curveOf([
            { x: x1, y: start.y },
            { x: x1, y: start.y + half },
            { x: x2, y: end.y - half },
            { x: x2, y: end.y },
          ]),
          ...label,
        }
      }
      const side = from.cell.band === 0 ? -1 : 1
      const band = bands[from.cell.band]
      const [top, bottom] = [Math.min(middleA.y, middleB.y), Math.max(middleA.y, middleB.y)]
      const first = side < 0 ? (band?.from ?? 0) - clear : (band?.to ?? 0) + clear
      const x = free(first, top, bottom, side, edge.role === 'back' ? `${edge.from} back` : edge.from)
      const edgeOf = (box: Rect) => (side < 0 ? box.x : box.x + box.width)
      // What enters and what leaves on the same side do so a little apart.
      const apart = forth ? 5 : -5
      return {
        path: pathOf([
          { x: edgeOf(a), y: middleA.y + apart },
          { x, y: middleA.y + apart },
          { x, y: middleB.y - apart },
          { x: edgeOf(b), y: middleB.y - apart },
        ]),
        ...labelAt({ x, y: (top + bottom) / 2 }, edge.label, true),
      }
    }
    const right = to.cell.band > from.cell.band
    const [x1, x2] = [right ? a.x + a.width : a.x, right ? b.x : b.x + b.width]
    const [low, high] = [Math.max(a.y, b.y), Math.min(a.y + a.height, b.y + b.height)]
    const passed = boxes.some(
      ({ cell, at }) =>
        cell !== from.cell &&
        cell !== to.cell &&
        at.x < Math.max(x1, x2) &&
        at.x + at.width > Math.min(x1, x2) &&
        at.y < Math.max(middleA.y, middleB.y) + 1 &&
        at.y + at.height > Math.min(middleA.y, middleB.y) - 1,
    )
    if (high - low > 12 && !passed) {
      const y = (low + high) / 2
      return {
        path: pathOf([
          { x: x1, y },
          { x: x2, y },
        ]),
        ...labelAt({ x: (x1 + x2) / 2, y }, edge.label, false),
      }
    }
    const near = bands[right ? to.cell.band - 1 : to.cell.band]
    const gutter = right ? (near?.to ?? x1) + clear : (near?.to ?? x2) + clear
    if (Math.abs(to.cell.band - from.cell.band) === 1) {
      const [top, bottom] = [Math.min(middleA.y, middleB.y), Math.max(middleA.y, middleB.y)]
      const x = free(gutter, top, bottom, 1, edge.to)
      return {
        path: pathOf([
          { x: x1, y: middleA.y },
          { x, y: middleA.y },
          { x, y: middleB.y },
          { x: x2, y: middleB.y },
        ]),
        ...labelAt({ x, y: (top + bottom) / 2 }, edge.label, true),
      }
    }
    // Past the bands between, behind the last of their cells.
    const last = Math.max(...boxes.map(({ at }) => at.y + at.height))
    const y = last + 8
    const x = free(gutter, middleB.y, y, 1, edge.to)
    return {
      path: pathOf([
        { x: middleA.x, y: a.y + a.height },
        { x: middleA.x, y },
        { x, y },
        { x, y: middleB.y },
        { x: x2, y: middleB.y },
      ]),
      ...labelAt({ x, y: (middleB.y + y) / 2 }, edge.label, true),
    }
  }
}

const round = (value: number) => Math.round(value * 10) / 10
const centre = ({ x, y, width, height }: Rect): Point => ({ x: x + width / 2, y: y + height / 2 })
