import { coordinateOf, findAxis, type OperatorTable, type Program, rankAt, ShardloomError } from '@shardloom/core'
import { type UnrolledGraph, unroll } from '@shardloom/core/unroll'
import { runGraph, type Times } from './event-loop.js'
import { inIssueOrder } from './issue-order.js'
import type { Machine } from './machine.js'
import { type NodeTimes, nodeTimes, type Stream } from './node-time.js'

/** Picoseconds in a second: the unit in which events are counted, so that sums are exact. */
export const ticksPerSecond = 1e12

/** A program run in time: each node of one rank of every stage. */
export interface Timeline {
  readonly graph: UnrolledGraph
  /** The ranks that were run: one for each coordinate of the pipeline, which all ranks with that coordinate are like. */
  readonly ranks: readonly number[]
  /** Per node seconds from the start of the step; the node that its start waited for. */
  readonly times: Times
  /** Names of streams, by the numbers of {@link streamOf}. */
  readonly streams: readonly Stream[]
  readonly streamOf: (node: number) => Stream
  /** Seconds of one step. */
  readonly seconds: number
}

/**
 * Runs a program on a machine, event by event, in one step. Throws `NO_PEAK`, `UNROLL_SIZE`, and `DEADLOCK` where nodes wait for each
 * other.
 */
export function simulate(program: Program, operators: OperatorTable, machine: Machine): Timeline {
  const ranks = representatives(program)
  const graph = unroll(program, { ranks })
  const byRank = ranks.map((rank) => nodeTimes(program, operators, machine, rank))
  const streams: Stream[] = ['compute']
  const stream = new Int8Array(graph.templates.length).fill(-1)
  for (const { times } of byRank) {
    graph.templates.forEach(({ id }, index) => {
      const time = times.get(id)
      if (!time || time.stream === 'none') return
      const known = streams.indexOf(time.stream)
      stream[index] = known >= 0 ? known : streams.push(time.stream) - 1
    })
  }
  const ticks = ticksOf(graph, byRank)
  const joined = inIssueOrder(withLeads(graph, byRank), program, (template) => stream[template] === 0)
  const contention = machine.constants.values.contention
  const times = runGraph(joined, { ticks, stream, streams: streams.length, contention })
  if (times.ran < graph.nodeCount) throw deadlock(graph, times)
  return {
    graph,
    ranks,
    times,
    streams,
    streamOf: (node) => streams[stream[graph.template[node] ?? 0] ?? -1] ?? 'none',
    seconds: times.makespan / ticksPerSecond,
  }
}

/** The first rank of each coordinate of the pipeline. */
export function representatives(program: Program): number[] {
  const { mesh, pipeline } = program
  const axis = pipeline && findAxis(mesh, pipeline.axis)
  if (!axis) return [0]
  const found = new Map<number, number>()
  const coordinates = axis.atoms.reduce<ReadonlyMap<string, number>[]>(
    (list, atom) => {
      const degree = mesh.atoms.find(({ name }) => name === atom)?.degree ?? 1
      return list.flatMap((at) => Array.from({ length: degree }, (_, index) => new Map(at).set(atom, index)))
    },
    [new Map()],
  )
  for (const at of coordinates) {
    const rank = rankAt(mesh, at)
    found.set(coordinateOf(program, rank), rank)
  }
  return [...found].sort(([a], [b]) => a - b).map(([, rank]) => rank)
}

function ticksOf(graph: UnrolledGraph, byRank: readonly NodeTimes[]): Float64Array {
  const ticks = new Float64Array(graph.nodeCount)
  const fixed = byRank.map(({ times }) => {
    const list = new Float64Array(graph.templates.length)
    graph.templates.forEach(({ id }, index) => {
      const time = times.get(id)
      list[index] = time && time.grows === undefined ? toTicks(time.seconds(0)) : Number.NaN
    })
    return list
  })
  const grown = new Map<string, number>()
  for (let node = 0; node < graph.nodeCount; node++) {
    const place = graph.ranks.length === 1 ? 0 : graph.ranks.indexOf(graph.rankOf(node))
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
    const known = grown.get(key) ?? toTicks(time?.seconds(step) ?? 0)
    grown.set(key, known)
    ticks[node] = known
  }
  return ticks
}

const toTicks = (seconds: number) => Math.round(seconds * ticksPerSecond)

/** The graph in which whoever reads from a kernel waits for it, and its members wait for nothing else of it. */
function withLeads(graph: UnrolledGraph, byRank: readonly NodeTimes[]): UnrolledGraph {
  const lead = new Map(byRank.flatMap(({ leads }) => [...leads]))
  if (lead.size === 0) return graph
  const number = new Map(graph.templates.map(({ id }, index) => [id, index]))
  const leads = Int32Array.from(graph.templates, ({ id }) => number.get(lead.get(id) ?? '') ?? -1)
  const order = new Map(byRank.flatMap(({ order }) => [...order]))
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
  return { ...graph, edgeSource }
}

function deadlock(graph: UnrolledGraph, { end }: Times): ShardloomError {
  const stuck = Array.from({ length: graph.ranks.length }, (_, index) => graph.ranks[index] ?? 0).flatMap((rank) => {
    for (let node = 0; node < graph.nodeCount; node++)
      if (graph.rankOf(node) === rank && Number.isNaN(end[node] ?? Number.NaN))
        return [`rank ${rank} at ${graph.idOf(node)}`]
    return []
  })
  return new ShardloomError('DEADLOCK', `These wait for each other: ${stuck.slice(0, 4).join('; ')}.`, {
    help: '`verify` says which rule the program breaks.',
  })
}
