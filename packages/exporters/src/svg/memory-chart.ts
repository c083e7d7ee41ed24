import { coordinateOf, type Program } from '@shardloom/core'
import type { RankMemory } from '@shardloom/simulator'
import { cutMiddle, formatBytes, formatCount } from '../format.js'
import type { MemoryBand } from '../tokens.js'

/** The memory of one rank over a step, in steps. */
export interface MemoryPanel {
  readonly name: string
  /** Seconds, ascending; each value holds until the next moment, the last until the end. */
  readonly seconds: readonly number[]
  /** Bytes at each of these moments, bottom up. */
  readonly bands: readonly { readonly band: MemoryBand; readonly bytes: readonly number[] }[]
  readonly end: number
  readonly peak: { readonly seconds: number; readonly bytes: number }
  /** What is alive at the peak, a line each, the largest first. */
  readonly flag: readonly string[]
}

/** How parts of memory are called where they are drawn. */
export const bandNames: Readonly<Record<MemoryBand, string>> = {
  parameters: 'parameters',
  gradients: 'gradients',
  optimizer: 'optimizer',
  cache: 'KV cache',
  activations: 'activations',
  buffers: 'buffers',
  temporary: 'temporary',
}

/** Lines of tensors that a flag has room for. */
const mostAlive = 4
/** Parts under this share of the peak are not worth a line. */
const noticeable = 0.002

/** The memory of a rank as a panel; `end` is the length of the step in seconds. */
export function memoryPanel(
  { rank, curve, parts, peakBytes, atSeconds, alive }: RankMemory,
  program: Program,
  end: number,
): MemoryPanel {
  // A curve that begins later has nothing but what is stored before.
  const early = (curve.seconds[0] ?? 1) > 0
  const seconds = early ? [0, ...curve.seconds] : [...curve.seconds]
  const passing = (list: Float64Array) => (early ? [0, ...list] : [...list])
  const constant = (bytes: number) => seconds.map(() => bytes)
  const all: readonly (readonly [MemoryBand, readonly number[]])[] = [
    ['parameters', constant(parts.parameters)],
    ['gradients', passing(curve.parts.gradients)],
    ['optimizer', constant(parts.optimizer)],
    ['cache', constant(parts.cache)],
    ['activations', passing(curve.parts.activations)],
    ['buffers', passing(curve.parts.buffers)],
    ['temporary', passing(curve.parts.working)],
  ]
  const name = program.pipeline ? `stage ${coordinateOf(program, rank)}` : `rank ${rank}`
  const atPeak: readonly (readonly [MemoryBand, number])[] = [
    ['parameters', parts.parameters],
    ['gradients', parts.gradients],
    ['optimizer', parts.optimizer],
    ['cache', parts.cache],
    ['activations', parts.activations],
    ['buffers', parts.buffers],
    ['temporary', parts.working],
  ]
  const held = atPeak.filter(([, bytes]) => bytes > peakBytes * noticeable).sort((a, b) => b[1] - a[1])
  const largest = alive.slice(0, mostAlive)
  return {
    name,
    seconds,
    bands: all.flatMap(([band, bytes]) => (bytes.some((each) => each > 0) ? [{ band, bytes }] : [])),
    end,
    peak: { seconds: atSeconds, bytes: peakBytes },
    flag: [
      ...held.map(([band, bytes]) => `${formatBytes(bytes)} ${bandNames[band]}`),
      ...(largest.length > 0 ? ['largest of what comes and goes:'] : []),
      ...largest.map(({ tensor, count, bytes }) => {
        const times = count > 1 ? ` ×${formatCount(count)}` : ''
        return `${formatBytes(bytes)} ${cutMiddle(tensor.split('/').slice(-2).join('/'), 26)}${times}`
      }),
    ],
  }
}
