import { bodyCounts, lookup, type OperatorTable, type Program, regionsOf, type Tensor, walk } from '@shardloom/core'
import { programOf, wholeId } from '@shardloom/core/unroll'
import { type Lifetimes, lifetimesOf, type PassingPart, passingParts } from './lifetimes.js'
import { storedOn } from './measure.js'
import { type Meter, meterOf } from './meter.js'
import type { Timeline } from './simulate.js'
import { ticksPerSecond } from './ticks.js'

/** What a rank's memory holds at one time, in bytes. */
export interface MemoryParts {
  readonly parameters: number
  /** Accumulated over microbatches, from the first that adds to them until the optimizer has read them. */
  readonly gradients: number
  /** Master copies and moments. */
  readonly optimizer: number
  /** What forward keeps for backward. */
  readonly activations: number
  /** The KV cache, as long as it gets in the step. */
  readonly cache: number
  /** What communication has made and somebody is yet to read; parameters that were gathered. All-reduces work in place. */
  readonly buffers: number
  /** Everything else that nodes at work read and write. */
  readonly working: number
}

/** The most that a rank's memory holds, and when. */
export interface PeakMemory {
  readonly peakBytes: number
  readonly atSeconds: number
  /** At the peak. */
  readonly parts: MemoryParts
  /** The most of each part, whenever that is. */
  readonly most: MemoryParts
}

/** The memory of one rank over a step. */
export interface RankMemory extends PeakMemory {
  readonly rank: number
  /** What has come and not yet gone at the peak, the most bytes first: a tensor of the rolled program, and how many of it there are. */
  readonly alive: readonly {
    readonly tensor: string
    readonly part: PassingPart
    readonly count: number
    readonly bytes: number
  }[]
  readonly curve: MemoryCurve
}

/** What comes and goes in a rank's memory: the bytes of each part from each of these times on. */
export interface MemoryCurve {
  /** Ascending. */
  readonly seconds: Float64Array
  readonly parts: Readonly<Record<PassingPart, Float64Array>>
}

/**
 * The memory of each rank that a timeline has run, from the lifetimes of tensors on it: each is there from the start of the first
 * node that touches it to the end of the last, in its microbatch and layer. Parameters, optimizer state and the KV cache
 * stay. O(n log n) in the rank's nodes.
 */
export function memory(program: Program, operators: OperatorTable, timeline: Timeline): RankMemory[] {
  return timeline.ranks.map((rank) => {
    const lifetimes = lifetimesOf(program, operators, timeline, rank)
    const { ticks, parts } = curvesOf(lifetimes)
    const at = peakOf(ticks.length, parts)
    return {
      rank,
      ...peakMemory(storedParts(program, operators, rank), {
        at: ticks[at] ?? 0,
        parts: passingParts.map((part) => parts[part][at] ?? 0),
        most: passingParts.map((part) => parts[part].reduce((most, bytes) => Math.max(most, bytes), 0)),
      }),
      alive: aliveAt(lifetimes, ticks[at] ?? 0),
      curve: { seconds: ticks.map((tick) => tick / ticksPerSecond), parts },
    }
  })
}

/** What a rank holds all through the step. */
type StoredParts = Omit<MemoryParts, PassingPart>

/** The bytes that a rank holds all through the step. Linear in its rolled program. */
export function storedParts(whole: Program, operators: OperatorTable, rank: number): StoredParts {
  const program = programOf(whole, rank)
  const meter = meterOf(whole, operators, rank)
  const { parameterBytes, optimizerBytes } = storedOn(program, meter)
  return {
    parameters: Number(parameterBytes),
    optimizer: Number(optimizerBytes),
    cache: cacheBytes(program, meter),
  }
}

/** Puts what stays and what passes together: a moment in ticks, and bytes in the order of {@link passingParts}. */
export function peakMemory(
  stored: StoredParts,
  passing: { readonly at: number; readonly parts: readonly number[]; readonly most: readonly number[] },
): PeakMemory {
  const partsOf = ([gradients = 0, activations = 0, buffers = 0, working = 0]: readonly number[]): MemoryParts => ({
    ...stored,
    gradients,
    activations,
    buffers,
    working,
  })
  const parts = partsOf(passing.parts)
  return {
    peakBytes: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0),
    atSeconds: passing.at / ticksPerSecond,
    parts,
    most: partsOf(passing.most),
  }
}

/** The bytes of each part from each moment on at which anything comes or goes. What goes makes room for what comes then. */
function curvesOf({ buffers, buffer, from, to }: Lifetimes) {
  const all = new Float64Array(2 * buffer.length)
  all.set(from)
  all.set(to, buffer.length)
  all.sort()
  const ticks = all.filter((tick, index) => index === 0 || tick !== all[index - 1])
  const parts: Record<PassingPart, Float64Array> = {
    gradients: new Float64Array(ticks.length),
    activations: new Float64Array(ticks.length),
    buffers: new Float64Array(ticks.length),
    working: new Float64Array(ticks.length),
  }
  buffer.forEach((index, entry) => {
    const { part = 'working', bytes = 0 } = buffers[index] ?? {}
    const list = parts[part]
    const [come, go] = [placeOf(ticks, from[entry] ?? 0), placeOf(ticks, to[entry] ?? 0)]
    list[come] = (list[come] ?? 0) + bytes
    list[go] = (list[go] ?? 0) - bytes
  })
  for (const part of passingParts) {
    const list = parts[part]
    for (let at = 1; at < list.length; at++) list[at] = (list[at] ?? 0) + (list[at - 1] ?? 0)
  }
  return { ticks, parts }
}

/** Where a value stands in an ascending list that has it. */
function placeOf(list: Float64Array, value: number): number {
  let [low, high] = [0, list.length - 1]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((list[middle] ?? 0) < value) low = middle + 1
    else high = middle
  }
  return low
}

/** The first moment at which all parts together are most. */
function peakOf(moments: number, parts: Readonly<Record<PassingPart, Float64Array>>): number {
  let [most, found] = [-1, 0]
  for (let at = 0; at < moments; at++) {
    const sum = passingParts.reduce((total, part) => total + (parts[part][at] ?? 0), 0)
    if (sum <= most) continue
    most = sum
    found = at
  }
  return found
}

function aliveAt({ buffers, buffer, from, to }: Lifetimes, at: number): RankMemory['alive'] {
  const counts = new Map<number, number>()
  buffer.forEach((index, entry) => {
    if ((from[entry] ?? 0) > at || (to[entry] ?? 0) <= at) return
    counts.set(index, (counts.get(index) ?? 0) + 1)
  })
  const found = new Map<string, RankMemory['alive'][number]>()
  for (const [index, count] of counts) {
    const { tensor: own = '', part = 'working', bytes = 0 } = buffers[index] ?? {}
    if (bytes === 0) continue
    const tensor = wholeId(own)
    const known = found.get(`${tensor} ${part}`) ?? { tensor, part, count: 0, bytes: 0 }
    found.set(`${tensor} ${part}`, { ...known, count: known.count + count, bytes: known.bytes + bytes * count })
  }
  return [...found.values()].sort((a, b) => b.bytes - a.bytes || (a.tensor < b.tensor ? -1 : 1))
}

/** How often there is a tensor: once for each iteration of its axes, of layers those that run its body, where not all do. */
function timesOf({ items }: Program, { per, body }: Tensor): number {
  const regions = regionsOf(items)
  return per.reduce((times, axis) => {
    const along = regions.filter((region) => region.axis === axis)
    for (const region of along) {
      const index = region.bodies.findIndex(({ name }) => name === body)
      if (index >= 0) return times * (bodyCounts(region)[index] ?? 0)
    }
    return times * (along[0]?.extent ?? 1)
  }, 1)
}

/** The KV cache that a rank holds when the step ends. */
function cacheBytes(program: Program, meter: Meter): number {
  let sum = 0
  for (const [id, times] of cacheTensors(program)) sum += meter.bytes(lookup(program.tensors, id)) * times
  return sum
}

/**
 * The tensors that the KV cache of a rank is when the step ends, each with how many there are of it: of what is carried the last state, of
 * what is written all of it.
 */
export function cacheTensors(program: Program): ReadonlyMap<string, number> {
  const counted = new Map<string, number>()
  if (![...program.tensors.values()].some(({ role }) => role === 'cache')) return counted
  const carried = new Set(
    regionsOf(program.items).flatMap(({ ports }) =>
      ports.flatMap((port) => (port.kind === 'carry' ? [port.initial, port.inner, ...port.next] : [])),
    ),
  )
  // Halves are in the place of what they become.
  walk(program.items, ({ op, inputs }) => {
    if (op === 'join_halves') for (const id of inputs) carried.add(id)
  })
  const add = (id: string, times: number) => {
    const tensor = lookup(program.tensors, id)
    if (tensor.role !== 'cache' || carried.has(id) || tensor.versionOf !== undefined) return
    counted.set(id, Math.max(counted.get(id) ?? 0, times))
  }
  walk(program.items, ({ inputs, outputs }, { executions }) => {
    for (const id of [...inputs, ...outputs]) add(id, executions)
  })
  for (const { ports } of regionsOf(program.items))
    for (const port of ports) {
      if (port.kind !== 'carry') continue
      const result = lookup(program.tensors, port.result)
      if (result.role === 'cache') counted.set(port.result, timesOf(program, result))
    }
  return counted
}
