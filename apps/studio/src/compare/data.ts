import { type Compared, type Comparison, compare, type Simulation } from 'shardloom'
import { type MemoryData, memoryOfSimulation } from '../memory/data.js'
import { type TimelineData, timelineOfSimulation } from '../timeline/data.js'
import { differenceWords, type RankPeak } from './words.js'

/** Variants side by side. Plain data, whose buffers a Worker can hand over. */
export interface CompareData {
  readonly comparison: Comparison
  /** Of each variant in what it differs from the first, in words; none of the first. */
  readonly words: readonly (readonly string[])[]
  readonly timelines: readonly TimelineData[]
  readonly memories: readonly MemoryData[]
}

/** Puts simulated variants side by side, the first of which the others are compared with. Throws what `compare` throws. */
export function compareVariants(variants: readonly Compared[]): CompareData {
  const comparison = compare(variants)
  const peaks = variants.map(({ simulation }) => peaksOf(simulation))
  return {
    comparison,
    words: variants.map((_, index) =>
      index === 0 ? [] : differenceWords(comparison, index, peaks[0] ?? [], peaks[index] ?? []),
    ),
    timelines: variants.map(({ name, simulation }) => timelineOfSimulation(simulation, name)),
    memories: variants.map(({ name, simulation }) => memoryOfSimulation(simulation, name)),
  }
}

const peaksOf = ({ step }: Simulation): RankPeak[] =>
  step.ranks.map(({ rank, memory: { peakBytes } }) => ({ rank, bytes: peakBytes }))
