import type { Cell, Grid } from './grid.js'
import { around, overlaps, type Rect, roundedPath, textWidth, turned, type ViewEdge } from './placed.js'

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

/** Where a way beside a band leaves one card and enters another. */
interface Ends {
  readonly out: 'side' | 'low'
  readonly into: 'side' | 'high'
}

const endings: readonly Ends[] = [
  { out: 'side', into: 'side' },
  { out: 'low', into: 'high' },
  { out: 'low', into: 'side' },
  { out: 'side', into: 'high' },
]

/** Pixels that a way goes on from a card before it turns. */
const short = 9

/**
 * Leads edges from cell to cell of a grid: straight to the next one, from band to band through what is between them, and past others
 * beside the band. It is called edge by edge, short ones first; those that are quiet, which hardly ever show together, share their lines.
 */
export function router({ flow, cells, bands }: Grid<Cell>, nodes: readonly Rect[]) {
  const turn = (at: Rect) => (flow === 'down' ? at : turned(at))
  const boxes = cells.map(({ cell, at }) => ({ cell, at: turn(at) }))
  const turnedOf = new Map(nodes.map((at) => [at, turn(at)]))
  const cards = [...turnedOf.values()]
  /** How many cards a way meets. */
  const met = (points: readonly Point[], ...ends: readonly Rect[]) =>
    points.slice(1).reduce((sum, to, at) => {
      const from = points[at] ?? to
      const leg = around([from, to].map((point) => ({ ...point, width: 0.1, height: 0.1 })))
      return sum + cards.filter((card) => !ends.includes(card) && overlaps(leg, card)).length
    }, 0)
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
  return (edge: ViewEdge, from: End, to: End, quiet: boolean): Route => {
    const lineOf = (id: string) => (quiet ? 'quiet' : id)
    const [a, b] = [turnedOf.get(from.at) ?? turn(from.at), turnedOf.get(to.at) ?? turn(to.at)]
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
      const straight = [
        { x: middleA.x, y: (forth ? a.y + a.height : a.y) + (forth ? 1 : -1) },
        { x: middleB.x, y: (forth ? b.y : b.y + b.height) + (forth ? -1 : 1) },
      ]
      if (!between && (quiet || met(straight, a, b) === 0)) {
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
      // What enters and what leaves on the same side do so a little apart.
      const apart = forth ? 5 : -5
      const band = bands[from.cell.band]
      const outer = from.cell.band === 0 ? -1 : 1
      const beside = (side: number) => (side < 0 ? (band?.from ?? 0) - clear : (band?.to ?? 0) + clear)
      const wayOf = (side: number, { out, into }: Ends, x: number): readonly Point[] => {
        const edgeOf = (box: Rect) => (side < 0 ? box.x : box.x + box.width)
        const low = a.y + a.height
        const start =
          out === 'side'
            ? [{ x: edgeOf(a), y: middleA.y + apart }]
            : [
                { x: middleA.x, y: low },
                { x: middleA.x, y: low + short },
              ]
        const end =
          into === 'side'
            ? [{ x: edgeOf(b), y: middleB.y - apart }]
            : [
                { x: middleB.x, y: b.y - short },
                { x: middleB.x, y: b.y },
              ]
        const [y1, y2] = [start.at(-1)?.y ?? 0, end[0]?.y ?? 0]
        return [...start, { x, y: y1 }, { x, y: y2 }, ...end]
      }
      // Bars are wider than their cells: they are met from above and left below.
      const fitting = endings.filter(
        ({ out, into }) => !(out === 'side' && from.cell.passable) && !(into === 'side' && to.cell.passable),
      )
      const ways = [outer, -outer].flatMap((side) => fitting.map((ends) => ({ side, ends })))
      const cost = (way: (typeof ways)[number]) => met(wayOf(way.side, way.ends, beside(way.side)), a, b)
      const { side, ends } = (quiet ? ways[0] : leastOf(ways, cost)) ?? {
        side: outer,
        ends: { out: 'side', into: 'side' },
      }
      const [top, bottom] = [Math.min(middleA.y, middleB.y), Math.max(middleA.y, middleB.y)]
      const x = free(beside(side), top, bottom, side, lineOf(edge.role === 'back' ? `${edge.from} back` : edge.from))
      return { path: pathOf(wayOf(side, ends, x)), ...labelAt({ x, y: (top + bottom) / 2 }, edge.label, true) }
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
      const x = free(gutter, top, bottom, 1, lineOf(edge.to))
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
    const x = free(gutter, middleB.y, y, 1, lineOf(edge.to))
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

function leastOf<Of>(list: readonly Of[], costOf: (one: Of) => number): Of | undefined {
  let [best, least]: [Of | undefined, number] = [undefined, Infinity]
  for (const one of list) {
    const cost = least > 0 ? costOf(one) : least
    if (cost < least) [best, least] = [one, cost]
  }
  return best
}

const round = (value: number) => Math.round(value * 10) / 10
const centre = ({ x, y, width, height }: Rect): Point => ({ x: x + width / 2, y: y + height / 2 })
