import { bodyCounts, type OperatorTable, type Program, walk } from '@shardloom/core'
import { edgeKinds, programOf, type UnrolledGraph, unroll } from '@shardloom/core/unroll'
import { communicationBytes, meterOf } from '@shardloom/simulator'
import type { Folded, Standing } from './fold.js'
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

/** Finds which card of one rank sends to which card of another, for ranks of a pipeline that are drawn. */
export function cardTransfers(
  program: Program,
  operators: OperatorTable,
  ranks: readonly number[],
  laneOf: (rank: number) => Folded | undefined,
): CardTransfer[] {
  const { pipeline } = program
  if (!pipeline || ranks.length < 2) return []
  const graph = unroll(program, { axes: [pipeline.over], ranks })
  const found = new Map<string, CardTransfer & { count: number; total: number }>()
  const times = timesOf(program, pipeline.over)
  for (let node = 0; node < graph.nodeCount; node++) {
    const recv = templateOf(graph, node)
    if (recv?.op !== 'recv' || recv.communication?.shift !== undefined) continue
    for (let edge = graph.edgeStart[node] ?? 0; edge < (graph.edgeStart[node + 1] ?? 0); edge++) {
      if (edgeKinds[graph.edgeKind[edge] ?? 0] !== 'communication') continue
      const source = graph.edgeSource[edge] ?? 0
      const send = templateOf(graph, source)
      const [fromRank, toRank] = [graph.rankOf(source), graph.rankOf(node)]
      const [here, there] = [laneOf(fromRank), laneOf(toRank)]
      if (!send || !here || !there) continue
      const count = times(fromRank, send.id)
      const { sent } = communicationBytes(send, programOf(program, fromRank), meterOf(program, operators, fromRank))
      for (const one of standings(here, graph, source)) {
        for (const other of standings(there, graph, node)) {
          if (!together(one, other, pipeline.over)) continue
          const key = JSON.stringify([fromRank, one.key, toRank, other.key])
          const known = found.get(key)
          const share = { count: count + (known?.count ?? 0), total: count * sent + (known?.total ?? 0) }
          const label = `${formatCount(share.count)} × ${formatBytes(Math.round(share.total / share.count))}`
          const backward = send.segment === 'backward'
          found.set(key, { fromRank, toRank, from: one.key, to: other.key, label, backward, ...share })
        }
      }
    }
  }
  return [...found.values()]
}

const templateOf = (graph: UnrolledGraph, node: number) => graph.templates[graph.template[node] ?? 0]

/** Where a node's execution is drawn: once for each run of the axes that the graph folds. */
function standings({ standing }: Folded, graph: UnrolledGraph, node: number): Standing[] {
  const at = graph.iterationsOf(node)
  return (standing.get(templateOf(graph, node)?.id ?? '') ?? []).filter(({ path }) =>
    path.every(({ region, run, form }) => {
      const own = at.find(({ axis }) => axis === region.axis)?.iteration
      return form === 'rolled' || own === undefined || (own >= run.first && own <= run.last)
    }),
  )
}

/** Whether two cards stand for the same iterations of all axes but the one that chunks divide. */
function together(a: Standing, b: Standing, over: string): boolean {
  return a.path.every(({ region, run }) => {
    const other = b.path.find((each) => each.region.axis === region.axis)
    return region.axis === over || !other || other.run.first === run.first
  })
}

/** How often a rank runs a node per iteration of an axis. */
function timesOf(program: Program, over: string): (rank: number, id: string) => number {
  const known = new Map<Program, Map<string, number>>()
  return (rank, id) => {
    const part = programOf(program, rank)
    const counts = known.get(part) ?? new Map<string, number>()
    if (!known.has(part)) {
      walk(part.items, (node, { path }) => {
        const outer = path.filter(({ region }) => region.axis !== over)
        counts.set(
          node.id,
          outer.reduce((product, { region, body }) => product * (bodyCounts(region)[body] ?? 0), 1),
        )
      })
    }
    known.set(part, counts)
    return counts.get(id) ?? 1
  }
}
