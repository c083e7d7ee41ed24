import { lookup, type OperatorNode, type OperatorTable, type Place, type Program, walk } from '@shardloom/core'
import { programOf, type UnrolledGraph, unroll } from '@shardloom/core/unroll'
import { runEvents, type Times, type Work } from './event-loop.js'
import type { KnownKernels } from './kernels.js'
import { type Buffers, buffersOf, bytesOfBuffer } from './lifetimes.js'
import type { Machine } from './machine.js'
import { meterOf } from './measure.js'
import { type NodeTime, nodeTimes } from './node-time.js'
import { gated, prepare, ticksOf } from './prepare.js'
import { representatives } from './ranks.js'
import { savedTensors } from './saved.js'
import { ticksPerSecond } from './ticks.js'

/**
 * What a block of a step is: one layer of a kind, or what stands before (`first`) or behind (`last`) the layers, going forward (F) or
 * backward (B; I and W where a schedule tells them apart).
 */
export interface BlockName {
  readonly direction: 'F' | 'B' | 'I' | 'W'
  readonly part: string
}

/** One block of a sample: a layer, or one end of the model, in one direction on one rank. */
interface Block extends BlockName {
  readonly place: number
  /** Whether it follows a block of its own kind and direction: what it takes is what one more of them takes. */
  repeats: boolean
}

/**
 * A small program that stands for large ones: a model of a few layers of each kind, planned and unrolled once, whose kernels are then
 * timed in other sizes. What depends on sizes alone can change; what strategies decide cannot.
 */
export interface Sample {
  readonly program: Program
  readonly operators: OperatorTable
  readonly graph: UnrolledGraph
  readonly work: Work
  /** Per template the number of its stream; −1: none. */
  readonly stream: Int8Array
  readonly places: Int32Array
  readonly blocks: readonly Block[]
  /** Per node its block; −1: of none. */
  readonly blockOf: Int16Array
  /** Templates that move parameters and their gradients, whose time depends on how many ranks share them. */
  readonly ofState: readonly boolean[]
  /** What of kernels no size changes. */
  readonly bodies: KnownKernels
  /** By rank. */
  readonly buffers: readonly HeldBuffers[]
}

/** What the nodes of a rank touch, and who keeps what for backward. */
interface HeldBuffers extends Buffers {
  readonly byTemplate: readonly (readonly number[])[]
  /** Tensors that are kept for backward, each with the part of the model whose forward makes it. */
  readonly kept: readonly { readonly tensor: string; readonly part: string }[]
}

/** What one microbatch takes of a part of a model. */
export interface PartCost {
  /** By direction; 0 where it has none. */
  readonly seconds: Readonly<Record<BlockName['direction'], number>>
  /** Kept from forward to backward, in device memory. */
  readonly keptBytes: number
  /** The most that is there beside it while the part is at work. */
  readonly workingBytes: number
}

/** Unrolls a program of one microbatch to be timed in other sizes. Throws what `unroll` and `prepare` throw. */
export function sampleOf(program: Program, operators: OperatorTable, machine: Machine): Sample {
  const graph = unroll(program, { ranks: representatives(program) })
  const prepared = prepare(graph, program, operators, machine)
  const { stream, places } = prepared
  const isDivided = program.pipeline?.actions.some((actions) => /\d[IW]\d/.test(actions)) ?? false
  const named = partsOf(program)
  const names = graph.templates.map((node): BlockName | undefined => {
    const part = named.get(node.id)
    const direction = directionOf(node, isDivided)
    return part !== undefined && direction !== undefined ? { direction, part } : undefined
  })
  const blocks: Block[] = []
  const known = new Map<string, number>()
  const blockOf = new Int16Array(graph.nodeCount).fill(-1)
  for (let node = 0; node < graph.nodeCount; node++) {
    const name = names[graph.template[node] ?? 0]
    if (!name) continue
    const place = places[node] ?? 0
    const layer = graph.iterationsOf(node).find(({ axis }) => axis === 'layer')?.iteration ?? -1
    const key = `${place} ${name.direction} ${name.part} ${layer}`
    let index = known.get(key)
    if (index === undefined) {
      index = blocks.length
      const before = blocks.at(-1)
      const repeats = before?.place === place && before.direction === name.direction && before.part === name.part
      known.set(key, index)
      blocks.push({ ...name, place, repeats })
    }
    blockOf[node] = index
  }
  return {
    program,
    operators,
    graph,
    work: gated(prepared),
    stream,
    places,
    blocks,
    blockOf,
    ofState: graph.templates.map((node) => isOfState(node, program)),
    bodies: new Map(),
    buffers: graph.ranks.map((rank) => {
      const held = buffersOf(program, operators, rank)
      const part = program.pipeline ? programOf(program, rank) : program
      return { ...held, byTemplate: held.touchedBy(graph), kept: keptBy(program, part, operators, rank, named) }
    }),
  }
}

/** What a rank keeps for backward in device memory, each with the part whose backward reads it. */
function keptBy(
  whole: Program,
  { items }: Program,
  operators: OperatorTable,
  rank: number,
  named: ReadonlyMap<string, string>,
): HeldBuffers['kept'] {
  const readers = new Map<string, string>()
  const standing = new Map<string, Place>()
  walk(items, (node, place) => {
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

/** Whether a node moves parameters or their gradients. */
export function isOfState({ communication, inputs: [id = ''] }: OperatorNode, { tensors }: Program): boolean {
  const role = communication && lookup(tensors, id).role
  return role === 'parameter' || role === 'gradient'
}

/** The part of a model that each node of a microbatch belongs to: the kind of its layer, or an end of the model. */
export function partsOf(program: Program): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  const passed = new Set<string>()
  walk(program.items, (node, place) => {
    const layer = layerOf(place)
    if (layer !== undefined) {
      passed.add(node.segment)
      found.set(node.id, layer)
    } else if (place.path.some(({ region }) => region.axis === 'microbatch')) {
      const isBehind = passed.has(node.segment)
      found.set(node.id, (node.segment === 'backward') === isBehind ? 'first' : 'last')
    }
  })
  return found
}

/** The kind of layer that a place is in; layers at the borders of stages are of the kind that the others are of. */
export function layerOf({ path }: Place): string | undefined {
  const at = path.find(({ region }) => region.axis === 'layer')
  return at?.region.bodies[at.body]?.name.replace(/(-send|-recv)+$/, '')
}

function directionOf({ segment, gradient }: OperatorNode, isDivided: boolean): BlockName['direction'] | undefined {
  if (segment === 'optimizer') return undefined
  if (segment !== 'backward') return 'F'
  return !isDivided ? 'B' : gradient === 'weight' ? 'W' : 'I'
}

/**
 * What each part of a sample takes in the sizes of `program`, which differs from that of the sample in degrees and sizes alone. A layer
 * takes the time from the end of the one before, of its kind, to its own end. Communication of parameters and gradients takes no time
 * here, nor does what passes between stages. Linear in the nodes of the sample.
 */
export function partCosts(sample: Sample, program: Program, machine: Machine): ReadonlyMap<string, PartCost> {
  const { graph, places, stream, ofState, work } = sample
  const ticks = ticksIn(sample, program, machine)
  const lane = new Int32Array(graph.nodeCount)
  for (let node = 0; node < graph.nodeCount; node++) {
    const template = graph.template[node] ?? 0
    if (ofState[template] || passes(graph.templates[template])) ticks[node] = 0
    const own = stream[template] ?? -1
    lane[node] = own < 0 || ticks[node] === 0 ? -1 : (places[node] ?? 0) * work.streams + own
  }
  const times = runEvents({ ...work, ticks, lane })
  const costs = new Map<
    string,
    { seconds: Record<BlockName['direction'], number>; keptBytes: number; workingBytes: number }
  >()
  for (const { part } of sample.blocks)
    costs.set(part, { seconds: { F: 0, B: 0, I: 0, W: 0 }, keptBytes: 0, workingBytes: 0 })
  for (const { direction, part, seconds } of spans(sample, ticks, times)) {
    const cost = costs.get(part)
    if (cost) cost.seconds[direction] = seconds
  }
  graph.ranks.forEach((rank, place) => {
    const meter = meterOf(program, sample.operators, rank)
    const held = sample.buffers[place]
    if (!held) return
    for (const { tensor, part } of held.kept) {
      const cost = costs.get(part)
      if (cost && place === placeOf(sample, part)) cost.keptBytes += meter.bytes(lookup(program.tensors, tensor))
    }
    const bytes = Float64Array.from(held.buffers, ({ of }) => bytesOfBuffer(of, program, meter))
    for (const [block, peak] of workingPeaks(sample, place, held, bytes, times)) {
      const cost = costs.get(sample.blocks[block]?.part ?? '')
      if (cost) cost.workingBytes = Math.max(cost.workingBytes, peak)
    }
  })
  return costs
}

/** The first rank that runs a part. */
function placeOf({ blocks }: Sample, part: string): number {
  return blocks.find((block) => block.part === part)?.place ?? -1
}

function ticksIn({ graph, places, operators, bodies }: Sample, program: Program, machine: Machine): Float64Array {
  const kernels = new Map<string, NodeTime>()
  const byRank = graph.ranks.map((rank) =>
    nodeTimes(program, operators, machine, rank, { kernels, parts: new Map(), bodies }),
  )
  return ticksOf(graph, byRank, places)
}

/** What the blocks of a sample take: of those of one name one that follows its like, or the first. */
function spans({ graph, blocks, blockOf }: Sample, ticks: Float64Array, { start, end }: Times) {
  const begins = new Float64Array(blocks.length).fill(Number.POSITIVE_INFINITY)
  const ends = new Float64Array(blocks.length)
  for (let node = 0; node < graph.nodeCount; node++) {
    const block = blockOf[node] ?? -1
    if (block < 0 || ticks[node] === 0) continue
    begins[block] = Math.min(begins[block] as number, start[node] as number)
    ends[block] = Math.max(ends[block] as number, end[node] as number)
  }
  const final = new Float64Array(graph.ranks.length)
  const found = new Map<string, BlockName & { readonly seconds: number; readonly repeats: boolean }>()
  blocks.forEach(({ place, direction, part, repeats }, index) => {
    const before = final[place] as number
    const finish = Math.max(before, ends[index] as number)
    const seconds = Math.max(0, finish - Math.max(before, begins[index] as number)) / ticksPerSecond
    final[place] = finish
    const name = `${direction} ${part}`
    if (found.get(name)?.repeats !== true) found.set(name, { direction, part, repeats, seconds })
  })
  return found.values()
}

/** Per block the most bytes of what its nodes bring, with what is there then, but for what is kept for backward. */
function workingPeaks(
  { graph, places, blockOf }: Sample,
  place: number,
  { buffers, byTemplate, instance }: HeldBuffers,
  bytes: Float64Array,
  { start, end }: Times,
): ReadonlyMap<number, number> {
  const entries = new Map<number, { from: number; to: number; block: number; bytes: number }>()
  for (let node = places.indexOf(place); node < graph.nodeCount && places[node] === place; node++) {
    const touched = byTemplate[graph.template[node] ?? 0] ?? []
    if (touched.length === 0 || (blockOf[node] ?? -1) < 0) continue
    const iterations = graph.iterationsOf(node)
    for (const index of touched) {
      const part = buffers[index]?.part
      if (part !== 'working' && part !== 'buffers') continue
      const key = instance(index, iterations) * buffers.length + index
      const [from, to] = [start[node] as number, end[node] as number]
      const known = entries.get(key)
      if (!known) entries.set(key, { from, to, block: blockOf[node] as number, bytes: bytes[index] as number })
      else {
        if (from < known.from) {
          known.from = from
          known.block = blockOf[node] as number
        }
        known.to = Math.max(known.to, to)
      }
    }
  }
  const list = [...entries.values()].sort((a, b) => a.from - b.from)
  const gone = [...list].sort((a, b) => a.to - b.to)
  const peaks = new Map<number, number>()
  let [held, next] = [0, 0]
  for (const { from, block, bytes: own } of list) {
    for (let leaving = gone[next]; leaving && leaving.to <= from; leaving = gone[++next]) held -= leaving.bytes
    held += own
    peaks.set(block, Math.max(peaks.get(block) ?? 0, held))
  }
  return peaks
}

/** Whether a node hands something to another stage. */
const passes = (node: OperatorNode | undefined) =>
  (node?.op === 'send' || node?.op === 'recv') && node.communication?.shift === undefined
