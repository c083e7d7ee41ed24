import type { Program, View } from 'shardloom'
import type { Found, GraphView } from '../worker/protocol.js'
import { type FoldableViews, findNodes, foldAt, mostFound } from './fold.js'

type ViewNode = View['nodes'][number]
type ViewEdge = View['edges'][number]

/** What a send or a recv of a stage is in the program. */
export interface Transfer {
  readonly op: string
  readonly phase: string
  readonly node: string
}

/** The first rank of a stage of a pipeline: coordinate 0 on all axes but the pipeline's. */
export function rankOfStage({ mesh, pipeline }: Pick<Program, 'mesh' | 'pipeline'>, stage: number): number {
  const own = mesh.axes.find(({ name }) => name === pipeline?.axis)?.atoms ?? []
  let [rank, stride, rest] = [0, 1, stage]
  for (const { name, degree } of [...mesh.atoms].reverse()) {
    if (own.includes(name)) {
      rank += (rest % degree) * stride
      rest = Math.floor(rest / degree)
    }
    stride *= degree
  }
  return rank
}

const stageId = /^stage (\d+)$/

/**
 * The picture of a pipeline's stages, with cards of `toggled` opened into what their stage runs. What stages send each other leaves and
 * enters through ports on the border of their cards, or where a card is opened so far that they show, through the sends and recvs.
 */
export function foldStages(
  view: View,
  viewsOf: (stage: number) => FoldableViews,
  toggled: readonly string[],
  transfersOf: (stage: number) => readonly Transfer[],
): GraphView {
  const parts = stagesOf(view).map((stage) => stagePart(view, `stage ${stage}`, () => viewsOf(stage), toggled))
  const partOf = (id: string) => parts.find(({ prefix }) => id.startsWith(prefix))
  const ports = new Map<string, ViewNode>()
  const edges: ViewEdge[] = []
  const shown = new Set(parts.flatMap(({ nodes }) => nodes.map(({ id }) => id)))
  for (const edge of view.edges) {
    if (edge.kind !== 'communication') {
      if (!partOf(edge.from) && !partOf(edge.to)) edges.push(edge)
      continue
    }
    const end = (card: string, op: 'send' | 'recv', other: string): string => {
      const own = endOf(card, other)
      const found = own && transfersOf(own.stage).find((each) => each.op === op && each.phase === own.phase)
      if (!found) return card
      const part = partOf(card)
      const inside = `stage ${own.stage}/${found.node}`
      if (shown.has(inside)) return inside
      // A stage that sends to two others has a port for each.
      let id = inside
      for (let more = 2; ports.has(id); more++) id = `${inside} ${more}`
      const holder = part?.holderOf(found.node) ?? card
      ports.set(id, {
        id,
        kind: 'communication',
        title: op,
        facts: [],
        chips: [],
        repeat: 1,
        tooltip: `${op} · ${edge.label ?? ''}`,
        ...(part && { cluster: part.prefix.slice(0, -1) }),
      })
      const ends = op === 'send' ? { from: holder, to: id } : { from: id, to: holder }
      edges.push({ ...ends, kind: 'data', role: 'plain' })
      return id
    }
    edges.push({ ...edge, from: end(edge.from, 'send', edge.to), to: end(edge.to, 'recv', edge.from) })
  }
  const inOrder = new Set(view.nodes.map((node) => partOf(node.id) ?? node))
  return {
    ...view,
    clusters: [...view.clusters.filter(({ id }) => stageId.test(id)), ...parts.flatMap(({ clusters }) => clusters)],
    nodes: [...[...inOrder].flatMap((each) => ('nodes' in each ? each.nodes : [each])), ...ports.values()],
    edges: [...parts.flatMap((part) => part.edges), ...edges],
    legend: legendOf(view, parts),
    expandable: parts.flatMap(({ expandable }) => expandable),
    closes: Object.assign({}, ...parts.map(({ closes }) => closes)),
    ports: [...ports.keys()],
  }
}

/** Whose send or recv an end of an edge is: of stages that are drawn as one card, that of the one beside the other end. */
function endOf(card: string, other: string): { readonly stage: number; readonly phase: string } | undefined {
  const cardId = /^stage (\d+)\/(.*)$/s
  const [, stage, phase] = cardId.exec(card) ?? []
  if (stage !== undefined && phase !== undefined) return { stage: Number(stage), phase }
  const [, first, last] = /^stages (\d+)–(\d+)$/.exec(card) ?? []
  const [, beside, shared] = cardId.exec(other) ?? []
  if (first === undefined || shared === undefined) return undefined
  return { stage: Number(Number(beside) < Number(first) ? first : last), phase: shared }
}

/** Operators of all stages whose name or id has all of the words, with what has to be opened to see each; of no stage more than its share. */
export function findInStages(
  view: View,
  viewsOf: (stage: number) => FoldableViews,
  toggled: readonly string[],
  words: string,
): Found[] {
  const stages = stagesOf(view)
  return stages.flatMap((stage) => {
    const prefix = `stage ${stage}/`
    const [own, others] = [true, false].map((is) => toggled.filter((id) => id.startsWith(prefix) === is)) as [
      string[],
      string[],
    ] // one for each
    const views = stageViews(viewsOf(stage), phaseOf(view, prefix))
    const inside = new Set(own.map((id) => id.slice(prefix.length)))
    return findNodes(views, 'phase', inside, words, Math.ceil(mostFound / stages.length)).map((found) => ({
      ...found,
      id: prefix + found.id,
      toggled: [...others, ...found.toggled.map((id) => prefix + id)],
    }))
  })
}

/** The numbers of the stages of a view, in its order. */
function stagesOf({ clusters }: View): number[] {
  return clusters.flatMap(({ id, parent }) => {
    const stage = parent === undefined ? stageId.exec(id)?.[1] : undefined
    return stage === undefined ? [] : [Number(stage)]
  })
}

/** The cards of one stage, as the phases of its rank. Closed, they tell no transfers: edges do. */
function phaseOf(view: View, prefix: string): View {
  const strip = (id: string) => id.slice(prefix.length)
  const isOwn = (id: string) => id.startsWith(prefix)
  return {
    ...view,
    nodes: view.nodes.flatMap(({ cluster: _, ...node }) => (isOwn(node.id) ? [{ ...node, id: strip(node.id) }] : [])),
    edges: view.edges.flatMap((edge) =>
      isOwn(edge.from) && isOwn(edge.to) ? [{ ...edge, from: strip(edge.from), to: strip(edge.to) }] : [],
    ),
    clusters: [],
  }
}

interface StagePart extends Pick<GraphView, 'clusters' | 'nodes' | 'edges' | 'legend' | 'expandable' | 'closes'> {
  readonly prefix: string
  /** The card or node that stands for a node of the program. */
  readonly holderOf: (node: string) => string | undefined
}

/** One stage, its ids with its name before them. */
function stagePart(view: View, stage: string, viewsOf: () => FoldableViews, toggled: readonly string[]): StagePart {
  const prefix = `${stage}/`
  const strip = (id: string) => id.slice(prefix.length)
  const own = new Set(toggled.filter((id) => id.startsWith(prefix)).map(strip))
  const nodes = view.nodes.filter(({ id }) => id.startsWith(prefix))
  const inside = ({ from, to }: ViewEdge) => from.startsWith(prefix) && to.startsWith(prefix)
  if (own.size === 0)
    return {
      prefix,
      clusters: view.clusters.filter(({ id }) => id.startsWith(prefix)),
      nodes,
      edges: view.edges.filter(inside),
      legend: [],
      expandable: nodes.filter(({ kind }) => kind === 'compute').map(({ id }) => id),
      closes: {},
      holderOf: () => undefined,
    }
  const phase = phaseOf(view, prefix)
  const cards = new Map(phase.nodes.map((node) => [node.id, node]))
  const folded = foldAt(stageViews(viewsOf(), phase), 'phase', own)
  // What runs once for each microbatch stands in the frame of its card, which says how often.
  const outer = new Set(folded.clusters.filter(({ id }) => id.startsWith('region ')).map(({ id }) => id))
  const opened = [...new Set(folded.nodes.map(({ id }) => id.split('/')[0] ?? ''))].filter(
    (segment) => !folded.nodes.some(({ id }) => id === segment),
  )
  const frameOf = (id: string) => {
    const segment = id.split('/')[0] ?? ''
    return opened.includes(segment) ? `${prefix}phase ${segment}` : stage
  }
  const within = (id: string, cluster: string | undefined) =>
    cluster === undefined || outer.has(cluster) ? frameOf(id) : prefix + cluster
  const memberOf = new Map<string, string>()
  for (const { id, cluster } of folded.nodes) if (cluster !== undefined) memberOf.set(cluster, id)
  const frames = opened.map((segment) => ({
    id: `${prefix}phase ${segment}`,
    title: segment,
    repeat: cards.get(segment)?.repeat ?? 1,
    fact: cards.get(segment)?.facts[0] ?? '',
    parent: stage,
  }))
  return {
    prefix,
    clusters: [
      ...frames,
      ...folded.clusters
        .filter(({ id }) => !outer.has(id))
        .map((cluster) => ({
          ...cluster,
          id: prefix + cluster.id,
          parent: within(firstInside(folded, cluster.id, memberOf), cluster.parent),
        })),
    ],
    nodes: folded.nodes.map((node) => ({
      ...node,
      id: prefix + node.id,
      cluster: within(node.id, node.cluster),
    })),
    edges: folded.edges.map((edge) => ({ ...edge, from: prefix + edge.from, to: prefix + edge.to })),
    legend: folded.legend,
    expandable: folded.expandable.map((id) => prefix + id),
    closes: Object.fromEntries([
      ...frames.map(({ id, title }) => [id, prefix + title]),
      ...Object.entries(folded.closes).map(([cluster, card]) => [prefix + cluster, prefix + card]),
    ]),
    holderOf: (node) => {
      const found = folded.nodes.find(({ id }) => node === id || node.startsWith(`${id}/`))
      return found && prefix + found.id
    },
  }
}

/** Some node inside of a cluster. */
function firstInside(
  { clusters, nodes }: Pick<GraphView, 'clusters' | 'nodes'>,
  cluster: string,
  memberOf: ReadonlyMap<string, string>,
): string {
  const own = memberOf.get(cluster)
  if (own !== undefined) return own
  const child = clusters.find(({ parent }) => parent === cluster)
  return child ? firstInside({ clusters, nodes }, child.id, memberOf) : ''
}

const staged = new WeakMap<FoldableViews, FoldableViews>()

/** The views of a stage's rank with the cards of its stage. */
function stageViews(views: FoldableViews, phase: View): FoldableViews {
  const known = staged.get(views) ?? { ...views, phase }
  staged.set(views, known)
  return known
}

/** What the picture contains: of the stages, and of what is opened. */
function legendOf(view: View, parts: readonly StagePart[]): View['legend'] {
  const entries = new Map(
    [view.legend, ...parts.map(({ legend }) => legend)].flat().map((entry) => [`${entry.type} ${entry.text}`, entry]),
  )
  return [...entries.values()]
}
