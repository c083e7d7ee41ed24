import { walk } from '@shardloom/core'
import { type MemoryParts, ranksStoodFor, savedTensors } from '@shardloom/simulator'
import { loadSpec, type Simulation, type SpecInput, simulateLoaded } from 'shardloom'

/** What a simulated step came to. Seconds and bytes. */
export interface Run {
  readonly seconds: number
  /** What the step consists of, by what a rank does or waits for; means over ranks. Seconds. */
  readonly parts: Readonly<Record<string, number>>
  /** Of the stage that holds most, and of the first. */
  readonly peakBytes: number
  /**
   * What a caching allocator has at most: the most of each part, whenever that is, since what one part gives back is kept for tensors of
   * its sizes; and the place of logits in their own type. Backward of a loss by single operators frees them, and its copies in single
   * precision are larger.
   */
  readonly reservedBytes: number
  readonly first: MemoryParts
  readonly capacityBytes: number
  /** Seconds from one layer to the next on the first rank, worked out where they are asked for. */
  readonly layerSeconds: (segment: 'forward' | 'backward') => number
}

const known = new Map<string, Promise<Run>>()

/** Simulates one step; the same spec once. */
export function run(spec: SpecInput): Promise<Run> {
  const key = JSON.stringify(spec)
  const found = known.get(key) ?? simulated(spec)
  known.set(key, found)
  return found
}

async function simulated(spec: SpecInput): Promise<Run> {
  const simulation = simulateLoaded(await loadSpec(spec))
  const { step, machine } = simulation
  const [first] = step.ranks
  if (!first) throw new Error('internal error: no rank was run')
  return {
    seconds: step.seconds,
    parts: partsOf(simulation),
    peakBytes: Math.max(...step.ranks.map(({ memory }) => memory.peakBytes)),
    reservedBytes: Math.max(
      ...step.ranks.map(({ rank, memory }) =>
        Object.values(memory.most).reduce((sum, bytes) => sum + bytes, freedLogits(simulation, rank)),
      ),
    ),
    // What papers give for one part is the most of it, whenever that is.
    first: first.memory.most,
    capacityBytes: machine.cluster.accelerator.memoryBytes,
    layerSeconds: (segment) => layerSeconds(simulation.timeline, segment),
  }
}

/** Bytes of the logits that a rank keeps for the gradient of a loss by single operators. */
function freedLogits({ timed: { program, operators } }: Simulation, rank: number): number {
  const readers = new Set<string>()
  walk(program.items, ({ id, attributes }) => {
    if (attributes?.['scratch'] !== undefined) readers.add(id)
  })
  if (readers.size === 0) return 0
  const kept = savedTensors(program, operators, { rank }).filter((saved) => saved.readers.some((id) => readers.has(id)))
  return Math.max(0, ...kept.map(({ bytes }) => bytes))
}

/** Seconds in which ranks compute, wait for communication over an axis with nothing beside it, and wait for other stages. */
function partsOf({ step: { ranks }, machine, plan }: Simulation): Record<string, number> {
  const stoodFor = ranksStoodFor(
    machine,
    ranks.map(({ rank }) => rank),
  )
  const sums = new Map<string, number>()
  for (const [index, { computing, waiting, exposed }] of ranks.entries()) {
    const own = { computing, bubble: waiting, ...exposed }
    const share = (stoodFor[index] ?? 0) / plan.program.mesh.world
    for (const [part, seconds] of Object.entries(own)) sums.set(part, (sums.get(part) ?? 0) + share * seconds)
  }
  return Object.fromEntries(sums)
}

/** The mean over the middle layers of the first microbatch, from the start of one to that of the next. */
function layerSeconds({ graph, times, streamOf }: Simulation['timeline'], segment: 'forward' | 'backward'): number {
  const starts = new Map<number, number>()
  for (let node = 0; node < graph.nodeCount; node++) {
    const template = graph.templates[graph.template[node] ?? 0]
    if (template?.segment !== segment || graph.rankOf(node) !== graph.ranks[0]) continue
    if (streamOf(node) !== 'compute') continue
    const at = graph.iterationsOf(node)
    const layer = at.find(({ axis }) => axis === 'layer')?.iteration
    if (layer === undefined || at.find(({ axis }) => axis === 'microbatch')?.iteration) continue
    const start = times.start[node] ?? 0
    starts.set(layer, Math.min(starts.get(layer) ?? Number.POSITIVE_INFINITY, start))
  }
  const sorted = [...starts.values()].sort((a, b) => a - b)
  if (sorted.length < 5) return 0
  const [from = 0, to = 0] = [sorted[1], sorted.at(-2)]
  return (to - from) / (sorted.length - 3) / 1e12
}
