import { turnsOf } from '@shardloom/core/unroll'
import type { Touch } from './outcome.js'
import { isFree, type Prepared } from './prepare.js'
import type { Touches } from './touches.js'

/** A node of a part, as seen from others. */
export interface Reference {
  readonly part: number
  readonly offset: number
}

/** One part of the smaller graph, as a block that runs many times: numbers are offsets from its first node. */
export interface BlockKind {
  readonly part: number
  readonly rank: number
  readonly firstNode: number
  readonly size: number
  /** What it hosts of another part, behind its own nodes. */
  readonly extra: readonly number[]
  /** The stream of each node; −1: none. */
  readonly stream: Int32Array
  readonly ticks: Float64Array
  readonly edgeStart: Uint32Array
  readonly edgeSource: Uint32Array
  /** Nodes that wait for a node of another part of the rank, by its offset. */
  readonly outer: ReadonlyMap<number, readonly (Reference & { readonly node: number })[]>
  /** Nodes that wait for a node of another rank. */
  readonly arrivals: readonly (Reference & { readonly node: number })[]
  /** Nodes that other ranks wait for. */
  readonly awaited: Uint8Array
  /** The last node that computes; −1: none. */
  readonly last: number
  /** The node that stands for the last one where the next block follows it, as an offset. */
  readonly tail: number
  /** Nodes whose time depends on the iteration. */
  readonly growing: readonly number[]
  /** The nodes with which turns begin, and of those that are awaited in turns in which of these they stand (−1: before the first). */
  readonly turns: { readonly begins: readonly number[]; readonly of: ReadonlyMap<number, number> }
}

/** The node of the smaller graph at an offset. */
export function nodeAt({ firstNode, size, extra }: BlockKind, offset: number): number {
  const own = size - extra.length
  return offset < own ? firstNode + offset : (extra[offset - own] ?? -1)
}

/** Takes a graph apart into the blocks that its parts are; `undefined` where a collective inside of a loop joins ranks, or begins before it. */
export function blockKinds(prepared: Prepared): BlockKind[] | undefined {
  const { graph, work, places, leaderOf, byRank } = prepared
  const { parts, nodeCount, templates, template } = graph
  const partOf = new Int32Array(nodeCount)
  parts.forEach(({ firstNode }, index) => {
    partOf.fill(index, firstNode, parts[index + 1]?.firstNode ?? nodeCount)
  })
  const awaited = new Uint8Array(nodeCount)
  const inTurns = turnsOf(templates)
  const isLast = (part: number) => parts[part + 1]?.rank !== parts[part]?.rank && parts[part]?.region === undefined
  const kinds: BlockKind[] = []
  for (const [part, { rank, firstNode, place, region }] of parts.entries()) {
    const end = parts[part + 1]?.firstNode ?? nodeCount
    const size = end - firstNode
    const stream = new Int32Array(size)
    const edgeStart = new Uint32Array(size + 1)
    const edgeSource: number[] = []
    const outer = new Map<number, (Reference & { node: number })[]>()
    const arrivals: BlockKind['arrivals'][number][] = []
    const growing: number[] = []
    const turns = { begins: [] as number[], of: new Map<number, number>() }
    let last = -1
    for (let node = firstNode; node < end; node++) {
      const offset = node - firstNode
      const lane = work.lane[node] as number
      stream[offset] = lane < 0 ? -1 : lane % work.streams
      if (stream[offset] === 0) last = offset
      edgeStart[offset] = edgeSource.length
      if (work.joint && (work.joint[node] as number) >= 0 && !isLast(part)) return undefined
      if (!isLast(part) && isFree(prepared, node, firstNode, end)) return undefined
      const grows = byRank[rank]?.times.get(templates[template[node] ?? 0]?.id ?? '')?.grows
      if (grows !== undefined && grows === loopAxis(region, graph, firstNode)) growing.push(offset)
      const own = template[node] as number
      if (inTurns?.begins[own]) turns.begins.push(offset)
      if (inTurns?.awaited[own]) turns.of.set(offset, turns.begins.length - 1)
      // The edge from the action before stands in each block anew, and so do those from turns of blocks before.
      let skip = place !== undefined && node === firstNode ? previousEnd(graph, part) : -1
      if (skip >= 0) skip = leaderOf(skip)
      for (let edge = work.edgeStart[node] as number; edge < (work.edgeStart[node + 1] as number); edge++) {
        const source = work.edgeSource[edge] as number
        if (source === skip) {
          skip = -1
          continue
        }
        if (source >= firstNode && source < end) edgeSource.push(source - firstNode)
        else if (!inTurns?.begins[own] || !inTurns.awaited[template[source] as number]) {
          const at = partOf[source] as number
          const reference = { node: offset, part: at, offset: source - (parts[at]?.firstNode ?? 0) }
          if (places[source] === rank) add(outer, reference.offset, reference)
          else {
            arrivals.push(reference)
            awaited[source] = 1
          }
        }
      }
    }
    edgeStart[size] = edgeSource.length
    kinds.push({
      part,
      rank,
      firstNode,
      size,
      extra: [],
      stream,
      ticks: work.ticks.slice(firstNode, end),
      edgeStart,
      edgeSource: Uint32Array.from(edgeSource),
      outer,
      arrivals,
      awaited: awaited.subarray(firstNode, end),
      last,
      tail: leaderOf(lastComputing(graph, firstNode, end)) - firstNode,
      growing,
      turns,
    })
  }
  return kinds
}

/** Per part the first that is like it: of equal nodes that take as long and wait alike for each other and for other ranks. */
export function likeKinds(kinds: readonly BlockKind[], { graph }: Prepared): Int32Array {
  const like = new Int32Array(kinds.length)
  /** By what all of a block take together: steps of decode are many, and none takes what another does. */
  const known = new Map<number, BlockKind[]>()
  const same = (a: ArrayLike<number>, b: ArrayLike<number>) => {
    if (a.length !== b.length) return false
    for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return false
    return true
  }
  const templates = (kind: BlockKind) => graph.template.subarray(kind.firstNode, kind.firstNode + kind.size)
  const receives = (kind: BlockKind) => kind.arrivals.map(({ node }) => node)
  const isLike = (a: BlockKind, b: BlockKind) =>
    a.last === b.last &&
    a.tail === b.tail &&
    same(templates(a), templates(b)) &&
    same(a.ticks, b.ticks) &&
    same(a.stream, b.stream) &&
    same(a.edgeStart, b.edgeStart) &&
    same(a.edgeSource, b.edgeSource) &&
    same(a.awaited, b.awaited) &&
    same(a.growing, b.growing) &&
    same(receives(a), receives(b))
  for (const kind of kinds) {
    const sum = kind.ticks.reduce((all, each) => all + each, kind.size)
    const list = known.get(sum) ?? []
    known.set(sum, list)
    const found = list.find((each) => isLike(each, kind))
    if (!found) list.push(kind)
    like[kind.part] = (found ?? kind).part
  }
  return like
}

/** Splits parts that are like each other where they touch memory differently. */
export function alikeInMemory(like: Int32Array, { first, last, held }: Touches): Int32Array {
  const known = new Map<string, number>()
  const texts = new Map<readonly Touch[], string>()
  const text = (touches: readonly Touch[]) => {
    // Ranks that are alike share their lists.
    const own =
      texts.get(touches) ?? touches.map(({ id, nodes }) => `${held(id).part}:${held(id).bytes}:${nodes}`).join(' ')
    texts.set(touches, own)
    return own
  }
  return like.map((other, part) => {
    const key = `${other} ${text(first(part))} ${text(last(part))}`
    const found = known.get(key) ?? part
    known.set(key, found)
    return found
  })
}

/** The node with which the action before a part's has computed, from which a temporal edge leads into it; −1: it is its rank's first. */
function previousEnd(graph: Prepared['graph'], part: number): number {
  const { parts, edgeStart, edgeSource, edgeKind } = graph
  const [before, own] = [parts[part - 1], parts[part]]
  if (!own || before?.place === undefined) return -1
  const end = lastComputing(graph, before.firstNode, own.firstNode)
  for (let edge = edgeStart[own.firstNode] ?? 0; edge < (edgeStart[own.firstNode + 1] ?? 0); edge++)
    if (edgeKind[edge] === 1 && edgeSource[edge] === end) return end
  return -1
}

/** Of some nodes the last that computes, or the last. */
function lastComputing({ templates, template }: Prepared['graph'], from: number, to: number): number {
  for (let node = to - 1; node >= from; node--) if (templates[template[node] ?? 0]?.kind === 'compute') return node
  return to - 1
}

/** The iteration axis of the loop that a part stands in. */
function loopAxis(region: string | undefined, graph: Prepared['graph'], node: number): string | undefined {
  return region === undefined ? undefined : graph.iterationsOf(node)[0]?.axis
}

/** Adds to the list of a key. */
export function add<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key)
  if (list) list.push(value)
  else map.set(key, [value])
}
