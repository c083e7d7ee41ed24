import { type OperatorNode, type OperatorTable, type Program, ShardloomError, walk } from '@shardloom/core'
import { programOf, type UnrolledGraph, unroll } from '@shardloom/core/unroll'
import { runEvents, type Times, type Work } from './event-loop.js'
import { choicesOf, type KnownKernels } from './kernels.js'
import { LocalSizes } from './local-sizes.js'
import type { Machine } from './machine.js'
import { isOfState, type KernelPlan, kernelPlan, type NodeTimes, type Recall, timesOfKernels } from './node-time.js'
import { gated, placesOf, prepareWith, ticksOf } from './prepare.js'
import { representatives } from './ranks.js'
import { copiesIn, copyTicks, type HostCopies, noCopies } from './sample-copies.js'
import { blockMemory, type HeldBuffers, heldBy, layerOf } from './sample-memory.js'
import { type KnownSizes, nothingKnown, SizedKernels } from './sized-kernels.js'
import { ticksPerSecond } from './ticks.js'

/**
 * What a block of a step is: one layer of a kind, or what stands before (`first`) or behind (`last`) the layers, going forward (F) or
 * backward (B; I and W where a schedule tells them apart).
 */
export interface BlockName {
  readonly direction: 'F' | 'B' | 'I' | 'W'
  readonly part: string
}

/** One block of a sample: a layer, or one end of the model, in one direction on one rank, in one iteration of what goes over all layers. */
export interface Block extends BlockName {
  readonly place: number
  /** The iteration of a loop over all layers, such as the chunks of a prompt: what they take adds up. −1: outside of any. */
  readonly round: number
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
  /** Templates that take no time here, see {@link isIdle}. */
  readonly idle: readonly boolean[]
  readonly ranks: readonly SampledRank[]
}

/** What of a rank of a sample no size changes. */
interface SampledRank {
  readonly part: Program
  readonly plan: KernelPlan
  /** The same with those kernels alone whose time is asked for. */
  readonly timed: KernelPlan
  readonly kernels: SizedKernels
  readonly sizes: LocalSizes
  readonly held: HeldBuffers
}

/** What one microbatch takes of a part of a model. */
export interface PartCost {
  /** By direction; 0 where it has none. Copies to and from the host take no time here. */
  readonly seconds: Readonly<Record<BlockName['direction'], number>>
  /** Of these seconds those in which the device computes. */
  readonly kernels: Readonly<Record<BlockName['direction'], number>>
  /** By direction, where it moves anything over the host link. */
  readonly copies: Readonly<Partial<Record<BlockName['direction'], HostCopies>>>
  /** Kept from forward to backward, in device memory. */
  readonly keptBytes: number
  /** Of these, and of what backward makes of them, what gradients of weights wait for where they come later. */
  readonly deferredBytes: number
  /** The most that is there beside it while the part is at work. */
  readonly workingBytes: number
  /** Of inference: what the KV cache has of the microbatch when the step ends. */
  readonly cacheBytes: number
}

/** Unrolls a program of one microbatch to be timed in other sizes. Throws what `unroll` throws. */
export function sampleOf(program: Program, operators: OperatorTable, machine: Machine): Sample {
  const graph = unroll(program, { ranks: representatives(program) })
  const named = partsOf(program)
  const bodies: KnownKernels = new Map()
  const ranks = graph.ranks.map((rank) => sampledRank(program, operators, machine, { rank, graph, named, bodies }))
  const places = placesOf(graph)
  const byRank = ranks.map(({ part, plan }, place): NodeTimes => {
    const rank = graph.ranks[place] ?? 0
    return { ...plan, times: timesOfKernels(plan, { program: part, operators, machine, rank }, findAll), between: [] }
  })
  // In the sample's own sizes nobody asks what its nodes take.
  const ticks = new Float64Array(graph.nodeCount).fill(1)
  const prepared = prepareWith(graph, program, machine, { byRank, alike: [...ranks.keys()], places, ticks })
  const { stream } = prepared
  const isDivided = program.pipeline?.actions.some((actions) => /\d[IW]\d/.test(actions)) ?? false
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
    const iterations = graph.iterationsOf(node)
    const layer = iterations.find(({ axis }) => axis === 'layer')?.iteration ?? -1
    const round = iterations.find(({ axis }) => axis !== 'layer' && axis !== 'microbatch')?.iteration ?? -1
    const key = `${place} ${name.direction} ${name.part} ${layer} ${round}`
    let index = known.get(key)
    if (index === undefined) {
      index = blocks.length
      const before = blocks.at(-1)
      const isLike = before?.direction === name.direction && before.part === name.part
      const repeats = isLike && before?.place === place && before.round === round
      known.set(key, index)
      blocks.push({ ...name, place, round, repeats })
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
    idle: graph.templates.map((node) => isIdle(node, program, named)),
    ranks,
  }
}

const findAll: Recall = { time: (_, find) => find(), payload: (_, find) => find() }

function sampledRank(
  whole: Program,
  operators: OperatorTable,
  machine: Machine,
  of: {
    readonly rank: number
    readonly graph: UnrolledGraph
    readonly named: ReadonlyMap<string, string>
    readonly bodies: KnownKernels
  },
): SampledRank {
  const { rank, bodies } = of
  const part = programOf(whole, rank)
  const plan = kernelPlan(part, operators, choicesOf(whole, machine.engine), bodies)
  const timed = { ...plan, kernels: plan.kernels.filter(({ lead }) => !isIdle(lead, part, of.named)) }
  const sizes = new LocalSizes(whole, rank)
  const kernels = new SizedKernels(timed, part, { whole, rank, sizes })
  return { part, plan, timed, kernels, sizes, held: heldBy(whole, operators, { ...of, sizes }) }
}

/**
 * Whether a node takes no time in a sample: where it moves state or passes something between stages, and where it belongs to no microbatch, as it
 * slows none down. Losses of a step are summed once, over ranks that do not matter to a microbatch.
 */
function isIdle(node: OperatorNode, program: Program, named: ReadonlyMap<string, string>): boolean {
  return node.segment === 'optimizer' || !named.has(node.id) || isOfState(node, program) || passes(node)
}

/**
 * The part of a model that each node of a microbatch belongs to: the kind of its layer, or an end of the model. All that inference does is
 * of some microbatch, without a loop over them where there is one.
 */
export function partsOf(program: Program): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  const passed = new Set<string>()
  walk(program.items, (node, place) => {
    const layer = layerOf(place)
    if (layer !== undefined) {
      passed.add(node.segment)
      found.set(node.id, layer)
    } else if (program.phase !== 'training' || place.path.some(({ region }) => region.axis === 'microbatch')) {
      const isBehind = passed.has(node.segment)
      found.set(node.id, (node.segment === 'backward') === isBehind ? 'first' : 'last')
    }
  })
  return found
}

function directionOf({ segment, gradient }: OperatorNode, isDivided: boolean): BlockName['direction'] | undefined {
  if (segment === 'optimizer') return undefined
  if (segment !== 'backward') return 'F'
  return !isDivided ? 'B' : gradient === 'weight' ? 'W' : 'I'
}

/**
 * What each part of a sample takes in the sizes of `program`, which differs from that of the sample in degrees and sizes alone. A layer
 * takes the time from the end of the one before, of its kind, to its own end. Communication of parameters and gradients takes no time
 * here, nor does what passes between stages, nor what belongs to no microbatch. Linear in the nodes of the sample.
 */
export function partCosts(
  sample: Sample,
  program: Program,
  machine: Machine,
  batch: number,
  sizes: KnownSizes = nothingKnown(),
): ReadonlyMap<string, PartCost> {
  const { graph, places, stream, idle, work } = sample
  const growths = sample.ranks.map(({ sizes }) => sizes.growths(program.mesh, batch))
  const ticks = ticksIn(sample, program, machine, growths, sizes)
  const copied = copyTicks(graph, ticks)
  const lane = new Int32Array(graph.nodeCount)
  for (let node = 0; node < graph.nodeCount; node++) {
    const template = graph.template[node] ?? 0
    if (idle[template] || copied?.[node]) ticks[node] = 0
    const own = stream[template] ?? -1
    lane[node] = own < 0 || ticks[node] === 0 ? -1 : (places[node] ?? 0) * work.streams + own
  }
  const times = runEvents({ ...work, ticks, lane })
  if (times.ran < graph.nodeCount) throw stuck(sample, times)
  const seconds = new Map<string, Record<BlockName['direction'], number>>()
  const copies = new Map<string, { [Direction in BlockName['direction']]?: HostCopies }>()
  const standing = [...spans(sample, ticks, times)]
  for (const { part } of sample.blocks) seconds.set(part, { F: 0, B: 0, I: 0, W: 0 })
  const kernels = new Map(Array.from(seconds.keys(), (part) => [part, { F: 0, B: 0, I: 0, W: 0 }]))
  const computing = computingIn(sample, lane, times)
  for (const { direction, part, seconds: taken, ...span } of standing) {
    const own = seconds.get(part)
    if (own) own[direction] += taken
    const inKernels = kernels.get(part)
    if (inKernels) inKernels[direction] += Math.min(taken, computing[span.block] as number)
    if (!copied) continue
    const moved = copiesIn(sample, span, copied, times, ({ bytes }, index, place) => {
      const { value = 0, share = 0 } = bytes[index] ?? {}
      return value * (growths[place]?.[share] ?? 1)
    })
    if (moved.seconds > 0) copies.set(part, { ...copies.get(part), [direction]: moved })
  }
  // Many are told apart by what they take alone.
  let known: ReturnType<typeof partMemory> | undefined
  const memory = (part: string) => {
    known ??= partMemory(sample, growths, times)
    return known.get(part) ?? noMemory
  }
  return new Map(
    Array.from(seconds, ([part, own]): [string, PartCost] => [
      part,
      {
        seconds: own,
        kernels: kernels.get(part) ?? own,
        copies: copies.get(part) ?? noCopies,
        get keptBytes() {
          return memory(part).keptBytes
        },
        get deferredBytes() {
          return memory(part).deferredBytes
        },
        get workingBytes() {
          return memory(part).workingBytes
        },
        get cacheBytes() {
          return memory(part).cacheBytes
        },
      },
    ]),
  )
}

type PartMemory = { -readonly [Field in keyof Omit<PartCost, 'seconds' | 'kernels' | 'copies'>]: number }

const noMemory: PartMemory = { keptBytes: 0, deferredBytes: 0, workingBytes: 0, cacheBytes: 0 }

/** What each part of a sample holds in sizes that have grown so, its nodes at these times. */
function partMemory(sample: Sample, growths: readonly Float64Array[], times: Times): ReadonlyMap<string, PartMemory> {
  const found = new Map<string, PartMemory>()
  for (const { part } of sample.blocks) found.set(part, { ...noMemory })
  sample.ranks.forEach(({ held }, place) => {
    const grown = ({ value, share }: { readonly value: number; readonly share: number }) =>
      value * (growths[place]?.[share] ?? 1)
    for (const { part, ...bytes } of held.kept) {
      const memory = found.get(part)
      if (memory && place === placeOf(sample, part)) memory.keptBytes += grown(bytes)
    }
    for (const { part, ...bytes } of held.cached) {
      const memory = found.get(part)
      if (memory && place === placeOf(sample, part)) memory.cacheBytes += grown(bytes)
    }
    const bytes = Float64Array.from(held.bytes, grown)
    for (const { block, workingBytes, deferredBytes } of blockMemory(sample, place, held, bytes, times)) {
      const part = sample.blocks[block]?.part ?? ''
      const memory = found.get(part)
      if (!memory) continue
      memory.workingBytes = Math.max(memory.workingBytes, workingBytes)
      if (place === placeOf(sample, part)) memory.deferredBytes = Math.max(memory.deferredBytes, deferredBytes)
    }
  })
  return found
}

function stuck({ graph }: Sample, { status }: Times): ShardloomError {
  const node = status.findIndex((each) => each !== 3)
  return new ShardloomError('DEADLOCK', `\`${graph.idOf(node)}\` waits for ever.`, { subject: graph.idOf(node) })
}

/** The first rank that runs a part. */
function placeOf({ blocks }: Sample, part: string): number {
  return blocks.find((block) => block.part === part)?.place ?? -1
}

function ticksIn(
  { graph, places, operators, ranks }: Sample,
  program: Program,
  machine: Machine,
  growths: readonly Float64Array[],
  known: KnownSizes,
): Float64Array {
  const { mesh, tensors } = program
  const numbers = representatives(program)
  const byRank = ranks.map(({ part, timed: plan, kernels }, place) => {
    const recall = kernels.recall(growths[place] ?? noGrowth, known)
    const sized = { program: { ...part, mesh, tensors }, operators, machine, rank: numbers[place] ?? 0 }
    return { times: timesOfKernels(plan, sized, recall), leads: plan.leads, order: plan.order, between: [] }
  })
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
  type Span = BlockName & {
    readonly seconds: number
    readonly repeats: boolean
    readonly block: number
    readonly begin: number
  }
  const found = new Map<string, Span>()
  blocks.forEach(({ place, direction, part, round, repeats }, block) => {
    const before = final[place] as number
    const finish = Math.max(before, ends[block] as number)
    const begin = Math.max(before, begins[block] as number)
    const seconds = Math.max(0, finish - begin) / ticksPerSecond
    final[place] = finish
    const name = `${direction} ${part} ${round}`
    if (found.get(name)?.repeats !== true) found.set(name, { direction, part, repeats, seconds, block, begin })
  })
  return found.values()
}

/** The seconds in which the device is busy with each block, with communication that nothing is computed beside. */
function computingIn({ graph, blocks, blockOf, work }: Sample, lane: Int32Array, { start, end }: Times): Float64Array {
  const seconds = new Float64Array(blocks.length)
  for (let node = 0; node < graph.nodeCount; node++) {
    const block = blockOf[node] ?? -1
    if (block < 0 || (lane[node] as number) < 0 || (lane[node] as number) % work.streams > 0) continue
    seconds[block] = (seconds[block] as number) + ((end[node] as number) - (start[node] as number)) / ticksPerSecond
  }
  return seconds
}

/** Whether a node hands something to another stage. */
const passes = ({ op, communication }: OperatorNode) =>
  (op === 'send' || op === 'recv') && communication?.shift === undefined

const noGrowth = new Float64Array()
