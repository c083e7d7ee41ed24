import type { UnrolledGraph } from '@shardloom/core/unroll'
import type { Times } from './event-loop.js'
import type { BlockName, Sample } from './sample.js'
import type { HeldBuffers } from './sample-memory.js'
import { ticksPerSecond } from './ticks.js'

/** What one block moves over the host link, beside its computing. Seconds and bytes of the rank. */
export interface HostCopies {
  readonly seconds: number
  /** By how much longer it takes where nothing has come back before it begins. */
  readonly lateSeconds: number
  readonly bytes: number
}

/** Of each node the ticks in which it moves what backward reads to host memory or back; 0: it does not. */
export function copyTicks({ template, templates }: UnrolledGraph, ticks: Float64Array): Float64Array | undefined {
  const copies = templates.map(({ op }) => op === 'offload' || op === 'reload')
  return copies.includes(true) ? ticks.map((own, node) => (copies[template[node] ?? 0] ? own : 0)) : undefined
}

/**
 * The copies of a block, which follow each other in the order of the nodes, on a timeline in which they take no time. What is brought back
 * is awaited by its readers. Linear in the edges of the block.
 */
export function copiesIn(
  { graph, work, blockOf, places, ranks }: Sample,
  of: { readonly block: number; readonly begin: number },
  copied: Float64Array,
  { start }: Times,
  bytesOf: (held: HeldBuffers, index: number, place: number) => number,
): HostCopies {
  let [ticks, late, bytes] = [0, 0, 0]
  const there = new Map<number, number>()
  for (let node = blockOf.indexOf(of.block); node < graph.nodeCount; node++) {
    if (blockOf[node] !== of.block) continue
    const own = copied[node] as number
    if (own > 0) {
      const place = places[node] ?? 0
      const held = ranks[place]?.held
      ticks += own
      there.set(node, ticks)
      for (const index of held?.byTemplate[graph.template[node] ?? 0] ?? [])
        if (held) bytes += bytesOf(held, index, place)
      continue
    }
    // Who communicates does so ahead of those that wait for it.
    if (work.lane[node] !== (places[node] ?? 0) * work.streams) continue
    for (let edge = work.edgeStart[node] as number; edge < (work.edgeStart[node + 1] as number); edge++) {
      const from = there.get(work.edgeSource[edge] as number)
      if (from !== undefined) late = Math.max(late, from - ((start[node] as number) - of.begin))
    }
  }
  return { seconds: ticks / ticksPerSecond, lateSeconds: late / ticksPerSecond, bytes }
}

/** A part that moves nothing. */
export const noCopies: Readonly<Partial<Record<BlockName['direction'], HostCopies>>> = {}
