import type { GraphView } from '../worker/protocol.js'
import { blockOf } from './blocks.js'
import type { PlaceView } from './compose.js'
import { arrange, type Cell, type Flow, type Grid, type Span } from './grid.js'
import {
  around,
  type Block,
  headWidth,
  moved,
  movedPath,
  overlaps,
  type Placed,
  type PlacedEdge,
  type Rect,
  textWidth,
  type ViewCluster,
  type ViewEdge,
  type ViewNode,
} from './placed.js'
import { placePorts, portOut, portSize } from './ports.js'
import { type End, router } from './routes.js'

/** A cell with what it holds. */
export interface Held extends Cell {
  readonly block: Block
}

/** Blocks of more nodes than this keep what they hand to other bands to themselves, unless it is selected. */
const mostShown = 6

/** Bars farther from a card than this many others are joined to it where one of both is selected. */
const mostBars = 4

/** Temporal edges of a node with more than these show where it is selected. */
const mostTemporal = 4

const stageId = /^stage \d+$/
/** Cells, and in which each node stands. */
export interface Cells {
  readonly cells: readonly Held[]
  readonly cellOf: ReadonlyMap<string, Held>
}

/** Where a node belongs. */
export type PlaceOf = (node: ViewNode) => Pick<Cell, 'slot' | 'band' | 'passable' | 'stack' | 'loose'>

/** Puts the nodes of a view into cells, and lays out each. */
export async function cellsOf(view: GraphView, placeOf: PlaceOf, place: PlaceView): Promise<Cells> {
  const parents = new Map(view.clusters.map(({ id, parent }) => [id, parent]))
  const chainOf = (id: string | undefined) => {
    const chain: string[] = []
    for (let at = id; at !== undefined; at = parents.get(at)) chain.push(at)
    return chain
  }
  const ports = new Set(view.ports)
  const groups = new Map<string, { where: ReturnType<PlaceOf>; nodes: ViewNode[] }>()
  for (const node of view.nodes) {
    if (ports.has(node.id)) continue
    const where = placeOf(node)
    const key = `${where.slot} ${where.band}`
    const group = groups.get(key) ?? { where, nodes: [] }
    groups.set(key, group)
    group.nodes.push(node)
  }
  const owners = new Map<string, Set<string>>()
  for (const [key, { nodes }] of groups)
    for (const { cluster } of nodes)
      for (const id of chainOf(cluster)) owners.set(id, (owners.get(id) ?? new Set()).add(key))
  const cells: Held[] = []
  const cellOf = new Map<string, Held>()
  for (const [key, { where, nodes }] of groups) {
    const inside = view.clusters.filter(
      ({ id }) => !stageId.test(id) && owners.get(id)?.size === 1 && owners.get(id)?.has(key),
    )
    // A frame of one card says nothing that the card does not.
    const cell = { ...where, block: await blockOf(view, nodes, nodes.length > 1 ? inside : [], place) }
    cells.push(cell)
    for (const { id } of nodes) cellOf.set(id, cell)
  }
  return { cells, cellOf }
}

/** Draws cells along a flow, with what leads from one to another and the frames around several; stages are named before their cells. */
export function drawGrid(
  view: GraphView,
  stages: readonly ViewCluster[],
  { cells, cellOf }: Cells,
  flow: Flow,
  slots?: readonly Span[],
): Placed {
  const staged = stages.length > 0
  const lines = (title: string) => title.split(' · ')
  const labels = view.edges.map(({ kind, label }) => (kind === 'communication' && label ? textWidth(label) : 0))
  const lead = !staged
    ? 0
    : flow === 'down'
      ? 10 + Math.max(0, ...stages.flatMap(({ title }) => lines(title).map(textWidth)))
      : 10 + 16 * Math.max(0, ...stages.map(({ title }) => lines(title).length))
  // Between cards that send to each other there is room for the ports and what they send.
  const sending = new Set(
    view.edges.flatMap(({ kind, from, to }) =>
      kind === 'communication' ? [cellOf.get(from)?.band, cellOf.get(to)?.band] : [],
    ),
  )
  const ported = new Set(
    view.edges.flatMap(({ from, to }) =>
      view.ports.includes(from) ? [cellOf.get(to)?.band] : view.ports.includes(to) ? [cellOf.get(from)?.band] : [],
    ),
  )
  const room = flow === 'down' ? portSize.height + 26 : portSize.width + 2 * portOut.right + Math.max(34, ...labels)
  const gapOf = (band: number) => (!staged ? 30 : sending.has(band) || ported.has(band) ? room : 14)
  // What stands beside frames around several cells keeps clear of them.
  const framed = lastBands(view, cellOf)
  const gapBeside = (band: number) => (flow === 'down' ? 22 : 36) + (framed.has(band) ? 2 * inset : 0)
  const grid = arrange(cells, { flow, gaps: [gapOf, gapBeside], lead, ...(slots && { slots }) })
  const nodes = grid.cells.flatMap(({ cell, at }) =>
    cell.block.nodes.map((each) => ({ ...each, at: moved(each.at, at.x, at.y) })),
  )
  const placed = new Map<string, End>(
    nodes.map(({ node, at }) => [node.id, { at, cell: cellOf.get(node.id) as Held }] as const), // all are in a cell
  )
  const ports = placePorts(view, grid, placed)
  for (const { node, at, cell } of ports) placed.set(node.id, { at, cell })
  const inside = grid.cells.flatMap(({ cell, at }) =>
    cell.block.edges.map(({ edge, path, label, quiet }) => ({
      edge,
      path: movedPath(path, at.x, at.y),
      ...(label && { label: moved(label, at.x, at.y) }),
      quiet,
    })),
  )
  const between_ = edgesBetween(view, grid, placed, inside, slots !== undefined)
  // In a column, frames may be as wide as their heads.
  const frames = framesOf(view, grid, cellOf, slots !== undefined)
  const inner = grid.cells.flatMap(({ cell, at }) =>
    cell.block.clusters.map((each) => ({ ...each, depth: each.depth + frames.length, at: moved(each.at, at.x, at.y) })),
  )
  const titles = stages.flatMap((cluster) => {
    const first = grid.cells.find(({ cell }) => cell.block.nodes[0]?.node.id.startsWith(`${cluster.id}/`))
    const slot = grid.slots[first?.cell.slot ?? -1]
    if (!first || !slot) return []
    const high = 16 * lines(cluster.title).length
    const along = { from: slot.from, size: slot.to - slot.from }
    const at =
      flow === 'down'
        ? { x: 0, y: along.from + (along.size - high) / 2, width: lead - 8, height: high }
        : { x: first.at.x, y: 0, width: slot.to - first.at.x, height: lead }
    return [{ cluster, at }]
  })
  const clusters = [...frames, ...inner]
  const bounds = around([
    ...clusters.map(({ at }) => at),
    ...titles.map(({ at }) => at),
    ...nodes.map(({ at }) => at),
    ...ports.map(({ at }) => at),
    ...between_.flatMap(({ path, label }) => [...pointsOf(path), ...(label ? [label] : [])]),
    ...inside.flatMap(({ path }) => pointsOf(path)),
  ])
  const first = [...grid.cells].sort((a, b) => a.cell.band - b.cell.band || a.cell.slot - b.cell.slot)[0]
  return {
    bounds,
    start: first && !staged ? first.at : bounds,
    clusters,
    titles,
    nodes: [...nodes, ...ports.map(({ node, at }) => ({ node, at }))],
    edges: [...inside, ...between_],
  }
}

/** The numbers of a path as points, which contain what it draws. */
function pointsOf(path: string): Rect[] {
  const numbers = (path.match(/-?[\d.]+/g) ?? []).map(Number)
  const points: Rect[] = []
  for (let at = 0; at + 1 < numbers.length; at += 2)
    points.push({ x: numbers[at] ?? 0, y: numbers[at + 1] ?? 0, width: 0, height: 0 })
  return points
}

/** Edges from cell to cell, and those within a cell that Graphviz was not told of. */
function edgesBetween(
  view: GraphView,
  grid: Grid<Held>,
  placed: ReadonlyMap<string, End>,
  inside: readonly PlacedEdge[],
  aligned: boolean,
): PlacedEdge[] {
  const drawn = new Set(inside.map(({ edge }) => edge))
  const drawnKeys = new Set(inside.map(({ edge }) => keyOf(edge)))
  const waits = new Map<string, number>()
  for (const { kind, from, to } of view.edges)
    if (kind === 'temporal') for (const end of [from, to]) waits.set(end, (waits.get(end) ?? 0) + 1)
  const ports = new Set(view.ports)
  const lead = router(
    grid,
    [...placed.values()].flatMap(({ at, cell }) => (cell.passable ? [] : [at])),
  )
  const spanOf = ({ from, to }: ViewEdge) =>
    Math.abs((placed.get(from)?.cell.slot ?? 0) - (placed.get(to)?.cell.slot ?? 0))
  const between = (a: Cell, b: Cell) =>
    grid.cells.flatMap(({ cell }) =>
      cell.band === a.band && cell.slot > Math.min(a.slot, b.slot) && cell.slot < Math.max(a.slot, b.slot)
        ? [cell]
        : [],
    )
  /** Whether no cell that lines keep clear of stands between two. */
  const isNext = (a: Cell, b: Cell) => between(a, b).every(({ passable }) => passable)
  /** How many others stand between two, rows of one as one. */
  const countBetween = (a: Cell, b: Cell) =>
    new Set(
      between(a, b).flatMap(({ stack, slot }) =>
        stack !== undefined && (stack === a.stack || stack === b.stack) ? [] : [stack ?? slot],
      ),
    ).size
  const asked = view.edges
    .filter((edge) => !drawn.has(edge) && !drawnKeys.has(keyOf(edge)) && edge.from !== edge.to)
    .sort((a, b) => spanOf(a) - spanOf(b))
  /** How many lines that pass cells of its band each node has. */
  const passing = new Map<string, number>()
  for (const { from, to } of asked) {
    const [a, b] = [placed.get(from)?.cell, placed.get(to)?.cell]
    if (!a || !b || a === b || a.band !== b.band || isNext(a, b)) continue
    for (const end of [from, to]) passing.set(end, (passing.get(end) ?? 0) + 1)
  }
  const isHub = (id: string) => aligned && (passing.get(id) ?? 0) > mostTemporal
  const taken: Rect[] = []
  return asked.flatMap((edge) => {
    const [from, to] = [placed.get(edge.from), placed.get(edge.to)]
    // Ports stand on the border of their card.
    if (!from || !to || (edge.kind !== 'communication' && (ports.has(edge.from) || ports.has(edge.to)))) return []
    const crowded = (id: string) => (waits.get(id) ?? 0) > mostTemporal
    const large = [from, to].some(({ cell }) => (cell as Held).block.nodes.length > mostShown)
    const near = from.cell.band === to.cell.band && from.cell !== to.cell && isNext(from.cell, to.cell)
    const bar = from.cell.passable === true || to.cell.passable === true
    const quiet =
      edge.kind === 'temporal'
        ? crowded(edge.from) || crowded(edge.to) || large
        : edge.kind === 'communication'
          ? (large || aligned) && bar && !(near && countBetween(from.cell, to.cell) <= mostBars)
          : ((large || isHub(edge.from) || isHub(edge.to)) && !near) || from.cell === to.cell || edge.role === 'saved'
    const { path, label } = lead(edge, from, to, quiet)
    // A label stands on the other side of its line where another is already, or nowhere.
    const sides = label && !quiet ? [label, moved(label, -label.width - 10, 0)] : []
    const free = sides.find((side) => !taken.some((each) => overlaps(each, side)))
    if (free) taken.push(free)
    return [{ edge, path, quiet, ...(free && { label: free }) }]
  })
}

const keyOf = ({ from, to, kind }: ViewEdge) => `${from}\n${to}\n${kind}`

/** Pixels between a frame and what it holds, and along its top for its name. */
const [inset, head] = [14, 32]

/** The frames around several cells, outer ones first. */
export function framesOf(
  view: GraphView,
  { cells }: Grid<Held>,
  cellOf: ReadonlyMap<string, Held>,
  wide = false,
): Placed['clusters'] {
  const own = new Set(cells.flatMap(({ cell }) => cell.block.clusters.map(({ cluster }) => cluster.id)))
  const parents = new Map(view.clusters.map(({ id, parent }) => [id, parent]))
  const held = new Map<string, Set<Cell>>()
  for (const { id, cluster } of view.nodes)
    for (let at = cluster; at !== undefined; at = parents.get(at)) {
      const cell = cellOf.get(id)
      if (cell && !own.has(at) && !stageId.test(at)) held.set(at, (held.get(at) ?? new Set()).add(cell))
    }
  const spanning = view.clusters.filter(({ id }) => (held.get(id)?.size ?? 0) > 1)
  const depthOf = (id: string | undefined): number =>
    id === undefined ? 0 : (spanning.some((each) => each.id === id) ? 1 : 0) + depthOf(parents.get(id))
  const deepest = Math.max(0, ...spanning.map(({ id }) => depthOf(id)))
  const leastOf = (cluster: ViewCluster): number =>
    Math.max(
      headWidth(cluster) + 2 * inset,
      ...spanning.filter(({ parent }) => parent === cluster.id).map((each) => leastOf(each) + 2 * inset),
    )
  return spanning
    .flatMap((cluster) => {
      const depth = depthOf(cluster.id) - 1
      const far = deepest - depth
      const own = held.get(cluster.id) ?? new Set()
      return runsOf(cells, own).map((rects, run) => {
        const inside = around(rects)
        const natural = inside.width + 2 * inset * far + 20
        const width = wide ? Math.max(natural, leastOf(cluster)) : natural
        return {
          // What others stand between is in several frames.
          cluster: run === 0 ? cluster : { ...cluster, id: `${cluster.id} ${run + 1}` },
          depth,
          at: {
            x: inside.x + (inside.width - width) / 2,
            y: inside.y - head * far,
            width,
            height: inside.height + (head + inset) * far,
          },
        }
      })
    })
    .sort((a, b) => a.depth - b.depth)
}

/** The bands in which frames around several bands end. */
function lastBands(view: GraphView, cellOf: ReadonlyMap<string, Held>): Set<number> {
  const parents = new Map(view.clusters.map(({ id, parent }) => [id, parent]))
  const bands = new Map<string, Set<number>>()
  for (const { id, cluster } of view.nodes)
    for (let at = cluster; at !== undefined; at = parents.get(at)) {
      const cell = cellOf.get(id)
      if (cell && !stageId.test(at)) bands.set(at, (bands.get(at) ?? new Set()).add(cell.band))
    }
  return new Set([...bands.values()].flatMap((each) => (each.size > 1 ? [Math.max(...each)] : [])))
}

/** The places of some cells, those apart that have others between them. */
function runsOf(cells: Grid<Held>['cells'], own: ReadonlySet<Cell>): Rect[][] {
  const inside = cells.filter(({ cell }) => own.has(cell))
  const others = cells.filter(({ cell }) => !own.has(cell) && !cell.passable)
  const isFree = (rects: readonly Rect[]) => !others.some(({ at }) => overlaps(at, around(rects)))
  if (isFree(inside.map(({ at }) => at))) return [inside.map(({ at }) => at)]
  const runs: Rect[][] = []
  for (const { at } of [...inside].sort((a, b) => a.cell.band - b.cell.band || a.cell.slot - b.cell.slot)) {
    const last = runs.at(-1)
    if (last && isFree([...last, at])) last.push(at)
    else runs.push([at])
  }
  return runs
}
