import type { GraphView } from '../worker/protocol.js'
import type { PlaceView } from './compose.js'
import { type Cells, cellsOf, drawGrid } from './grid-picture.js'
import { type Column, rowSpans, rowsOfSteps } from './lane-rows.js'
import { movedBlock } from './pack.js'
import {
  around,
  type Block,
  moved,
  movedPath,
  nameWidth,
  type Placed,
  type PlacedNode,
  textWidth,
  type ViewCluster,
  type ViewEdge,
  type ViewNode,
} from './placed.js'

/** A rank, and what it does, by ids without its own name. */
interface Lane {
  readonly cluster: ViewCluster
  readonly nodes: ReadonlyMap<string, ViewNode>
  /** By the bars of the lane the card of its segment that hands it something, or else the one that reads from it. */
  readonly cards: ReadonlyMap<string, string>
}

/** What ranks do together, and in which of the rows of its kind it stands so that none lies across another. */
interface Bar {
  readonly node: ViewNode
  readonly members: readonly number[]
  readonly row: number
}

const gap = 28
const head = 40
const barHeight = 42

/**
 * Puts ranks side by side in their order: ranks that do the same stand at the same heights, and what a group does together is one bar
 * across their lanes with a dot for each member.
 */
export async function placeLanes(view: GraphView, place: PlaceView): Promise<Placed> {
  const lanes = lanesOf(view)
  const bars = barsOf(view, lanes)
  const rows = view.level === 'operator' ? rowsOf(view, lanes, bars) : undefined
  const views = lanes.map((_, lane) => laneView(view, lanes, lane, bars, rows !== undefined))
  const columns = await columnsOf(views, rows, place)
  const spans = rows && rowSpans(columns)
  // Lanes of one picture differ in nothing, not even in the rows of their bars.
  const pictures = new Map<string, Placed>()
  const drawn = columns.map(({ view: own, cells }) => {
    const key = [...own.nodes.map(({ id }) => id), ...own.edges.map(({ from, to }) => `${from}\t${to}`)].join('\n')
    const known = pictures.get(key) ?? drawGrid(own, [], cells, 'down', spans)
    pictures.set(key, known)
    return known
  })
  const top = Math.min(...drawn.map(({ bounds }) => bounds.y))
  const blocks = drawn.map((picture, lane) => ({ block: blockFrom(picture, rows ? top : picture.bounds.y), lane }))
  const widths = blocks.map(({ block, lane }) =>
    Math.max(block.width, textWidth(lanes[lane]?.cluster.title ?? '') * 1.2),
  )
  const lefts = widths.map((_, lane) => widths.slice(0, lane).reduce((sum, width) => sum + width + gap, 0))
  const corner = (lane: number) => ({
    x: (lefts[lane] ?? 0) + ((widths[lane] ?? 0) - (blocks[lane]?.block.width ?? 0)) / 2,
    y: head,
  })
  const nodes: PlacedNode[] = []
  const edges: Placed['edges'][number][] = []
  const clusters: Placed['clusters'][number][] = []
  const centres = new Map<string, Map<number, { x: number; y: number }>>()
  for (const { block, lane } of blocks) {
    const { x, y } = corner(lane)
    const prefix = `${lanes[lane]?.cluster.id}/`
    for (const { node, at } of block.nodes) {
      const place = moved(at, x, y)
      const own = lanes[lane]?.nodes.get(node.id)
      if (own) nodes.push({ node: own, at: place })
      else
        centres.set(
          node.id,
          (centres.get(node.id) ?? new Map()).set(lane, { x: place.x + place.width / 2, y: place.y }),
        )
    }
    const idOf = (id: string) =>
      lanes[lane]?.nodes.has(id) ? prefix + id : (barFor(bars, id, lane)?.node.id ?? prefix + id)
    for (const { edge, path, label, quiet } of block.edges) {
      // Rows of bars of one collective hand each other nothing.
      if (isRow(edge.from) && isRow(edge.to)) continue
      edges.push({
        edge: { ...edge, from: idOf(edge.from), to: idOf(edge.to) },
        path: movedPath(path, x, y),
        ...(label && { label: moved(label, x, y) }),
        quiet,
      })
    }
    for (const each of block.clusters)
      clusters.push({
        ...each,
        cluster: { ...each.cluster, id: prefix + each.cluster.id },
        at: moved(each.at, x, y),
      })
  }
  for (const [name, list] of bars)
    for (const { node, members, row } of list) {
      const places = members.flatMap((lane) => centres.get(`${name} #${row}`)?.get(lane) ?? [])
      if (places.length === 0) continue
      const xs = places.map(({ x }) => x)
      const needed = Math.max(nameWidth(node), textWidth(node.facts.join(' · '))) + 48
      const [left, right] = [Math.min(...xs), Math.max(...xs)]
      const width = Math.max(right - left + 130, needed)
      const x = (left + right) / 2 - width / 2
      const y = Math.max(...places.map((place) => place.y))
      nodes.push({
        node,
        at: { x, y, width, height: barHeight },
        dots: places.length > 1 ? xs.map((at) => at - x) : [],
      })
    }
  // A lane is named above where it begins.
  const firstOf = (lane: number) => {
    const [entry] = blocks[lane]?.block.nodes ?? []
    return { x: corner(lane).x + (entry?.at.x ?? 0), width: Math.max(150, entry?.at.width ?? 0) }
  }
  const titles = lanes.map(({ cluster }, lane) => ({
    cluster: { ...cluster, title: cluster.title.replace(' · ', '\n').replaceAll(' · ', ', ').replace('\n', ' · ') },
    at: { ...firstOf(lane), y: 0, height: head - 8 },
  }))
  const bounds = around([...nodes, ...clusters, ...titles].map(({ at }) => at))
  return { bounds, start: titles[0]?.at ?? bounds, clusters, titles, nodes, edges }
}

const baseOf = (id: string) => id.replace(/ #\d+$/, '')
const isRow = (id: string) => / #\d+$/.test(id)
const barKey = (id: string) => id.replace(/ over ranks .*?( \([^()]*\))?$/s, '$1')

function lanesOf(view: GraphView): Lane[] {
  return view.clusters
    .filter(({ id, parent }) => parent === undefined && /^rank \d+$/.test(id))
    .sort((a, b) => Number(a.id.slice(5)) - Number(b.id.slice(5)))
    .map((cluster) => {
      const prefix = `${cluster.id}/`
      const own = view.nodes.filter(({ id }) => id.startsWith(prefix))
      const nodes = new Map(own.map((node) => [node.id.slice(prefix.length), node]))
      return { cluster, nodes, cards: cardsOfBars(view, prefix) }
    })
}

/** The bars of each collective, with the lanes of their members. */
function barsOf(view: GraphView, lanes: readonly Lane[]): Map<string, Bar[]> {
  const touching = new Map<string, Set<number>>()
  const laneOf = (id: string) => lanes.findIndex(({ cluster }) => id.startsWith(`${cluster.id}/`))
  for (const { from, to } of view.edges)
    for (const [bar, other] of [
      [from, to],
      [to, from],
    ] as const) {
      const lane = laneOf(other)
      if (laneOf(bar) < 0 && lane >= 0) touching.set(bar, (touching.get(bar) ?? new Set()).add(lane))
    }
  const bars = new Map<string, Bar[]>()
  for (const node of view.nodes) {
    if (laneOf(node.id) >= 0) continue
    const members = [...(touching.get(node.id) ?? [])].sort((a, b) => a - b)
    if (members.length === 0) continue
    const list = bars.get(barKey(node.id)) ?? []
    bars.set(barKey(node.id), list)
    const [from, to] = [members[0] ?? 0, members.at(-1) ?? 0]
    let row = 0
    while (list.some((each) => each.row === row && from <= (each.members.at(-1) ?? 0) && to >= (each.members[0] ?? 0)))
      row++
    list.push({ node: told(view, node, lanes[members[0] ?? 0]), members, row })
  }
  return bars
}

/** A bar says what it carries, and how often it runs: the frames of lanes, which say so of cards, are behind it. */
function told(view: GraphView, node: ViewNode, lane: Lane | undefined): ViewNode {
  const [carried] = /[^/]+\/[^/]+(?=\/[^/()]+\([^()]*\) over ranks )/.exec(node.id) ?? []
  const card = lane?.cards.get(barKey(node.id)) ?? ''
  let repeat = node.repeat
  for (let id = lane?.nodes.get(card)?.cluster; id !== undefined; ) {
    const cluster = view.clusters.find((each) => each.id === id)
    repeat *= cluster?.repeat ?? 1
    id = cluster?.parent
  }
  return { ...node, repeat, facts: [...(carried === undefined ? [] : [carried]), ...node.facts] }
}

const barFor = (bars: ReadonlyMap<string, readonly Bar[]>, id: string, lane: number) =>
  bars.get(baseOf(id))?.find(({ members }) => members.includes(lane))

/** Lanes with their cells, which are the same for those that do the same. */
async function columnsOf(
  views: readonly GraphView[],
  rows: ReadonlyMap<string, number> | undefined,
  place: PlaceView,
): Promise<Column[]> {
  const cells = new Map<string, Promise<Cells>>()
  return Promise.all(
    views.map(async (view) => {
      const slots = new Map(view.nodes.map(({ id }, slot) => [id, rows ? rowOf(rows, id) : slot]))
      // What leads past a bar runs behind it.
      const placeOf = ({ id }: ViewNode) => ({
        slot: slots.get(id) ?? 0,
        band: 0,
        ...(isRow(id) && { passable: true, stack: baseOf(id) }),
      })
      const key = view.nodes.map(({ id }) => id).join('\n')
      const made = cells.get(key) ?? cellsOf(view, placeOf, place)
      cells.set(key, made)
      return { view, cells: await made }
    }),
  )
}

/** A lane with the bars that it takes part in, one below the other where several rows of them lie across it. */
function laneView(
  view: GraphView,
  lanes: readonly Lane[],
  lane: number,
  bars: ReadonlyMap<string, readonly Bar[]>,
  inRegions: boolean,
): GraphView {
  const own = lanes[lane]
  if (!own) throw new Error('internal error: no lane')
  const prefix = `${own.cluster.id}/`
  const taking = [...bars].filter(([, list]) => list.some(({ members }) => members.includes(lane)))
  const counts = new Map(taking.map(([name, list]) => [name, countOf(list)]))
  const strip = (id: string) => (id.startsWith(prefix) ? id.slice(prefix.length) : barKey(id))
  const endOf = (id: string) => {
    const name = strip(id)
    const bar = barFor(bars, name, lane)
    return bar ? `${name} #${bar.row}` : name
  }
  const regionOf = (name: string) => {
    const cluster = own.nodes.get(own.cards.get(name) ?? '')?.cluster
    return inRegions && cluster !== undefined ? { cluster: strip(cluster) } : {}
  }
  const nodes = [
    ...[...own.nodes].map(([id, node]) => ({
      ...node,
      id,
      ...(node.cluster !== undefined && { cluster: strip(node.cluster) }),
    })),
    ...taking.flatMap(([name]) =>
      Array.from({ length: counts.get(name) ?? 1 }, (_, row) => ({
        id: `${name} #${row}`,
        kind: 'communication' as const,
        // Lanes need no room for the text of what lies across them.
        title: '————————',
        facts: [' '],
        chips: [],
        repeat: 1,
        tooltip: '',
        ...regionOf(name),
      })),
    ),
  ]
  const ids = new Set(nodes.map(({ id }) => id))
  const edges = view.edges.flatMap((edge) => {
    const [from, to] = [endOf(edge.from), endOf(edge.to)]
    const mine = edge.from.startsWith(prefix) || edge.to.startsWith(prefix)
    return mine && ids.has(from) && ids.has(to)
      ? [{ ...edge, from, to, role: edge.role !== 'back' && isRow(to) ? ('chain' as const) : edge.role }]
      : []
  })
  const stacks = taking.flatMap(([name]) =>
    Array.from({ length: (counts.get(name) ?? 1) - 1 }, (_, row) => ({
      from: `${name} #${row}`,
      to: `${name} #${row + 1}`,
      kind: 'communication' as const,
      role: 'chain' as const,
    })),
  )
  const clusters = view.clusters
    .filter(({ id }) => id.startsWith(prefix))
    .map(({ parent, ...cluster }) => ({
      ...cluster,
      id: strip(cluster.id),
      ...(parent !== undefined && parent !== own.cluster.id && { parent: strip(parent) }),
    }))
  return { ...view, nodes: inOrder(nodes, edges), clusters, edges: [...edges, ...stacks], ports: [] }
}

function cardsOfBars({ edges }: GraphView, prefix: string): Map<string, string> {
  const cards = new Map<string, string>()
  const forth = edges.filter(({ role }) => role !== 'back')
  const given = forth.filter(({ from, to }) => from.startsWith(prefix) && !to.startsWith(prefix))
  const read = forth.filter(({ from, to }) => to.startsWith(prefix) && !from.startsWith(prefix))
  const pairs = [
    ...given.map(({ from, to }) => [to, from] as const),
    ...read.map(({ from, to }) => [from, to] as const),
  ]
  for (const [bar, id] of pairs) {
    const card = id.slice(prefix.length)
    const segment = card.slice(0, card.indexOf('/') + 1)
    if (!cards.has(barKey(bar)) && bar.startsWith(segment)) cards.set(barKey(bar), card)
  }
  return cards
}

const countOf = (list: readonly Bar[]) => Math.max(...list.map(({ row }) => row)) + 1

const rowOf = (rows: ReadonlyMap<string, number>, id: string) =>
  (rows.get(baseOf(id)) ?? 0) + (isRow(id) ? Number(id.slice(id.lastIndexOf('#') + 1)) : 0)

/** In which row everything of all lanes stands: where there is a bar, no lane has cards. */
function rowsOf(view: GraphView, lanes: readonly Lane[], bars: ReadonlyMap<string, readonly Bar[]>) {
  const prefixes = lanes.map(({ cluster }) => `${cluster.id}/`)
  const strip = (id: string) => {
    const prefix = prefixes.find((each) => id.startsWith(each))
    return prefix === undefined ? barKey(id) : id.slice(prefix.length)
  }
  const frames = new Map(
    view.nodes.flatMap(({ id, cluster }) => (cluster === undefined ? [] : [[strip(id), strip(cluster)] as const])),
  )
  return rowsOfSteps({
    ids: [...new Set(view.nodes.map(({ id }) => strip(id)))],
    edges: view.edges.map(({ from, to, role }) => ({ from: strip(from), to: strip(to), role })),
    bars: new Map([...bars].map(([name, list]) => [name, countOf(list)])),
    frameOf: (id) => frames.get(id),
  })
}

/** Bars behind the cards that wait for them, or before those that read what nothing leads to. */
function inOrder(nodes: readonly ViewNode[], edges: readonly ViewEdge[]): ViewNode[] {
  const rows = new Map<string, ViewNode[]>()
  for (const node of nodes) if (isRow(node.id)) rows.set(baseOf(node.id), [...(rows.get(baseOf(node.id)) ?? []), node])
  const forth = edges.filter(({ role }) => role !== 'back')
  const fed = new Set(forth.map(({ to }) => baseOf(to)))
  const done = new Set<string>()
  const rowsOf = (ids: readonly string[]) =>
    ids.flatMap((id) => {
      const name = baseOf(id)
      if (!isRow(id) || done.has(name)) return []
      done.add(name)
      return rows.get(name) ?? []
    })
  return nodes.flatMap((node) => {
    if (isRow(node.id)) return []
    const before = forth.flatMap(({ from, to }) => (to === node.id && !fed.has(baseOf(from)) ? [from] : []))
    const after = forth.flatMap(({ from, to }) => (from === node.id ? [to] : []))
    return [...rowsOf(before), node, ...rowsOf(after)]
  })
}

/** A picture as a block, from some height on. */
const blockFrom = ({ bounds, clusters, nodes, edges }: Placed, top: number): Block =>
  movedBlock(
    { width: bounds.width, height: bounds.y + bounds.height - top, clusters, nodes, edges },
    { x: -bounds.x, y: -top },
    0,
  )
