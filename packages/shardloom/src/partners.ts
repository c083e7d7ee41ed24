import { groupOf, type Item, neighbour, type OperatorNode, type Program, pipelineAtoms } from '@shardloom/core'
import { edgeKinds, unroll } from '@shardloom/core/unroll'

/**
 * The ranks, ascending, to which a rank sends by a send, or from which it receives by a recv: several where its parts of a
 * pipeline have others as neighbours. None between pools, whose ranks have no numbers in common.
 */
export function partnersOf(program: Program, { id, communication }: OperatorNode, rank: number): number[] {
  const { mesh, pipeline } = program
  if (!communication || communication.pool) return []
  const { atoms, shift } = communication
  if (shift !== undefined) return [neighbour(mesh, rank, atoms, shift)]
  if (!pipeline) return []
  const ranks = groupOf(mesh, rank, pipelineAtoms(program))
  const graph = unroll({ ...program, items: transfersIn(program.items) }, { axes: [pipeline.over], ranks })
  const found = new Set<number>()
  const idOf = (node: number) => graph.templates[graph.template[node] ?? 0]?.id
  for (let node = 0; node < graph.nodeCount; node++)
    for (let edge = graph.edgeStart[node] ?? 0; edge < (graph.edgeStart[node + 1] ?? 0); edge++) {
      if (edgeKinds[graph.edgeKind[edge] ?? 0] !== 'communication') continue
      const ends = [graph.edgeSource[edge] ?? 0, node]
      const own = ends.findIndex((end) => idOf(end) === id && graph.rankOf(end) === rank)
      if (own >= 0) found.add(graph.rankOf(ends[1 - own] ?? 0))
    }
  return [...found].sort((a, b) => a - b)
}

/** Of a program what passes between stages, so that unrolling it costs little. */
function transfersIn(items: readonly Item[]): Item[] {
  return items.flatMap((item): Item[] => {
    if (item.type === 'node') return item.op === 'send' || item.op === 'recv' ? [item] : []
    return [{ ...item, bodies: item.bodies.map((body) => ({ ...body, items: transfersIn(body.items) })) }]
  })
}
