import { bodyCounts, type Item, type OperatorTable, type Program, walk } from '@shardloom/core'
import { edgeKinds, programOf, type UnrolledGraph, unroll } from '@shardloom/core/unroll'
import { communicationBytes, meterOf } from '@shardloom/simulator'
import { type Folded, isTransfer } from './fold.js'
import { formatBytes, formatCount } from './format.js'

/** What stages of a pipeline send each other, from card to card. */
export interface CardTransfer {
  readonly fromRank: number
  readonly toRank: number
  readonly from: string
  readonly to: string
  /** Executions and bytes of one, such as `8 × 33.6 MB`. */
  readonly label: string
  readonly backward: boolean
}

/**
 * Finds which card of one rank sends to which card of another, for ranks of a pipeline that are drawn, by their numbers.
 * `axes` are those that cards unroll. O(iterations of these axes and executions of transfers, per rank).
 */
export function cardTransfers(
  program: Program,
  operators: OperatorTable,
  axes: ReadonlySet<string>,
  lanes: ReadonlyMap<number, Folded>,
): CardTransfer[] {
  const { pipeline } = program
  if (!pipeline || lanes.size < 2) return []
  const unrolled = new Set([pipeline.over, ...axes])
  const only = { ...program, items: transfersIn(program.items) }
  const graph = unroll(only, { axes: [...unrolled], ranks: [...lanes.keys()] })
  const found = new Map<string, CardTransfer & { count: number; total: number }>()
  const times = timesOf(program, unrolled)
  for (let node = 0; node < graph.nodeCount; node++) {
    const recv = templateOf(graph, node)
    if (recv?.op !== 'recv') continue
    for (let edge = graph.edgeStart[node] ?? 0; edge < (graph.edgeStart[node + 1] ?? 0); edge++) {
      if (edgeKinds[graph.edgeKind[edge] ?? 0] !== 'communication') continue
      const source = graph.edgeSource[edge] ?? 0
      const send = templateOf(graph, source)
      const [fromRank, toRank] = [graph.rankOf(source), graph.rankOf(node)]
      const [here, there] = [lanes.get(fromRank), lanes.get(toRank)]
      if (!send || !here || !there) continue
      const count = times(fromRank, send.id)
      const { sent } = communicationBytes(send, programOf(program, fromRank), meterOf(program, operators, fromRank))
      for (const from of standings(here, graph, source)) {
        for (const to of standings(there, graph, node)) {
          const key = JSON.stringify([fromRank, from, toRank, to])
          const known = found.get(key)
          const share = { count: count + (known?.count ?? 0), total: count * sent + (known?.total ?? 0) }
          const label = `${formatCount(share.count)} × ${formatBytes(Math.round(share.total / share.count))}`
          found.set(key, { fromRank, toRank, from, to, label, backward: send.segment === 'backward', ...share })
        }
      }
    }
  }
  return [...found.values()]
}

/** Of a program what passes between stages, so that unrolling it costs little. */
function transfersIn(items: readonly Item[]): Item[] {
  return items.flatMap((item): Item[] => {
    if (item.type === 'node') return isTransfer(item) ? [item] : []
    return [{ ...item, bodies: item.bodies.map((body) => ({ ...body, items: transfersIn(body.items) })) }]
  })
}

const templateOf = (graph: UnrolledGraph, node: number) => graph.templates[graph.template[node] ?? 0]

/** The cards that draw a node's execution. */
function standings({ standing }: Folded, graph: UnrolledGraph, node: number): string[] {
  const at = graph.iterationsOf(node)
  const here = (standing.get(templateOf(graph, node)?.id ?? '') ?? []).filter(({ path }) =>
    path.every(({ region, run, form }) => {
      const own = at.find(({ axis }) => axis === region.axis)?.iteration
      return form === 'rolled' || own === undefined || (own >= run.first && own <= run.last)
    }),
  )
  return [...new Set(here.map(({ key }) => key))]
}

/** How often a rank runs a node per iteration of the unrolled axes. */
function timesOf(program: Program, unrolled: ReadonlySet<string>): (rank: number, id: string) => number {
  const known = new Map<Program, Map<string, number>>()
  return (rank, id) => {
    const part = programOf(program, rank)
    const counts = known.get(part) ?? new Map<string, number>()
    if (!known.has(part)) {
      walk(part.items, (node, { path }) => {
        const folded = path.filter(({ region }) => !unrolled.has(region.axis))
        counts.set(
          node.id,
          folded.reduce((product, { region, body }) => product * (bodyCounts(region)[body] ?? 0), 1),
        )
      })
    }
    known.set(part, counts)
    return counts.get(id) ?? 1
  }
}
