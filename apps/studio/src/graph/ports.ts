import type { GraphView } from '../worker/protocol.js'
import type { Cell, Grid } from './grid.js'
import type { Rect, ViewNode } from './placed.js'
import type { End } from './routes.js'

/** The size of a send or a recv on the border of its card. */
export const portSize = { width: 48, height: 18 } as const

/** How far from the border of its card the middle of a port stands, so that it covers no text: below or above it, and beside it. */
export const portOut = { down: 5, right: 16 } as const

/** A send or a recv with its place, and the cell that it belongs to. */
export interface Port {
  readonly node: ViewNode
  readonly at: Rect
  readonly cell: Cell
}

/** Puts sends and recvs on the borders of their cells that face each other, those of one border side by side. */
export function placePorts(
  view: Pick<GraphView, 'nodes' | 'edges' | 'ports'>,
  { flow, cells }: Grid<Cell>,
  placed: ReadonlyMap<string, End>,
): Port[] {
  const ports = new Set(view.ports)
  if (ports.size === 0) return []
  const nodes = new Map(view.nodes.map((node) => [node.id, node]))
  const rects = new Map(cells.map(({ cell, at }) => [cell, at]))
  const cellOf = new Map<string, Cell>()
  for (const { from, to } of view.edges)
    for (const [port, card] of [
      [from, to],
      [to, from],
    ] as const) {
      const cell = ports.has(port) ? placed.get(card)?.cell : undefined
      if (cell) cellOf.set(port, cell)
    }
  const cellAt = (id: string) => cellOf.get(id) ?? placed.get(id)?.cell
  const borders = new Map<string, { readonly cell: Cell; readonly side: number; readonly ids: string[] }>()
  for (const { from, to, kind } of view.edges) {
    if (kind !== 'communication') continue
    for (const [own, other] of [
      [from, to],
      [to, from],
    ] as const) {
      const [cell, far] = [cellOf.get(own), cellAt(other)]
      if (!cell || !far) continue
      const side = far.slot > cell.slot ? 1 : -1
      const key = `${cell.slot} ${cell.band} ${side}`
      const border = borders.get(key) ?? { cell, side, ids: [] }
      borders.set(key, border)
      if (!border.ids.includes(own)) border.ids.push(own)
    }
  }
  const { width, height } = portSize
  return [...borders.values()].flatMap(({ cell, side, ids }) => {
    const at = rects.get(cell)
    if (!at) return []
    return ids.flatMap((id, index): Port[] => {
      const node = nodes.get(id)
      const apart = (index - (ids.length - 1) / 2) * ((flow === 'down' ? width : height) + 6)
      const middle = { x: at.x + at.width / 2, y: at.y + at.height / 2 }
      const border =
        flow === 'down'
          ? { x: middle.x + apart, y: side > 0 ? at.y + at.height + portOut.down : at.y - portOut.down }
          : { x: side > 0 ? at.x + at.width + portOut.right : at.x - portOut.right, y: middle.y + apart }
      return node ? [{ node, cell, at: { x: border.x - width / 2, y: border.y - height / 2, width, height } }] : []
    })
  })
}
