import { axesOf, coordinateOf, type Mesh, type OperatorNode, type Program } from '@shardloom/core'
import type { Stream, Timeline } from '@shardloom/simulator'
import type { SliceKind } from './chart.js'
import { actionsByNode } from './timeline-actions.js'

/** What one slice is made of: nodes of one stream that belong together. */
export type Grain = 'operator' | 'layer' | 'action'

/** One stream of a rank that was run. */
export interface TimelineRow {
  readonly rank: number
  readonly stream: Stream
  /** `stage 2` where there is a pipeline, else `rank 2`. */
  readonly name: string
  /** Nodes of the unrolled graph that take time, in the order of their starts. */
  readonly nodes: readonly number[]
  /** Of the stream that computes: the share of the step in which it does not. */
  readonly idle?: number
}

/** Nodes of a row that follow each other and belong together. Times are in ticks. */
export interface NodeSlice {
  readonly start: number
  readonly end: number
  readonly kind: SliceKind
  readonly label: string
  /** Of an overlapped pair what runs in turn with it. */
  readonly partner?: { readonly kind: SliceKind; readonly label: string }
  /** The share of the time that is worked in which forward is computed again. */
  readonly again: number
  /** Ticks in which its nodes run: less than from its start to its end, where it waits inside. */
  readonly spent: number
  /** The first of its nodes, in the unrolled graph. */
  readonly node: number
}

/** Every rank and stream of a timeline on which something runs, and the stream that computes of each rank. Linear in the nodes, but for sorting. */
export function timelineRows(timeline: Timeline, program: Program): TimelineRow[] {
  const { times, streams } = timeline
  const lists = nodesByRow(timeline)
  return timeline.ranks.flatMap((rank) =>
    streams.flatMap((stream): TimelineRow[] => {
      if (stream === 'none') return []
      const nodes = lists.get(rank)?.get(stream) ?? []
      const name = program.pipeline ? `stage ${coordinateOf(program, rank)}` : `rank ${rank}`
      if (stream !== 'compute') return nodes.length > 0 ? [{ rank, stream, name, nodes }] : []
      const spent = nodes.reduce((sum, node) => sum + (computes(timeline, node) ? ticksOfNode(timeline, node) : 0), 0)
      return [{ rank, stream, name, nodes, idle: Math.max(0, 1 - spent / (times.makespan || 1)) }]
    }),
  )
}

const ticksOfNode = ({ times }: Timeline, node: number) => (times.end[node] ?? 0) - (times.start[node] ?? 0)

/** Whether a node of the compute stream computes: communication that nothing runs beside stands there too. */
const computes = ({ graph }: Timeline, node: number) => !graph.templates[graph.template[node] ?? 0]?.communication

/** Of each rank and stream its nodes that take time, in the order of their starts. */
function nodesByRow(timeline: Timeline): Map<number, Map<string, number[]>> {
  const { graph, times } = timeline
  const rows = new Map<number, Map<string, number[]>>(timeline.ranks.map((rank) => [rank, new Map()]))
  for (let node = 0; node < graph.nodeCount; node++) {
    const stream = timeline.streamOf(node)
    if (stream === 'none' || times.start[node] === times.end[node]) continue
    const own = rows.get(graph.rankOf(node))
    const list = own?.get(stream)
    if (list) list.push(node)
    else own?.set(stream, [node])
  }
  for (const own of rows.values())
    for (const list of own.values()) list.sort((a, b) => (times.start[a] ?? 0) - (times.start[b] ?? 0) || a - b)
  return rows
}

/** What a node belongs to: nodes that follow each other with the same id are one slice, which may have two halves. */
export type Key = (node: number) => { readonly id: string | number; readonly label: string; readonly half?: 0 | 1 }

/** How nodes belong together at a grain. */
export function sliceKey(grain: Grain, program: Program, timeline: Timeline): Key {
  const { graph } = timeline
  const templateOf = (node: number) => graph.templates[graph.template[node] ?? 0] as OperatorNode // every node has one
  if (grain === 'operator') {
    const labels = graph.templates.map((template) => shortName(template, program.mesh))
    return (node) => ({ id: node, label: labels[graph.template[node] ?? 0] ?? '' })
  }
  if (grain === 'action') return actionsByNode(program, timeline)
  return (node) => {
    const { segment } = templateOf(node)
    const at = graph.iterationsOf(node)
    const layer = at.find(({ axis }) => axis === 'layer')?.iteration
    const outer = at
      .filter(({ axis }) => axis !== 'layer' && axis !== 'expert')
      .map(({ axis, iteration }) => `${axis} ${iteration}`)
    const id = [segment, ...outer, layer ?? templateOf(node).module.split('/')[0]].join(' ')
    return { id, label: layer === undefined ? (templateOf(node).module.split('/')[0] ?? '') : String(layer) }
  }
}

const abbreviations: Readonly<Record<string, string>> = {
  'all-gather': 'AG',
  'reduce-scatter': 'RS',
  'all-reduce': 'AR',
  'all-to-all': 'A2A',
}

function shortName({ op, id, communication }: OperatorNode, mesh: Mesh): string {
  if (communication)
    return `${abbreviations[op] ?? op} ${axesOf(mesh, communication.atoms, communication.reason.strategies).join('.')}`.trim()
  return id.split('/').at(-1)?.replaceAll('_', ' ') ?? op
}

/** What a node is drawn as. */
function kindOf({ kind, segment, gradient, recompute, outputs }: OperatorNode, { tensors }: Program): SliceKind {
  if (kind !== 'compute') return kind
  if (segment === 'optimizer') return 'optimizer'
  if (recompute || segment !== 'backward') return 'F'
  // Only pipelines tell the two apart by themselves.
  const weight = gradient ? gradient === 'weight' : outputs.some((id) => tensors.get(id)?.role === 'gradient')
  return weight ? 'W' : 'I'
}

/** Waits inside of a slice as long as this share of the step are shown: the slice is cut there. */
const visibleWait = 1 / 400

/** The slices of a row, ascending in time, none over another. Linear in its nodes. */
export function* slicesOf(
  { nodes }: TimelineRow,
  key: Key,
  { graph, times }: Timeline,
  program: Program,
): Generator<NodeSlice, void, undefined> {
  const kindOfTemplate = graph.templates.map((template) => kindOf(template, program))
  let id: string | number = ''
  let [first, begun, until, again, spent] = [-1, 0, 0, 0, 0]
  const halves = [0, 1].map(() => ({ label: '', kinds: new Map<SliceKind, number>() }))
  const slice = (): NodeSlice => {
    const [own, other] = halves.flatMap(({ label, kinds }) =>
      kinds.size > 0 ? [{ label, kind: mainKind(kinds) }] : [],
    )
    const share = spent > 0 ? again / spent : 0
    const { kind = 'F', label = halves[0]?.label ?? '' } = own ?? {}
    return { start: begun, end: until, kind, label, ...(other && { partner: other }), again: share, spent, node: first }
  }
  for (const node of nodes) {
    const template = graph.template[node] ?? 0
    const [from, to] = [times.start[node] ?? 0, times.end[node] ?? 0]
    const own = key(node)
    if (first < 0 || own.id !== id || from - until > times.makespan * visibleWait) {
      if (first >= 0) yield slice()
      for (const half of halves) half.kinds.clear()
      ;[first, begun, again, spent] = [node, from, 0, 0]
    }
    id = own.id
    const half = halves[own.half ?? 0]
    if (half) half.label = own.label
    until = Math.max(until, to)
    spent += to - from
    const kind = kindOfTemplate[template] ?? 'F'
    if (graph.templates[template]?.recompute) again += to - from
    else half?.kinds.set(kind, (half.kinds.get(kind) ?? 0) + to - from)
  }
  if (first >= 0) yield slice()
}

/** What a slice of several kinds is: both gradients are B; else what most of its time is. */
function mainKind(kinds: ReadonlyMap<SliceKind, number>): SliceKind {
  const [input = 0, weight = 0] = [kinds.get('I'), kinds.get('W')]
  if (input > 0 && weight > 0) return 'B'
  let [main, most]: [SliceKind, number] = ['F', 0]
  for (const [kind, ticks] of kinds) if (ticks > most) [main, most] = [kind, ticks]
  return main
}

/** The chain of nodes that the length of a step consists of, in time: each started when the one before it ended. */
export function criticalNodes({ graph, times: { end, cause, makespan } }: Timeline): number[] {
  let node = -1
  for (let each = 0; each < graph.nodeCount && node < 0; each++) if (end[each] === makespan) node = each
  const chain: number[] = []
  for (; node >= 0; node = cause[node] ?? -1) chain.push(node)
  return chain.reverse()
}
