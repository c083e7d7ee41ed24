import { type BlockKind, nodeAt } from './block-kind.js'
import type { Block } from './few-iterations.js'
import { isFree, type Prepared } from './prepare.js'

/** What of the part behind the loops runs beside the blocks that it waits for. */
export interface Hosts {
  /** By place in the course the kind of a block with what it hosts, which stands behind its own nodes. */
  readonly kinds: ReadonlyMap<number, BlockKind>
  /** Where a node of the part behind runs: the place of a block, and the offset there; undefined: behind. */
  readonly placeOf: (node: number) => { readonly block: number; readonly offset: number } | undefined
  /** The offsets of what a block hosts that waits for a node of an earlier one. */
  readonly waiting: (block: number, node: number) => readonly number[]
}

const noHosts: Hosts = { kinds: new Map(), placeOf: () => undefined, waiting: () => [] }

/**
 * Finds for what begins as soon as its operands are there, such as a reduction of gradients behind the loops, the block that makes the
 * last of them: from its begin on all others have been made or are on their way. Undefined where it waits for other ranks.
 */
export function hostsOf(
  prepared: Prepared,
  kinds: readonly BlockKind[],
  blocks: readonly Block[],
  behind: Block | undefined,
): Hosts | undefined {
  const { work, graph, places } = prepared
  const own = behind && kinds[behind.part]
  if (!own) return noHosts
  const end = own.firstNode + own.size
  const isInside = (node: number) => node >= own.firstNode && node < end
  const lastOf = new Map(blocks.map(({ part }, index) => [part, index]))
  const partOf = (node: number) => graph.parts.findLastIndex(({ firstNode }) => firstNode <= node)
  /**
   * The block that makes an operand; the one behind it where the block computes nothing after that, for what that one sends and gathers
   * then is first in line.
   */
  const hostOf = (source: number) => {
    const part = partOf(source)
    const { firstNode = 0, last = -1 } = kinds[part] ?? {}
    const block = lastOf.get(part) ?? -1
    return block < 0 ? -1 : block + Number(source - firstNode >= last)
  }
  const hosts = new Map<number, number>()
  for (let node = own.firstNode; node < end; node++) {
    const sources = work.edgeSource.subarray(work.edgeStart[node], work.edgeStart[node + 1])
    const inside = sources.filter(isInside)
    // What computes, or communicates in the order of that, runs behind all that the loops compute.
    if (own.stream[node - own.firstNode] === 0) continue
    const joins = prepared.reduces[graph.template[node] ?? 0] === 'all stages'
    const follows = inside.length > 0 && !joins && inside.every((source) => hosts.has(source))
    if (!follows && !isFree(prepared, node, own.firstNode, end)) continue
    if (work.joint && (work.joint[node] ?? -1) >= 0) return undefined
    let host = -1
    for (const source of sources) {
      if (places[source] !== own.rank) return undefined
      host = Math.max(host, (isInside(source) ? hosts.get(source) : hostOf(source)) ?? -1)
    }
    if (host < 0) return undefined
    if (host < blocks.length) hosts.set(node, host)
  }
  if (hosts.size === 0) return noHosts
  const hosted = new Map<number, number[]>()
  for (const [node, host] of hosts) hosted.set(host, [...(hosted.get(host) ?? []), node])
  const found = new Map<number, { readonly kind: BlockKind; readonly waiting: Map<number, number[]> }>()
  const placesOf = new Map<number, { block: number; offset: number }>()
  for (const [block, extra] of hosted) {
    const kind = kinds[blocks[block]?.part ?? -1]
    if (!kind) return undefined
    extra.forEach((node, index) => {
      placesOf.set(node, { block, offset: kind.size + index })
    })
    const edgeStart = [...kind.edgeStart]
    const edgeSource = [...kind.edgeSource]
    const waiting = new Map<number, number[]>()
    for (const node of extra) {
      const { offset = 0 } = placesOf.get(node) ?? {}
      for (const source of work.edgeSource.subarray(work.edgeStart[node], work.edgeStart[node + 1])) {
        const at = placesOf.get(source)
        if (at?.block === block) edgeSource.push(at.offset)
        else if (source >= kind.firstNode && source < kind.firstNode + kind.size)
          edgeSource.push(source - kind.firstNode)
        if (at?.block !== block) waiting.set(source, [...(waiting.get(source) ?? []), offset])
      }
      edgeStart.push(edgeSource.length)
    }
    const with_ = (list: Iterable<number>, more: (node: number) => number) => [...list, ...extra.map(more)]
    found.set(block, {
      waiting,
      kind: {
        ...kind,
        extra,
        size: kind.size + extra.length,
        stream: Int32Array.from(with_(kind.stream, (node) => own.stream[node - own.firstNode] ?? -1)),
        ticks: Float64Array.from(with_(kind.ticks, (node) => work.ticks[node] ?? 0)),
        awaited: Uint8Array.from(with_(kind.awaited, () => 0)),
        edgeStart: Uint32Array.from(edgeStart),
        edgeSource: Uint32Array.from(edgeSource),
      },
    })
  }
  return {
    kinds: new Map([...found].map(([block, { kind }]) => [block, kind])),
    placeOf: (node) => placesOf.get(node),
    waiting: (block, node) => found.get(block)?.waiting.get(node) ?? [],
  }
}

/** The node of the smaller graph that stands at an offset in a block of a course. */
export function nodeIn(
  { hosts, blocks }: { readonly hosts: Hosts; readonly blocks: readonly Block[] },
  kinds: readonly BlockKind[],
  block: number,
  offset: number,
): number {
  const kind = hosts.kinds.get(block) ?? kinds[blocks[block]?.part ?? -1]
  return kind && offset >= 0 ? nodeAt(kind, offset) : -1
}
