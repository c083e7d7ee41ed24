import { lookup, type OperatorTable, type Place, type Program, regionsOf, walk } from '@shardloom/core'
import { programOf, type UnrolledGraph } from '@shardloom/core/unroll'
import type { Times } from './event-loop.js'
import { type Buffers, buffersOf } from './lifetimes.js'
import type { LocalSizes } from './local-sizes.js'
import { cacheTensors } from './memory.js'
import { meterOf } from './meter.js'
import type { Sample } from './sample.js'
import { savedTensors } from './saved.js'

/** What the nodes of a rank touch, and who keeps what for backward. */
export interface HeldBuffers extends Buffers {
  readonly byTemplate: readonly (readonly number[])[]
  /** By buffer: its bytes in the sample, and by which kind of share they change. */
  readonly bytes: readonly { readonly value: number; readonly share: number }[]
  /** What is kept for backward, each with the part of the model whose backward reads it. */
  readonly kept: readonly { readonly part: string; readonly value: number; readonly share: number }[]
  /** What is in the KV cache when the step ends, each with the part of the model that writes it; of a kind of layer, of one. */
  readonly cached: readonly { readonly part: string; readonly value: number; readonly share: number }[]
}

/** Finds what a rank of a sample holds. Linear in its nodes. */
export function heldBy(
  whole: Program,
  operators: OperatorTable,
  of: {
    readonly rank: number
    readonly graph: UnrolledGraph
    readonly named: ReadonlyMap<string, string>
    readonly sizes: LocalSizes
  },
): HeldBuffers {
  const { rank, graph, named, sizes } = of
  const meter = meterOf(whole, operators, rank)
  const held = buffersOf(whole, operators, rank)
  const bytes = held.buffers.map(({ of, bytes: value }) => {
    const tensor = lookup(whole.tensors, 'op' in of ? (of.outputs[0] ?? '') : of.id)
    return { value, share: sizes.shareOf(tensor) }
  })
  const sized = ({ tensor, part }: { readonly tensor: string; readonly part: string }) => {
    const own = lookup(whole.tensors, tensor)
    return { part, value: meter.bytes(own), share: sizes.shareOf(own) }
  }
  const kept = keptBy(whole, operators, rank, named).map(sized)
  const cached = cachedBy(whole, rank, named).map(sized)
  return { ...held, byTemplate: held.touchedBy(graph), bytes, kept, cached }
}

/** The tensors of a rank's KV cache, each with the part whose nodes read or write it, or what it is carried from. */
function cachedBy(
  whole: Program,
  rank: number,
  named: ReadonlyMap<string, string>,
): { readonly tensor: string; readonly part: string }[] {
  const program = programOf(whole, rank)
  const parts = new Map<string, string>()
  walk(program.items, ({ id: node, inputs, outputs }) => {
    const part = named.get(node)
    if (part !== undefined) for (const id of [...inputs, ...outputs]) parts.set(id, part)
  })
  for (const { ports } of regionsOf(program.items))
    for (const port of ports) {
      if (port.kind !== 'carry') continue
      const part = parts.get(port.inner)
      if (part !== undefined) parts.set(port.result, part)
    }
  return [...cacheTensors(program).keys()].flatMap((tensor) => {
    const part = parts.get(tensor)
    return part === undefined ? [] : [{ tensor, part }]
  })
}

/** What a rank keeps for backward in device memory, each with the part whose backward reads it. */
function keptBy(
  whole: Program,
  operators: OperatorTable,
  rank: number,
  named: ReadonlyMap<string, string>,
): { readonly tensor: string; readonly part: string }[] {
  const readers = new Map<string, string>()
  const standing = new Map<string, Place>()
  walk(programOf(whole, rank).items, (node, place) => {
    const part = node.segment === 'backward' ? named.get(node.id) : undefined
    if (part === undefined) return
    // Of a kind of layer the first body stands for all.
    if (layerOf(place) !== undefined && (standing.get(part) ?? place) !== place) return
    standing.set(part, place)
    readers.set(node.id, part)
  })
  return savedTensors(whole, operators, { rank }).flatMap(({ version, host, readers: all }) => {
    const part = all.map((id) => readers.get(id)).find((each) => each !== undefined)
    return part === undefined || host || lookup(whole.tensors, version).role === 'parameter'
      ? []
      : [{ tensor: version, part }]
  })
}

/** The kind of layer that a place is in; layers at the borders of stages are of the kind that the others are of. */
export function layerOf({ path }: Place): string | undefined {
  const at = path.find(({ region }) => region.axis === 'layer')
  return at?.region.bodies[at.body]?.name.replace(/(-send|-recv)+$/, '')
}

/** What a block holds beside what is kept for backward, at most, and what it has waited for in a block of backward before. */
interface BlockMemory {
  readonly block: number
  readonly workingBytes: number
  readonly deferredBytes: number
}

interface Entry {
  from: number
  to: number
  /** The blocks of the first node that touches it, and of the last. */
  first: number
  last: number
  readonly kept: boolean
  readonly bytes: number
}

/** The memory of the blocks of one rank. O(n log n) in its nodes. */
export function blockMemory(
  { graph, places, blockOf, blocks }: Pick<Sample, 'graph' | 'places' | 'blockOf' | 'blocks'>,
  place: number,
  { buffers, byTemplate, instance }: HeldBuffers,
  bytes: Float64Array,
  { start, end }: Times,
): BlockMemory[] {
  const entries = new Map<number, Entry>()
  for (let node = places.indexOf(place); node < graph.nodeCount && places[node] === place; node++) {
    const touched = byTemplate[graph.template[node] ?? 0] ?? []
    const block = blockOf[node] ?? -1
    if (touched.length === 0 || block < 0) continue
    const iterations = graph.iterationsOf(node)
    const [from, to] = [start[node] as number, end[node] as number]
    for (const index of touched) {
      const part = buffers[index]?.part
      if (part === 'gradients') continue
      const key = instance(index, iterations) * buffers.length + index
      const known = entries.get(key)
      if (!known) {
        const kept = part === 'activations'
        entries.set(key, { from, to, first: block, last: block, kept, bytes: bytes[index] as number })
        continue
      }
      if (from < known.from) {
        known.from = from
        known.first = block
      }
      if (to >= known.to) {
        known.to = to
        known.last = block
      }
    }
  }
  const found = new Map<number, { block: number; workingBytes: number; deferredBytes: number }>()
  const of = (block: number) => {
    const known = found.get(block) ?? { block, workingBytes: 0, deferredBytes: 0 }
    found.set(block, known)
    return known
  }
  const isDeferred = ({ first, last }: Entry) => blocks[last]?.direction === 'W' && first !== last
  for (const entry of entries.values()) if (isDeferred(entry)) of(entry.last).deferredBytes += entry.bytes
  const list = [...entries.values()].filter((each) => !each.kept && !isDeferred(each)).sort((a, b) => a.from - b.from)
  const gone = [...list].sort((a, b) => a.to - b.to)
  let [held, next] = [0, 0]
  for (const { from, first, bytes: own } of list) {
    for (let leaving = gone[next]; leaving && leaving.to <= from; leaving = gone[++next]) held -= leaving.bytes
    held += own
    const block = of(first)
    block.workingBytes = Math.max(block.workingBytes, held)
  }
  return [...found.values()]
}
