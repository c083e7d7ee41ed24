import type { Level, View } from 'shardloom'
import type { Found, GraphView } from '../worker/protocol.js'

type ViewNode = View['nodes'][number]
type ViewEdge = View['edges'][number]

/** The views of one program between which cards open and close. */
export type FoldableLevel = Exclude<Level, 'stage'>
export type FoldableViews = Readonly<Record<FoldableLevel, View>>

const coarser: Readonly<Record<FoldableLevel, FoldableLevel | undefined>> = {
  operator: 'module',
  module: 'layer',
  layer: 'phase',
  phase: undefined,
}

/** More nodes than this are not drawn at once. */
export const mostNodes = 2000

/**
 * The picture of a program at a level, but with the cards of `toggled` opened where the level has them closed, and closed where it has
 * them open. Cards come from the view of their level with all of their figures; an edge of something closed leads to the card that
 * stands for it. A level with more nodes than anybody reads is replaced by the next coarser one, and the notice says so.
 */
export function foldView(views: FoldableViews, asked: FoldableLevel, toggled: ReadonlySet<string>): GraphView {
  const whole = foldAt(views, asked, toggled)
  let [level, view] = [asked, whole]
  while (view.nodes.length > mostNodes) {
    const next = coarser[level]
    if (!next) break
    level = next
    view = foldAt(views, level, toggled)
  }
  const notice =
    level === asked ? '' : `${level} level shown: ${asked} level has ${whole.nodes.length.toLocaleString('en')} nodes`
  return { ...view, notice }
}

/** More than this many found operators are not listed. */
export const mostFound = 40

/** Operators whose name or id has all of the words, with what has to be toggled to see each. */
export function findNodes(
  views: FoldableViews,
  level: FoldableLevel,
  toggled: ReadonlySet<string>,
  words: string,
  most = mostFound,
): Found[] {
  const { chains } = treeOf(views)
  const isOpen = openness(views, level, toggled)
  const parts = words.toLowerCase().split(/\s+/).filter(Boolean)
  const found = views.operator.nodes.filter(({ id, title }) => {
    const text = `${id} ${title}`.toLowerCase()
    return parts.every((part) => text.includes(part))
  })
  return found.slice(0, most).map(({ id, title, kind }) => {
    const others = new Set(toggled)
    for (const card of chains.get(id) ?? []) {
      if (isOpen(card)) continue
      if (!others.delete(card)) others.add(card)
    }
    return { id, title, kind, toggled: [...others] }
  })
}

/**
 * Whether a card is open: those are that are coarser than what the level shows, and those that were toggled are the other way round.
 */
function openness(views: FoldableViews, level: FoldableLevel, toggled: ReadonlySet<string>) {
  const order = Object.keys(coarser).reverse() as FoldableLevel[] // the keys of a literal
  const above = new Set(order.slice(0, order.indexOf(level)).flatMap((each) => views[each].nodes.map(({ id }) => id)))
  for (const { id } of views[level].nodes) above.delete(id)
  return (card: string) => above.has(card) !== toggled.has(card)
}

interface Tree {
  /** Every card that stands for operators, from the view of its level. */
  readonly cards: ReadonlyMap<string, ViewNode>
  /** The cards around each operator, outermost first. */
  readonly chains: ReadonlyMap<string, readonly string[]>
}

/** The card that a frame of the finest view closes to: frames are called after what they are, cards are not. */
const cardOfCluster = (cluster: string) => cluster.split(' ').at(-1) ?? cluster

const trees = new WeakMap<FoldableViews, Tree>()

function treeOf(views: FoldableViews): Tree {
  const known = trees.get(views) ?? makeTree(views)
  trees.set(views, known)
  return known
}

function makeTree({ phase, layer, module, operator }: FoldableViews): Tree {
  const operators = new Set(operator.nodes.map(({ id }) => id))
  const cards = new Map<string, ViewNode>()
  for (const view of [module, layer, phase])
    for (const node of view.nodes) if (!operators.has(node.id)) cards.set(node.id, node)
  const parents = new Map(operator.clusters.map(({ id, parent }) => [id, parent]))
  const chains = new Map<string, readonly string[]>()
  for (const { id, cluster } of operator.nodes) {
    const chain: string[] = []
    for (let at = cluster; at !== undefined; at = parents.get(at)) {
      const card = cardOfCluster(at)
      if (cards.has(card)) chain.unshift(card)
    }
    const [whole = id] = id.split('/')
    if (cards.has(whole) && !chain.includes(whole)) chain.unshift(whole)
    // A module of one operator has no frame, but a card, called as the path to the operator.
    const path = id.slice(0, id.lastIndexOf('/'))
    if (cards.has(path) && !chain.includes(path)) chain.push(path)
    chains.set(id, chain)
  }
  return { cards, chains }
}

/** A level as it is, with what of it can be opened and closed. */
function wholeLevel(view: View, { cards, chains }: Tree): Omit<GraphView, 'notice'> {
  const holding = new Set([...chains.values()].flat())
  return {
    ...view,
    expandable: view.nodes.flatMap(({ id }) => (holding.has(id) ? [id] : [])),
    closes: closesOf(view.clusters, cards),
    ports: [],
  }
}

/** Which card each frame closes to. */
function closesOf(clusters: View['clusters'], cards: Tree['cards']): GraphView['closes'] {
  return Object.fromEntries(
    clusters.flatMap(({ id }) => (cards.has(cardOfCluster(id)) ? [[id, cardOfCluster(id)]] : [])),
  )
}

/** The picture of one level with some cards opened and closed. */
export function foldAt(
  views: FoldableViews,
  level: FoldableLevel,
  toggled: ReadonlySet<string>,
): Omit<GraphView, 'notice'> {
  const { cards, chains } = treeOf(views)
  if (toggled.size === 0) return wholeLevel(views[level], { cards, chains })
  const { operator } = views
  const isOpen = openness(views, level, toggled)
  const visible = new Map(
    operator.nodes.map(({ id }) => [id, chains.get(id)?.find((card) => !isOpen(card)) ?? id] as const),
  )
  const byId = new Map(operator.nodes.map((node) => [node.id, node]))
  const nodes = [...new Set(visible.values())].flatMap((id) => cards.get(id) ?? byId.get(id) ?? [])
  const clusters = clustersAround(views, nodes)
  const edges = edgesBetween(views, visible)
  return {
    title: views[level].title,
    subtitle: views[level].subtitle,
    level: 'operator',
    direction: 'down',
    clusters,
    nodes,
    edges,
    legend: legendOf(views, nodes, edges),
    expandable: nodes.flatMap(({ id }) => (cards.has(id) ? [id] : [])),
    closes: closesOf(clusters, cards),
    ports: [],
  }
}

/** The frames around nodes, outer ones first, as the finest view has them. */
function clustersAround(views: FoldableViews, nodes: readonly ViewNode[]): View['clusters'] {
  const all = new Map(
    Object.values(views).flatMap((view: View) => view.clusters.map((each) => [each.id, each] as const)),
  )
  const used = new Set<string>()
  for (const { cluster } of nodes)
    for (let at = cluster; at !== undefined && !used.has(at); at = all.get(at)?.parent) used.add(at)
  return [...all.values()].filter(({ id }) => used.has(id))
}

function edgesBetween(views: FoldableViews, visible: ReadonlyMap<string, string>): ViewEdge[] {
  const key = ({ from, to, kind }: Pick<ViewEdge, 'from' | 'to' | 'kind'>) => `${from}\n${to}\n${kind}`
  const drawn = new Map(
    [views.phase, views.layer, views.module].flatMap(({ edges }) => edges.map((edge) => [key(edge), edge] as const)),
  )
  const found = new Map<string, ViewEdge>()
  for (const edge of views.operator.edges) {
    const from = visible.get(edge.from) ?? edge.from
    const to = visible.get(edge.to) ?? edge.to
    if (from === to) continue
    const whole = from === edge.from && to === edge.to
    const { label: _, both: __, ...folded } = { ...edge, from, to }
    const name = key(folded)
    const before = found.get(name)
    if (!before) found.set(name, whole ? edge : (drawn.get(name) ?? folded))
    else if (edge.role === 'chain' && !drawn.has(name) && !whole) found.set(name, { ...before, role: 'chain' })
  }
  return [...found.values()]
}

/** What the picture contains, out of what the legends of all levels say. */
function legendOf(views: FoldableViews, nodes: readonly ViewNode[], edges: readonly ViewEdge[]): View['legend'] {
  const kinds = new Set(nodes.map(({ kind }) => kind))
  const lines = new Set(edges.map(({ kind }) => kind))
  const chips = nodes.some((node) => node.chips.length > 0)
  const entries = new Map<string, View['legend'][number]>()
  for (const view of [views.operator, views.module, views.layer, views.phase])
    for (const entry of view.legend) {
      if (entry.type === 'node' && !kinds.has(entry.kind)) continue
      if (entry.type === 'edge' && !lines.has(entry.kind)) continue
      if (entry.type === 'note' && !entry.sign.startsWith('×') && !chips) continue
      const name =
        entry.type === 'note' ? `note ${entry.sign.slice(0, 1)}` : `${entry.type} ${entry.kind} ${entry.text}`
      if (!entries.has(name)) entries.set(name, entry)
    }
  return [...entries.values()]
}
