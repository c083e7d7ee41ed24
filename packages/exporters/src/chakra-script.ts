import { coordinateOf, type Program, ShardloomError } from '@shardloom/core'
import { edgeKinds, type UnrolledGraph } from '@shardloom/core/unroll'
import { encodeExecution } from './chakra-schema.js'

/** What all ranks at one place of the pipeline run, node by node in the order of their schedule. */
export interface Script {
  /** Of each entry the node of the graph; its place in the list is its id. */
  readonly nodes: readonly number[]
  /** What of each entry is its own: id, name, dependencies. */
  readonly executions: readonly Uint8Array[]
  /** Of sends and recvs the place of the partner, and the tag on which they meet; a hop of a ring stays at its place. */
  readonly partners: ReadonlyMap<number, Partner>
}

/** Where the other end of a transfer stands. */
export interface Partner {
  readonly coordinate: number
  readonly tag: number
}

/** What is written, and how. */
export interface ScriptOptions {
  /** Whether memory nodes are written; default: whoever waits for them waits for what they wait for. */
  readonly memory: boolean
  /** Whether the order of the schedule stands among data dependencies too, for readers that look at nothing else. */
  readonly scheduleAsData: boolean
}

/** A dependency: the entry, and whether data passes. */
type Dependency = readonly [entry: number, isData: boolean]

/**
 * Writes down what each place of the pipeline runs. Control nodes, and what is left out, become dependencies of those that wait for
 * them. What communicates waits for what did so before it on its rank: a reader that has one in flight at a time, and takes what is
 * ready first, would start collectives of two groups in another order on another rank, and both would wait for ever.
 * Throws `CHAKRA` for a transfer whose other end is in another program. Linear in nodes and edges.
 */
export function scriptsOf(program: Program, graph: UnrolledGraph, options: ScriptOptions): ReadonlyMap<number, Script> {
  const ends = transfersOf(graph)
  const entryOf = new Int32Array(graph.nodeCount).fill(-1)
  const segments = ranksIn(graph)
  for (const { first, end } of segments) {
    let entry = 0
    for (let node = first; node < end; node++) if (isWritten(graph, node, options, ends)) entryOf[node] = entry++
  }
  return new Map(
    segments.map(({ rank, first, end }) => [
      coordinateOf(program, rank),
      scriptOf(program, graph, { first, end }, entryOf, ends, options),
    ]),
  )
}

function scriptOf(
  program: Program,
  graph: UnrolledGraph,
  { first, end }: { readonly first: number; readonly end: number },
  entryOf: Int32Array,
  ends: Ends,
  { scheduleAsData }: ScriptOptions,
): Script {
  const nodes: number[] = []
  const executions: Uint8Array[] = []
  const partners = new Map<number, Partner>()
  /** What waits for a node that is not written waits for these. */
  const behind = new Map<number, readonly Dependency[]>()
  /** The entry that communicates before the one at hand; −1: none. */
  let queued = -1
  for (let node = first; node < end; node++) {
    const found = new Map<number, boolean>()
    for (let edge = graph.edgeStart[node] ?? 0; edge < (graph.edgeStart[node + 1] ?? 0); edge++) {
      const source = graph.edgeSource[edge] ?? 0
      const kind = edgeKinds[graph.edgeKind[edge] ?? 0]
      // What another rank sends or joins in is no dependency within a rank's trace.
      if (source < first || source >= end || kind === 'communication') continue
      const isData = kind === 'data'
      const entry = entryOf[source] ?? -1
      const all: readonly Dependency[] = entry >= 0 ? [[entry, true]] : (behind.get(source) ?? [])
      for (const [each, passes] of all) found.set(each, (isData && passes) || found.get(each) === true)
    }
    const entry = entryOf[node] ?? -1
    if (entry < 0) {
      behind.set(node, [...found])
      continue
    }
    const { kind, op } = graph.templates[graph.template[node] ?? 0] ?? {}
    if (kind === 'communication' && op !== 'recv') {
      if (queued >= 0 && !found.has(queued)) found.set(queued, false)
      queued = entry
    }
    const sorted = [...found].sort(([a], [b]) => a - b)
    const data = sorted.flatMap(([each, isData]) => (isData || scheduleAsData ? [each] : []))
    const control = sorted.flatMap(([each, isData]) => (isData ? [] : [each]))
    nodes.push(node)
    executions.push(encodeExecution(entry, graph.idOf(node), control, data))
    const other = ends.get(node)
    if (other === undefined) continue
    const sender = graph.templates[graph.template[node] ?? 0]?.op === 'send' ? node : other
    partners.set(entry, { coordinate: coordinateOf(program, graph.rankOf(other)), tag: entryOf[sender] ?? 0 })
  }
  return { nodes, executions, partners }
}

/** The other end of each send and recv, as a node of the graph; of a hop of a ring the node that its own neighbour runs. */
type Ends = ReadonlyMap<number, number>

function transfersOf(graph: UnrolledGraph): Ends {
  const ends = new Map<number, number>()
  /** By the tensor that it sends, the last hop of a ring that a rank has sent. */
  const hops = new Map<string, number>()
  for (let node = 0; node < graph.nodeCount; node++) {
    const { op, id, inputs, outputs, communication } = graph.templates[graph.template[node] ?? 0] ?? {}
    if (!communication || (op !== 'send' && op !== 'recv')) continue
    if (communication.pool)
      throw new ShardloomError(
        'CHAKRA',
        `The other end of \`${id}\` is in another pool, which has a trace of its own.`,
        {
          subject: `${id}`,
          help: 'Write the traces of a plan whose pools are one: leave `options.serving` out, or plan one phase.',
        },
      )
    if (communication.shift !== undefined) {
      if (op === 'send') for (const each of outputs ?? []) hops.set(each, node)
      const sender = op === 'recv' ? hops.get(inputs?.[0] ?? '') : undefined
      if (sender !== undefined) ends.set(node, sender).set(sender, node)
      continue
    }
    if (op === 'send') continue
    for (let edge = graph.edgeStart[node] ?? 0; edge < (graph.edgeStart[node + 1] ?? 0); edge++) {
      if (edgeKinds[graph.edgeKind[edge] ?? 0] !== 'communication') continue
      const sender = graph.edgeSource[edge] ?? 0
      ends.set(node, sender).set(sender, node)
    }
  }
  return ends
}

/** Where the nodes of each rank begin and end. */
function ranksIn({ ranks, parts, nodeCount }: UnrolledGraph) {
  const first = ranks.map((_, index) => parts.find(({ rank }) => rank === index)?.firstNode ?? nodeCount)
  return ranks.map((rank, index) => ({ rank, first: first[index] ?? 0, end: first[index + 1] ?? nodeCount }))
}

function isWritten(graph: UnrolledGraph, node: number, { memory }: ScriptOptions, ends: Ends): boolean {
  const { kind, op } = graph.templates[graph.template[node] ?? 0] ?? {}
  if (kind === 'control') return false
  if (kind === 'memory') return memory
  // A value that nobody reads is sent to nobody: a reader would wait for ever for the other end.
  return (op !== 'send' && op !== 'recv') || ends.has(node)
}
