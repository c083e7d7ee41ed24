import { type Simulation, stepFigures } from 'shardloom'
import { type MemoryBand, memoryPanel } from 'shardloom/charts'

/** The memory of one rank over a step, in steps: each value holds until the next moment, the last until the end. */
export interface MemoryRank {
  /** `stage 2` where there is a pipeline, else `rank 2`. */
  readonly name: string
  readonly rank: number
  /** Ascending. */
  readonly seconds: Float64Array
  /** Bytes from each of these moments on, bottom up. */
  readonly bands: readonly { readonly band: MemoryBand; readonly bytes: Float64Array }[]
  /** All of them together. */
  readonly total: Float64Array
  readonly peak: { readonly seconds: number; readonly bytes: number }
  /** What is alive at the peak, a line each, the largest first. */
  readonly flag: readonly string[]
}

/** The memory of a simulated step as typed arrays. Plain data, whose buffers a Worker can hand over. */
export interface MemoryData {
  readonly name: string
  readonly ranks: readonly MemoryRank[]
  /** Bytes that a step may take, and that the device has beside these for context, allocator and communication library. */
  readonly limit: number
  readonly reserve: number
  /** Seconds. */
  readonly end: number
}

/** Puts the memory of a step into typed arrays. */
export function memoryOfSimulation(simulation: Simulation, name: string): MemoryData {
  const { memory, timed, step } = simulation
  const { capacityBytes, reserveBytes } = stepFigures(simulation).memory
  return {
    name,
    limit: capacityBytes - reserveBytes,
    reserve: reserveBytes,
    end: step.seconds,
    ranks: memory.map((each): MemoryRank => {
      const panel = memoryPanel(each, timed.program, step.seconds)
      const bands = panel.bands.map(({ band, bytes }) => ({ band, bytes: Float64Array.from(bytes) }))
      const total = new Float64Array(panel.seconds.length)
      for (const { bytes } of bands)
        for (let at = 0; at < total.length; at++) total[at] = (total[at] ?? 0) + (bytes[at] ?? 0)
      const { name: called, peak, flag } = panel
      return { name: called, rank: each.rank, seconds: Float64Array.from(panel.seconds), bands, total, peak, flag }
    }),
  }
}

/** The moment that holds at a time; −1: before the first. O(log n). */
export function momentAt(seconds: Float64Array, time: number): number {
  let [low, high] = [0, seconds.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((seconds[middle] as number) <= time) low = middle + 1
    else high = middle
  }
  return low - 1
}
