import type { Program } from '@shardloom/core'
import type { Times } from './event-loop.js'
import { axesAlong, linksOf } from './node-time.js'
import type { BlockName, Sample } from './sample.js'
import { ticksPerSecond } from './ticks.js'

/** What activations do on one stream in a block. Seconds. */
export interface LinkUse {
  /** From the begin of the block to its first collective. */
  readonly ahead: number
  /** The longest time between two of its collectives, where blocks of one kind follow each other. */
  readonly gap: number
}

/** What activations do by direction and stream. */
export type LinkUses = Readonly<Partial<Record<BlockName['direction'], ReadonlyMap<string, LinkUse>>>>

/** What a stream does in a block, in ticks. */
interface Use {
  gap: number
  first: number
  last: number
}

/**
 * What activations do on links in the blocks that stand for those of their name; `lane` as in the work of the sample. O(n log n) in the nodes of the
 * sample.
 */
export function linksIn(
  { graph, blockOf, work }: Sample,
  program: Program,
  standing: readonly (BlockName & { readonly block: number; readonly begin: number; readonly seconds: number })[],
  lane: Int32Array,
  { start, end }: Times,
): ReadonlyMap<string, LinkUses> {
  const names = graph.templates.map(({ communication }) => communication && linksOf(axesAlong(communication, program)))
  const nodes: number[] = []
  for (let node = 0; node < graph.nodeCount; node++)
    if ((lane[node] as number) % work.streams > 0 && (blockOf[node] ?? -1) >= 0) nodes.push(node)
  nodes.sort((a, b) => (start[a] as number) - (start[b] as number))
  const ofBlock = new Map(standing.map(({ block }) => [block, new Map<string, Use>()]))
  for (const node of nodes) {
    const streams = ofBlock.get(blockOf[node] as number)
    const name = names[graph.template[node] ?? 0]
    if (!streams || name === undefined) continue
    const [from, to] = [start[node] as number, end[node] as number]
    const use = streams.get(name) ?? { gap: 0, first: from, last: from }
    streams.set(name, use)
    use.gap = Math.max(use.gap, from - use.last)
    use.last = to
  }
  const found = new Map<string, { [Direction in BlockName['direction']]?: ReadonlyMap<string, LinkUse> }>()
  for (const { block, part, direction, begin, seconds } of standing) {
    const uses = Array.from(ofBlock.get(block) ?? [], ([name, { gap, first, last }]): [string, LinkUse] => [
      name,
      {
        ahead: Math.max(0, first - begin) / ticksPerSecond,
        gap: Math.max(gap / ticksPerSecond, seconds - (last - first) / ticksPerSecond),
      },
    ])
    found.set(part, { ...found.get(part), [direction]: new Map(uses) })
  }
  return found
}
