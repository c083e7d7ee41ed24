import { lookup, type OperatorTable, type Program, regionsOf, walk } from '@shardloom/core'
import { programOf } from '@shardloom/core/unroll'
import { type Meter, meterOf, storedOn } from './measure.js'
import { savedTensors } from './saved.js'
import type { Timeline } from './simulate.js'
import type { RankStep } from './step.js'
import { ticksPerSecond } from './ticks.js'

/** What a rank's memory holds at one time, in bytes. */
export interface MemoryParts {
  readonly parameters: number
  /** Accumulated over microbatches, until the optimizer reads them. */
  readonly gradients: number
  /** Master copies and moments. */
  readonly optimizer: number
  /** What forward keeps for backward. */
  readonly activations: number
  /** The KV cache, as long as it gets in the step. */
  readonly cache: number
  /** Operands and results of the largest node, as far as nobody keeps them. */
  readonly working: number
}

/** The most that a rank holds at a time in a step, and when. */
export interface PeakMemory {
  readonly rank: number
  readonly peakBytes: number
  readonly atSeconds: number
  readonly parts: MemoryParts
}

/** The memory of one rank over a step. */
export interface RankMemory extends PeakMemory {
  /** What forward has kept at the peak, the most bytes first: a tensor of the rolled program, and how many of it there are. */
  readonly alive: readonly { readonly tensor: string; readonly count: number; readonly bytes: number }[]
  /** Bytes of activations from each of these times on: seconds, ascending. */
  readonly curve: readonly { readonly seconds: number; readonly bytes: number }[]
}

/**
 * The memory of each rank that a timeline has run, from the lifetimes of tensors on it: what forward keeps for backward is there
 * from the first node that touches it in its microbatch and layer to the end of the last. All else stays for the step.
 */
export function memory(program: Program, operators: OperatorTable, timeline: Timeline): RankMemory[] {
  return timeline.ranks.map((rank) => {
    const saved = savedTensors(program, operators, { rank }).filter(({ host }) => !host)
    const peak = peakOf(livesOf(timeline, rank, saved))
    return {
      ...heldBy(program, operators, rank, saved, peak.bytes, peak.at / ticksPerSecond),
      alive: peak.alive,
      curve: peak.curve,
    }
  })
}

/** The most that a rank holds, from the most that forward keeps on it at a time. */
export function peakMemory(
  program: Program,
  operators: OperatorTable,
  { rank, activations }: Pick<RankStep, 'rank' | 'activations'>,
): PeakMemory {
  const saved = savedTensors(program, operators, { rank }).filter(({ host }) => !host)
  return heldBy(program, operators, rank, saved, activations.bytes, activations.atSeconds)
}

function heldBy(
  program: Program,
  operators: OperatorTable,
  rank: number,
  saved: ReturnType<typeof savedTensors>,
  activations: number,
  atSeconds: number,
): PeakMemory {
  const own = programOf(program, rank)
  const meter = meterOf(program, operators, rank)
  const stored = storedOn(own, meter)
  const parts = {
    parameters: Number(stored.parameterBytes),
    gradients: Number(stored.gradientBytes),
    optimizer: Number(stored.optimizerBytes),
    cache: cacheBytes(own, meter),
    working: workingBytes(own, meter, new Set(saved.map(({ version }) => version))),
    activations,
  }
  return { rank, peakBytes: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0), atSeconds, parts }
}

interface Life {
  readonly tensor: string
  readonly bytes: number
  from: number
  to: number
}

/** The lifetime of each value that is kept: one for every iteration of the axes that it is there once for. */
function livesOf({ graph, times }: Timeline, rank: number, saved: ReturnType<typeof savedTensors>): Life[] {
  const touched = new Map<string, number[]>()
  saved.forEach(({ version }, index) => {
    const list = touched.get(version)
    if (list) list.push(index)
    else touched.set(version, [index])
  })
  const byTemplate = graph.templates.map(({ inputs, outputs }) => [
    ...new Set([...inputs, ...outputs].flatMap((id) => touched.get(id) ?? [])),
  ])
  const lives = new Map<string, Life>()
  for (let node = 0; node < graph.nodeCount; node++) {
    const indices = byTemplate[graph.template[node] ?? 0] ?? []
    if (indices.length === 0 || graph.rankOf(node) !== rank) continue
    const iterations = graph.iterationsOf(node)
    const [from, to] = [times.start[node] ?? 0, times.end[node] ?? 0]
    for (const index of indices) {
      const each = saved[index]
      if (!each) continue
      const at = each.per.map((axis) => iterations.find((one) => one.axis === axis)?.iteration)
      const key = `${each.version} ${at}`
      const known = lives.get(key)
      if (known) {
        known.from = Math.min(known.from, from)
        known.to = Math.max(known.to, to)
      } else lives.set(key, { tensor: each.tensor, bytes: each.bytes, from, to })
    }
  }
  return [...lives.values()]
}

function peakOf(lives: readonly Life[]) {
  const events = lives.flatMap(({ bytes, from, to }) => [
    { at: from, bytes },
    { at: to, bytes: -bytes },
  ])
  // What ends makes room before what begins at the same time takes it.
  events.sort((a, b) => a.at - b.at || a.bytes - b.bytes)
  const curve: { seconds: number; bytes: number }[] = []
  let [now, most, at] = [0, 0, 0]
  for (const event of events) {
    now += event.bytes
    const seconds = event.at / ticksPerSecond
    const last = curve.at(-1)
    if (last?.seconds === seconds) last.bytes = now
    else curve.push({ seconds, bytes: now })
    if (now > most) {
      most = now
      at = event.at
    }
  }
  const alive = new Map<string, { count: number; bytes: number }>()
  for (const { tensor, bytes, from, to } of lives) {
    if (from > at || to <= at) continue
    const known = alive.get(tensor) ?? { count: 0, bytes: 0 }
    alive.set(tensor, { count: known.count + 1, bytes: known.bytes + bytes })
  }
  const list = [...alive].map(([tensor, each]) => ({ tensor, ...each }))
  return { bytes: most, at, curve, alive: list.sort((a, b) => b.bytes - a.bytes || (a.tensor < b.tensor ? -1 : 1)) }
}

/** The KV cache that a rank holds when the step ends: of what is carried the last state, of what is written all of it. */
function cacheBytes(program: Program, meter: Meter): number {
  const counted = new Map<string, number>()
  const carried = new Set(
    regionsOf(program.items).flatMap(({ ports }) =>
      ports.flatMap((port) => (port.kind === 'carry' ? [port.initial, port.inner, ...port.next] : [])),
    ),
  )
  const add = (id: string, times: number) => {
    const tensor = lookup(program.tensors, id)
    if (tensor.role !== 'cache' || carried.has(id) || tensor.versionOf !== undefined) return
    counted.set(id, Math.max(counted.get(id) ?? 0, meter.bytes(tensor) * times))
  }
  walk(program.items, ({ inputs, outputs }, { executions }) => {
    for (const id of [...inputs, ...outputs]) add(id, executions)
  })
  for (const { ports } of regionsOf(program.items))
    for (const port of ports) {
      if (port.kind !== 'carry') continue
      const result = lookup(program.tensors, port.result)
      const layers = regionsOf(program.items).find(({ axis }) => result.per.includes(axis))?.extent ?? 1
      if (result.role === 'cache') counted.set(port.result, meter.bytes(result) * layers)
    }
  return [...counted.values()].reduce((sum, bytes) => sum + bytes, 0)
}

/** The most that one node reads and writes of what is neither kept nor stored. */
function workingBytes(program: Program, meter: Meter, kept: ReadonlySet<string>): number {
  let most = 0
  walk(program.items, ({ inputs, outputs, fusion }) => {
    // Between the nodes of one kernel nothing is in memory.
    if (fusion !== undefined) return
    let bytes = 0
    for (const id of new Set([...inputs, ...outputs])) {
      const tensor = lookup(program.tensors, id)
      const isStored = tensor.versionOf === undefined && tensor.role !== 'activation' && tensor.role !== 'gradient'
      if (!kept.has(id) && !isStored) bytes += meter.bytes(tensor)
    }
    most = Math.max(most, bytes)
  })
  return most
}
