import type { MemoryParts } from '@shardloom/simulator'
import { loadSpec, type Simulation, type SpecInput, simulateLoaded } from 'shardloom'

/** What a simulated step came to. Seconds and bytes. */
export interface Run {
  readonly seconds: number
  /** Of the stage that holds most, and of the first. */
  readonly peakBytes: number
  readonly first: MemoryParts
  readonly capacityBytes: number
  /** Seconds from one layer to the next, forward and backward, on the first rank. */
  readonly forwardLayer: number
  readonly backwardLayer: number
}

const known = new Map<string, Promise<Run>>()

/**
 * Simulates one step. Once a pipeline is full each further round of microbatches takes the same time, so that a step of many
 * is run with two and with three rounds, and goes on as the third did.
 */
export function run(spec: SpecInput): Promise<Run> {
  const key = JSON.stringify(spec)
  const found = known.get(key) ?? simulated(spec)
  known.set(key, found)
  return found
}

async function simulated(spec: SpecInput): Promise<Run> {
  const { dp = 1, pp = 1 } = spec.parallel ?? {}
  const perSlot = (spec.microbatch ?? 1) * dp
  const slots = (spec.batch ?? 1) / perSlot
  const round = pp
  if (slots <= 4 * round) return resultOf(await simulate(spec))
  const two = await simulate({ ...spec, batch: 2 * round * perSlot })
  const three = await simulate({ ...spec, batch: 3 * round * perSlot })
  const perRound = three.timeline.seconds - two.timeline.seconds
  return { ...resultOf(three), seconds: three.timeline.seconds + (slots / round - 3) * perRound }
}

async function simulate(spec: SpecInput): Promise<Simulation> {
  return simulateLoaded(await loadSpec(spec))
}

function resultOf({ timeline, memory, machine }: Simulation): Run {
  const [first] = memory
  if (!first) throw new Error('internal error: no rank was run')
  const [forwardLayer, backwardLayer] = (['forward', 'backward'] as const).map((segment) =>
    layerSeconds(timeline, segment),
  )
  return {
    seconds: timeline.seconds,
    peakBytes: Math.max(...memory.map(({ peakBytes }) => peakBytes)),
    first: first.parts,
    capacityBytes: machine.cluster.accelerator.memoryBytes,
    forwardLayer: forwardLayer ?? 0,
    backwardLayer: backwardLayer ?? 0,
  }
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
