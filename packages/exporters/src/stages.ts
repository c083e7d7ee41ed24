import {
  coordinateOf,
  groupOf,
  holderOf,
  nodesOf,
  type OperatorTable,
  type Pipeline,
  type Program,
  pipelineAtoms,
} from '@shardloom/core'
import type { Folded } from './fold.js'
import { formatCount } from './format.js'
import type { Parts } from './picture.js'
import { cardTransfers } from './transfers.js'
import type { ViewCluster, ViewEdge, ViewNode } from './view.js'

/** More stages than this are drawn by their first and last ones. */
const mostStages = 8

/** How many stages are drawn before and behind those that are left out. */
const kept = 2

/** One stage of a pipeline: a coordinate, and the rank that stands for it. */
interface StagePlace {
  readonly coordinate: number
  readonly rank: number
}

/** The ranks that differ from one along the pipeline only, by their coordinate. */
function stagePlaces(program: Program, rank: number): StagePlace[] {
  const places = groupOf(program.mesh, rank, pipelineAtoms(program)).map((each) => ({
    coordinate: coordinateOf(program, each),
    rank: each,
  }))
  return places.sort((a, b) => a.coordinate - b.coordinate)
}

/** How stages are drawn: the axes that are unrolled, and each rank alone. */
interface StageStyle {
  readonly axes: ReadonlySet<string>
  readonly laneOf: (rank: number) => { readonly folded: Folded; readonly parts: Parts }
}

/** Draws a pipeline stage by stage: what each coordinate runs is a cluster, and sends lead from cluster to cluster. */
export function stages(
  program: Program,
  pipeline: Pipeline,
  operators: OperatorTable,
  rank: number,
  { axes, laneOf }: StageStyle,
): Parts {
  const places = stagePlaces(program, rank)
  const all = places.length <= mostStages
  const shown = all ? places : [...places.slice(0, kept), ...places.slice(-kept)]
  const between = all ? [] : places.slice(kept, -kept)
  const clusters: ViewCluster[] = []
  const nodes: ViewNode[] = []
  const edges: ViewEdge[] = []
  const folded = new Map<number, Folded>()
  const idOf = new Map<number, string>()
  for (const place of places) {
    const id = `stage ${place.coordinate}`
    idOf.set(place.rank, id)
    if (between[0] === place) nodes.push(betweenCard(pipeline, between))
    const lane = laneOf(place.rank)
    folded.set(place.rank, lane.folded)
    if (!shown.includes(place)) continue
    const inside = (name: string) => `${id}/${name}`
    clusters.push({ id, title: stageTitle(program, pipeline, place.coordinate), repeat: 1, fact: '' })
    for (const cluster of lane.parts.clusters)
      clusters.push({ ...cluster, id: inside(cluster.id), parent: cluster.parent ? inside(cluster.parent) : id })
    for (const node of lane.parts.nodes)
      nodes.push({ ...node, id: inside(node.id), cluster: node.cluster ? inside(node.cluster) : id })
    for (const edge of lane.parts.edges) edges.push({ ...edge, from: inside(edge.from), to: inside(edge.to) })
  }
  const order = new Map(places.map((place, index) => [place.rank, index]))
  const hidden = new Set(between.map((place) => place.rank))
  const known = new Set<string>()
  for (const { fromRank, toRank, from, to, label, backward } of cardTransfers(program, operators, axes, folded)) {
    if (hidden.has(fromRank) && hidden.has(toRank)) continue
    const end = (at: number, card: string) => (hidden.has(at) ? betweenId(between) : `${idOf.get(at)}/${card}`)
    const ends = [end(fromRank, from), end(toRank, to)] as const
    const key = JSON.stringify([...ends, label])
    if (known.has(key)) continue
    known.add(key)
    const ahead = (order.get(fromRank) ?? 0) < (order.get(toRank) ?? 0)
    const role = backward ? 'return' : ahead ? 'chain' : 'back'
    edges.push({ from: ends[0], to: ends[1], kind: 'communication', role, label })
  }
  return { clusters, nodes, edges }
}

const betweenId = (between: readonly StagePlace[]) => `stages ${between[0]?.coordinate}–${between.at(-1)?.coordinate}`

function betweenCard(pipeline: Pipeline, between: readonly StagePlace[]): ViewNode {
  const coordinates = between.map(({ coordinate }) => coordinate)
  return {
    id: betweenId(between),
    kind: 'compute',
    title: `… ${formatCount(between.length)} more stages …`,
    facts: [runsText(pipeline, coordinates)],
    chips: [],
    repeat: 1,
    tooltip: betweenId(between),
  }
}

/** `stage 3 · layers 24–31 · norm, head`: the runs of iterations that a coordinate holds, and what else has parameters. */
function stageTitle(program: Program, pipeline: Pipeline, coordinate: number): string {
  const ends = (['first', 'last'] as const).filter((place) =>
    Array.from({ length: pipeline.directions }, (_, direction) => holderOf(pipeline, place, direction)).includes(
      coordinate,
    ),
  )
  const modules = new Set<string>()
  for (const { kind, stages: at = [], segment, module, inputs } of nodesOf(program.items)) {
    if (segment === 'backward' || segment === 'optimizer' || kind !== 'compute') continue
    const own = inputs.some((id) => program.tensors.get(id)?.role === 'parameter')
    if (own && at.some((place) => ends.includes(place))) modules.add(module.split('/')[0]?.replaceAll('_', ' ') ?? '')
  }
  const parts = [`stage ${coordinate}`, runsText(pipeline, [coordinate]), [...modules].join(', ')]
  return parts.filter(Boolean).join(' · ')
}

/** `layers 0–7, 24–31`: neighbouring chunks as one run. */
function runsText({ chunks, over }: Pipeline, coordinates: readonly number[]): string {
  const runs: { from: number; to: number }[] = []
  const held = chunks.filter(({ from, to, rank }) => to > from && coordinates.includes(rank))
  for (const { from, to } of [...held].sort((a, b) => a.from - b.from)) {
    const last = runs.at(-1)
    if (last && last.to >= from) last.to = Math.max(last.to, to)
    else runs.push({ from, to })
  }
  const texts = runs.map(({ from, to }) => (to - from === 1 ? `${from}` : `${from}–${to - 1}`))
  if (texts.length === 0) return ''
  const many = runs.length > 1 || runs.some(({ from, to }) => to - from > 1)
  return `${over}${many ? 's' : ''} ${texts.join(', ')}`
}
