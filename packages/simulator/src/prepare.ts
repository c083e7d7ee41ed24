import { axesOf, coordinates, type OperatorTable, type Program, pipelineAtoms, ShardloomError } from '@shardloom/core'
import { partLike, type UnrolledGraph } from '@shardloom/core/unroll'
import type { Work } from './event-loop.js'
import { inIssueOrder } from './issue-order.js'
import type { Machine } from './machine.js'
import { type KnownTimes, type NodeTimes, nodeTimes, type Stream } from './node-time.js'
import { unevenAtoms } from './ranks.js'
import { ticksPerSecond } from './ticks.js'

/** An unrolled graph with what its nodes take and where they run. */
export interface Prepared {
  readonly graph: UnrolledGraph
  readonly work: Work
  readonly streams: readonly Stream[]
  /** Per template the number of its stream; −1: none. */
  readonly stream: Int8Array
  /** Per template the axes that it communicates over, joined by a dot; undefined: it does not communicate. */
  readonly axes: readonly (string | undefined)[]
  /** Per template whether it reduces, and then over the ranks of which stages. */
  readonly reduces: readonly ('own stage' | 'all stages' | undefined)[]
  readonly byRank: readonly NodeTimes[]
  /** Of each rank the first one that differs from it in nothing but the layers that it holds, by index. */
  readonly alike: readonly number[]
  /** Per node the index of its rank. */
  readonly places: Int32Array
  /** The node that ends when a node does: that of its kernel at which the kernel takes its time. */
  readonly leaderOf: (node: number) => number
}

/**
 * Finds streams and times of the nodes of a graph. Edges from node to node of a kernel become edges from its lead, and the members of
 * a collective that the graph chains begin and end together.
 */
export function prepare(graph: UnrolledGraph, program: Program, operators: OperatorTable, machine: Machine): Prepared {
  const { byRank, alike } = timesOf(graph.ranks, program, operators, machine)
  const places = placesOf(graph)
  return prepareWith(graph, program, machine, { byRank, alike, places, ticks: ticksOf(graph, byRank, places) })
}

/** {@link prepare} with times that are known, and what each node takes of them. */
export function prepareWith(
  graph: UnrolledGraph,
  program: Program,
  machine: Machine,
  known: Pick<Prepared, 'byRank' | 'alike' | 'places'> & { readonly ticks: Float64Array },
): Prepared {
  const { byRank, alike, places } = known
  const streams: Stream[] = ['compute']
  const streamsOf = ofEach(byRank, ({ times }) =>
    Int8Array.from(graph.templates, ({ id }) => {
      const time = times.get(id)
      if (!time || time.stream === 'none') return -1
      const known = streams.indexOf(time.stream)
      return known >= 0 ? known : streams.push(time.stream) - 1
    }),
  )
  const stream = Int8Array.from(graph.templates, (_, index) => Math.max(...streamsOf.map((list) => list[index] ?? -1)))
  const ticks = slowed(known.ticks, graph, places, streamsOf, machine)
  const lane = Int32Array.from(graph.template, (template, node) => {
    const own = streamsOf[places[node] ?? 0]?.[template] ?? -1
    // What takes no time keeps no stream.
    return own < 0 || ticks[node] === 0 ? -1 : (places[node] ?? 0) * streams.length + own
  })
  const { edgeSource, leaderOf } = withLeads(graph, byRank)
  const ordered = inIssueOrder({ ...graph, edgeSource }, program, (template) => stream[template] === 0)
  const { edges, joint } = joinCollectives(ordered, places)
  return {
    graph,
    streams,
    stream,
    byRank,
    alike,
    places,
    leaderOf,
    reduces: reductionsOf(graph, program),
    axes: graph.templates.map(({ communication }) =>
      communication ? axesOf(program.mesh, communication.atoms, communication.reason.strategies).join('·') : undefined,
    ),
    work: {
      nodeCount: graph.nodeCount,
      ...edges,
      ...(joint && { joint }),
      ticks,
      lane,
      ranks: graph.ranks.length,
      streams: streams.length,
      contention: machine.constants.values.contention,
    },
  }
}

/** The times of ranks, and who is alike. */
function timesOf(ranks: readonly number[], program: Program, operators: OperatorTable, machine: Machine) {
  const uneven = ranks.length > 1 ? unevenAtoms(program, operators) : []
  const known = new Map<string, KnownTimes>()
  const first = new Map<string, Map<Program, number>>()
  const alike: number[] = []
  const byRank = ranks.map((rank, index): NodeTimes => {
    const at = coordinates(program.mesh, rank)
    const key = uneven.map((atom) => at.get(atom)).join(' ')
    const times: KnownTimes = known.get(key) ?? { kernels: new Map(), parts: new Map(), bodies: new Map() }
    known.set(key, times)
    const parts = first.get(key) ?? new Map<Program, number>()
    first.set(key, parts)
    const like = partLike(program, rank)
    alike.push(parts.get(like) ?? index)
    parts.set(like, parts.get(like) ?? index)
    return nodeTimes(program, operators, machine, rank, times)
  })
  return { byRank, alike }
}

/** What is found for each of a list, once for those that are the same. */
function ofEach<T, R>(list: readonly T[], find: (each: T) => R): R[] {
  const known = new Map<T, R>()
  return list.map((each) => {
    const found = known.get(each) ?? find(each)
    known.set(each, found)
    return found
  })
}

/** Ticks with what slow ranks compute taking longer. */
function slowed(
  ticks: Float64Array,
  { ranks, template, templates }: UnrolledGraph,
  places: Int32Array,
  streamsOf: readonly Int8Array[],
  { engine: { slowdown } }: Machine,
): Float64Array {
  if (Object.keys(slowdown).length === 0) return ticks
  return ticks.map((own, node) => {
    const place = places[node] ?? 0
    const factor = slowdown[ranks[place] ?? -1]
    const of = template[node] ?? 0
    const computes = streamsOf[place]?.[of] === 0 && !templates[of]?.communication
    return factor !== undefined && computes ? Math.round(own * factor) : own
  })
}

/** Per node the index of its rank. */
export function placesOf({ parts, nodeCount }: UnrolledGraph): Int32Array {
  const places = new Int32Array(nodeCount)
  parts.forEach(({ rank, firstNode }, index) => {
    places.fill(rank, firstNode, parts[index + 1]?.firstNode ?? nodeCount)
  })
  return places
}

/** The work of an unrolled graph, ready to be run by `runEvents`. */
export function workOf(graph: UnrolledGraph, program: Program, operators: OperatorTable, machine: Machine): Work {
  return gated(prepare(graph, program, operators, machine))
}

/**
 * Whether a node of a part, which begins and ends with those nodes, begins before the part before has computed, as soon as its operands
 * are there: a reduction gives memory back, and only who fetches would hold it too early. One over stages waits for their actions.
 */
export function isFree({ graph, work, reduces }: Prepared, node: number, begin: number, end: number): boolean {
  if (reduces[graph.template[node] ?? 0] !== 'own stage') return false
  const sources = work.edgeSource.subarray(work.edgeStart[node], work.edgeStart[node + 1])
  return sources.length > 0 && sources.every((source) => source < begin || source >= end)
}

/**
 * The work in which the parts of a rank follow each other: nobody gathers or receives for an iteration or action before the one
 * before has computed, or all of a step would be fetched at its start. What reduces begins when its operands are there.
 */
export function gated(prepared: Prepared): Work {
  const { work, reduces } = prepared
  const { parts, nodeCount, template } = prepared.graph
  const { edgeStart, edgeSource, lane, streams } = work
  const starts = new Uint32Array(nodeCount + 1)
  const sources = new Uint32Array(edgeSource.length + 2 * nodeCount)
  let count = 0
  // The first node of a rank, whose parts follow each other.
  let begin = 0
  parts.forEach(({ rank, firstNode }, index) => {
    const last = parts[index + 1]?.firstNode ?? nodeCount
    const before = parts[index - 1]
    const goesOn = before?.rank === rank
    if (!goesOn) begin = firstNode
    const computedBefore = (node: number, from: number) => {
      while (node >= from && lane[node] !== rank * streams) node--
      return node >= from ? [node] : []
    }
    const gates = goesOn ? computedBefore(firstNode - 1, begin) : []
    // Of an overlapped pair either action may be the last to compute.
    if (goesOn && before.second !== undefined) gates.push(...computedBefore(before.second - 1, before.firstNode))
    for (let node = firstNode; node < last; node++) {
      starts[node] = count
      const joins = reduces[template[node] ?? 0] === 'all stages'
      let isRoot = !isFree(prepared, node, firstNode, last)
      const from = count
      for (let edge = edgeStart[node] as number; edge < (edgeStart[node + 1] as number); edge++) {
        const source = edgeSource[edge] as number
        sources[count++] = source
        if (!joins && source >= firstNode && source < last) isRoot = false
      }
      if (isRoot) for (const gate of gates) if (!sources.subarray(from, count).includes(gate)) sources[count++] = gate
    }
  })
  starts[nodeCount] = count
  const pairs = parts.flatMap(({ firstNode, second }, index) =>
    second === undefined ? [] : [[firstNode, second, parts[index + 1]?.firstNode ?? nodeCount] as const],
  )
  return { ...work, edgeStart: starts, edgeSource: sources.subarray(0, count), ...(pairs.length > 0 && { pairs }) }
}

function reductionsOf({ templates }: UnrolledGraph, program: Program): Prepared['reduces'] {
  const stages = pipelineAtoms(program)
  return templates.map(({ op, communication }) => {
    if (!communication || (op !== 'all-reduce' && op !== 'reduce-scatter')) return undefined
    return communication.atoms.some((atom) => stages.includes(atom)) ? 'all stages' : 'own stage'
  })
}

/** Takes the edges that chain the members of a collective or barrier over ranks away; the first of its members stands for it. */
function joinCollectives(graph: UnrolledGraph, places: Int32Array) {
  const { nodeCount, edgeStart, edgeSource, templates, template } = graph
  if (graph.ranks.length === 1) return { edges: { edgeStart, edgeSource }, joint: undefined }
  const joint = new Int32Array(nodeCount).fill(-1)
  const starts = new Uint32Array(nodeCount + 1)
  const sources = new Uint32Array(edgeSource.length)
  let count = 0
  for (let node = 0; node < nodeCount; node++) {
    starts[node] = count
    const { communication, op, barrier } = templates[template[node] ?? 0] ?? {}
    const isJoint = barrier !== undefined || (communication !== undefined && op !== 'recv' && op !== 'send')
    for (let edge = edgeStart[node] ?? 0; edge < (edgeStart[node + 1] ?? 0); edge++) {
      const source = edgeSource[edge] ?? 0
      if (isJoint && places[source] !== places[node]) {
        const first = (joint[source] ?? -1) >= 0 ? (joint[source] ?? source) : source
        joint[source] = first
        joint[node] = first
      } else sources[count++] = source
    }
  }
  starts[nodeCount] = count
  return { edges: { edgeStart: starts, edgeSource: sources.subarray(0, count) }, joint }
}

export function ticksOf(graph: UnrolledGraph, byRank: readonly NodeTimes[], places: Int32Array): Float64Array {
  const ticks = new Float64Array(graph.nodeCount)
  const fixed = ofEach(byRank, ({ times }) => {
    const list = new Float64Array(graph.templates.length)
    graph.templates.forEach(({ id }, index) => {
      const time = times.get(id)
      // Of other ranks, or not timed.
      if (!time) return
      list[index] = time.grows === undefined ? toTicks(time.seconds(0), id) : Number.NaN
    })
    return list
  })
  const grown = new Map<string, number>()
  for (let node = 0; node < graph.nodeCount; node++) {
    const place = places[node] ?? 0
    const template = graph.template[node] ?? 0
    const own = fixed[place]?.[template] ?? 0
    if (!Number.isNaN(own)) {
      ticks[node] = own
      continue
    }
    const id = graph.templates[template]?.id ?? ''
    const time = byRank[place]?.times.get(id)
    const step = graph.iterationsOf(node).find(({ axis }) => axis === time?.grows)?.iteration ?? 0
    const key = `${place} ${step} ${id}`
    const known = grown.get(key) ?? toTicks(time?.seconds(step) ?? 0, id)
    grown.set(key, known)
    ticks[node] = known
  }
  return ticks
}

/** Seconds in whole picoseconds, of which numbers hold 9,007 s exactly. */
const mostSeconds = 3600

/** What a node takes, in whole picoseconds. Throws `NODE_TIME` for more than an hour, which no kernel takes. */
export function toTicks(seconds: number, id: string): number {
  if (seconds >= 0 && seconds <= mostSeconds) return Math.round(seconds * ticksPerSecond)
  throw new ShardloomError(
    'NODE_TIME',
    `\`${id}\` would take ${Number.isFinite(seconds) ? `${seconds.toPrecision(3)} s` : 'for ever'}: nothing that runs once takes over an hour.`,
    {
      subject: id,
      help: 'Check the bandwidths and peaks of the cluster, the constants of the accelerator and the sizes of the spec.',
    },
  )
}

/** The sources of edges where whoever reads from a kernel waits for it, and its members wait for nothing else of it. */
function withLeads(graph: UnrolledGraph, byRank: readonly NodeTimes[]) {
  const all = [...new Set(byRank)]
  const lead = new Map(all.flatMap(({ leads }) => [...leads]))
  if (lead.size === 0) return { edgeSource: graph.edgeSource, leaderOf: (node: number) => node }
  const number = new Map(graph.templates.map(({ id }, index) => [id, index]))
  const leads = Int32Array.from(graph.templates, ({ id }) => number.get(lead.get(id) ?? '') ?? -1)
  const order = new Map(all.flatMap(({ order }) => [...order]))
  const later = Uint8Array.from(graph.templates, ({ id }) => {
    const [own = 0, other = 0] = [order.get(id), order.get(lead.get(id) ?? '')]
    return own < other ? 1 : 0
  })
  /** Of each node in a kernel the node that leads it: of that template the next, or the last one before, on its rank. */
  const leader = new Int32Array(graph.nodeCount)
  const near = new Int32Array(graph.templates.length).fill(-1)
  for (let node = graph.nodeCount - 1; node >= 0; node--) {
    const template = graph.template[node] ?? 0
    const led = leads[template] ?? -1
    leader[node] = led < 0 ? node : later[template] ? (near[led] ?? -1) : -1
    near[template] = node
  }
  for (let node = 0; node < graph.nodeCount; node++) {
    const template = graph.template[node] ?? 0
    if (leader[node] === -1) leader[node] = near[leads[template] ?? 0] ?? node
    near[template] = node
  }
  const edgeSource = Uint32Array.from(graph.edgeSource)
  for (let node = 0; node < graph.nodeCount; node++) {
    const own = leader[node] ?? node
    const begin = graph.edgeStart[node] ?? 0
    const end = graph.edgeStart[node + 1] ?? 0
    for (let edge = begin; edge < end; edge++) {
      const source = edgeSource[edge] ?? 0
      // Inside of the kernel nothing waits for its end.
      if (leader[source] !== own) edgeSource[edge] = leader[source] ?? source
    }
    // One that follows the first of its kernel reads what that has read, and is there when that is.
    if (own < node && begin < end) edgeSource[begin] = own
  }
  return { edgeSource, leaderOf: (node: number) => leader[node] ?? node }
}
