import { axesOf, type Mesh } from '@shardloom/core'
import { wholeId } from '@shardloom/core/unroll'
import type { Timeline } from './simulate.js'
import { ticksPerSecond } from './ticks.js'

/** Where the time of one rank goes in a step, in seconds that add up to the step. */
export interface RankBreakdown {
  readonly rank: number
  /** Something is computed. */
  readonly computing: number
  /** Nothing is computed, since communication over these axes has not ended. */
  readonly exposed: Readonly<Record<string, number>>
  /** Nothing is computed or communicated that the rank waits for: other ranks work, or have not begun. */
  readonly waiting: number
  /** The part of `waiting` between the rank's first node and its last. */
  readonly waitingInside: number
}

/**
 * Breaks the step of each rank down. A gap between two nodes of the compute stream is followed back through what it waited
 * for: as far as that is communication, the time is exposed; the rest is waiting.
 */
export function breakdown(timeline: Timeline, mesh: Mesh): RankBreakdown[] {
  const { graph, times, ranks } = timeline
  const { start, end, cause, makespan } = times
  const axesOfTemplate = graph.templates.map(({ communication }) =>
    communication ? axesOf(mesh, communication.atoms, communication.reason.strategies).join('·') : undefined,
  )
  const of = (node: number) => axesOfTemplate[graph.template[node] ?? 0]
  const computing = new Map<number, number[]>(ranks.map((rank) => [rank, []]))
  const spans = new Map(ranks.map((rank) => [rank, [Number.POSITIVE_INFINITY, 0] as [number, number]]))
  const lastOn = new Map<number, number>()
  for (let node = 0; node < graph.nodeCount; node++) {
    const rank = graph.rankOf(node)
    if (timeline.streamOf(node) === 'none' || start[node] === end[node]) continue
    // What is but received takes no time of this rank.
    if ((end[node] ?? 0) > (end[lastOn.get(rank) ?? -1] ?? -1)) lastOn.set(rank, node)
    const span = spans.get(rank)
    if (span) {
      span[0] = Math.min(span[0], start[node] ?? 0)
      span[1] = Math.max(span[1], end[node] ?? 0)
    }
    if (timeline.streamOf(node) === 'compute') computing.get(rank)?.push(node)
  }
  return ranks.map((rank) => {
    const exposed = new Map<string, number>()
    let [busy, inside] = [0, 0]
    let until = spans.get(rank)?.[0] ?? 0
    const gap = (from: number, to: number, blamed: number) => {
      let [at, node] = [to, blamed]
      while (at > from && node >= 0) {
        const axes = of(node)
        const begun = Math.max(from, start[node] ?? 0)
        if (axes === undefined && at > begun) break
        if (axes !== undefined && at > begun) exposed.set(axes, (exposed.get(axes) ?? 0) + at - begun)
        at = Math.min(at, begun)
        node = cause[node] ?? -1
      }
      return at - from
    }
    // The halves of an overlapped pair take turns.
    const inTime = (computing.get(rank) ?? []).sort((a, b) => (start[a] ?? 0) - (start[b] ?? 0))
    for (const node of inTime) {
      const [from, to] = [start[node] ?? 0, end[node] ?? 0]
      if (from > until) inside += gap(until, from, cause[node] ?? -1)
      // A blocking send stands on the compute stream, and computes nothing.
      const axes = of(node)
      if (axes === undefined) busy += to - from
      else exposed.set(axes, (exposed.get(axes) ?? 0) + to - from)
      until = Math.max(until, to)
    }
    const [first = 0, last = 0] = spans.get(rank) ?? []
    if (last > until) inside += gap(until, last, lastOn.get(rank) ?? -1)
    const outside = first === Number.POSITIVE_INFINITY ? makespan : first + makespan - last
    return {
      rank,
      computing: busy / ticksPerSecond,
      exposed: Object.fromEntries([...exposed].sort().map(([axes, ticks]) => [axes, ticks / ticksPerSecond])),
      waiting: (inside + outside) / ticksPerSecond,
      waitingInside: inside / ticksPerSecond,
    }
  })
}

/** What a share of the step's length is made of. */
export interface CriticalNode {
  /** The node of the rolled program. */
  readonly node: string
  readonly count: number
  readonly seconds: number
  /** Of the step. */
  readonly share: number
}

/**
 * The chain of nodes, from the last one to end backwards, each of which started when the one before it in the chain ended: what
 * the step's length consists of. Nodes of all ranks, added up by their place in the rolled program, the longest first.
 */
export function criticalPath({ graph, times, seconds }: Timeline): CriticalNode[] {
  const { start, end, cause, makespan } = times
  let node = -1
  for (let each = 0; each < graph.nodeCount; each++) if (end[each] === makespan) node = node < 0 ? each : node
  const sums = new Map<string, { count: number; ticks: number }>()
  while (node >= 0) {
    const id = wholeId(graph.templates[graph.template[node] ?? 0]?.id ?? '')
    const ticks = (end[node] ?? 0) - (start[node] ?? 0)
    const known = sums.get(id)
    if (known) {
      known.count++
      known.ticks += ticks
    } else sums.set(id, { count: 1, ticks })
    node = cause[node] ?? -1
  }
  return [...sums]
    .filter(([, { ticks }]) => ticks > 0)
    .map(([id, { count, ticks }]) => {
      const spent = ticks / ticksPerSecond
      return { node: id, count, seconds: spent, share: spent / seconds }
    })
    .sort((a, b) => b.seconds - a.seconds || (a.node < b.node ? -1 : 1))
}
