import type { Simulation } from 'shardloom'
import { edgeKinds } from 'shardloom/charts'

/** Arrows between slices of different rows: from the one that makes something to the one that reads it. */
export interface Flows {
  readonly from: Uint32Array
  readonly to: Uint32Array
}

/** The number of edges that order nodes and carry nothing. */
const waits = edgeKinds.indexOf('temporal')

type Timeline = Simulation['timeline']

/**
 * What communication reads and who reads what it makes, on other rows; what only waits for another is none of them. Nodes that take no time are passed through; of what one reads from
 * a row only the last to end is followed, since for that it waits. `nodes` are those of the slices. Linear in the edges and rows.
 */
export function flowsOf({ graph, times }: Timeline, nodes: readonly number[], rowStart: Uint32Array): Flows {
  const sliceOf = new Int32Array(graph.nodeCount).fill(-1)
  nodes.forEach((node, slice) => {
    sliceOf[node] = slice
  })
  const rowOf = new Uint32Array(nodes.length)
  for (let row = 0; row + 1 < rowStart.length; row++) rowOf.fill(row, rowStart[row], rowStart[row + 1])
  const communicates = graph.templates.map(({ kind }) => kind === 'communication')
  const isCommunication = (slice: number) => communicates[graph.template[nodes[slice] ?? 0] ?? 0] === true
  const endOf = (slice: number) => times.end[nodes[slice] ?? 0] ?? 0
  /** What nodes without time stand for: slices, of each row one. */
  const passed = new Map<number, readonly number[]>()
  const sourcesOf = (node: number): readonly number[] => {
    const last = new Map<number, number>()
    for (let edge = graph.edgeStart[node] ?? 0; edge < (graph.edgeStart[node + 1] ?? 0); edge++) {
      if (graph.edgeKind[edge] === waits) continue
      const source = graph.edgeSource[edge] ?? 0
      const own = sliceOf[source] ?? -1
      for (const slice of own >= 0 ? [own] : (passed.get(source) ?? [])) {
        const row = rowOf[slice] ?? 0
        const known = last.get(row)
        if (known === undefined || endOf(slice) > endOf(known)) last.set(row, slice)
      }
    }
    return [...last.values()]
  }
  // What is read from must be known before: nodes in the order in which they run.
  for (const node of timeless(times, graph.nodeCount, sliceOf)) {
    const sources = sourcesOf(node)
    if (sources.length > 0) passed.set(node, sources)
  }
  const from: number[] = []
  const to: number[] = []
  nodes.forEach((node, slice) => {
    for (const source of sourcesOf(node)) {
      if (rowOf[source] === rowOf[slice] || !(isCommunication(source) || isCommunication(slice))) continue
      from.push(source)
      to.push(slice)
    }
  })
  return { from: Uint32Array.from(from), to: Uint32Array.from(to) }
}

/** Nodes that are no slices, by their ends; of those with the same end the lower numbers first. */
function timeless({ end }: Timeline['times'], count: number, sliceOf: Int32Array): Uint32Array {
  const found: number[] = []
  for (let node = 0; node < count; node++) if ((sliceOf[node] ?? -1) < 0) found.push(node)
  return Uint32Array.from(found).sort((a, b) => (end[a] ?? 0) - (end[b] ?? 0) || a - b)
}
