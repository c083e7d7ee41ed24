import { peakBytesOf, type StageCost, stepSeconds } from './estimate.js'
import type { Overlap } from './link-loads.js'
import { leastSeconds, type Pipeline, type StageSeconds } from './pipelines.js'

/** What sums in another order may differ by. */
export const rounding = 1e-9

/** A candidate in all its parts. */
export interface Parts {
  readonly pipeline: Pipeline
  readonly stages: readonly StageCost[]
  readonly seconds: StageSeconds
  readonly overlap: Overlap
}

/** What a candidate takes and holds by the analytic model. Seconds, bytes of its fullest rank. */
export function figuresOf({ pipeline, stages, seconds, overlap }: Parts): {
  readonly seconds: number
  readonly bytes: number
} {
  return { seconds: stepSeconds(pipeline, stages, seconds, overlap), bytes: peakBytesOf(pipeline, stages) }
}

/** No less than {@link figuresOf} says, and found faster. */
export function leastOf({ pipeline, stages, seconds }: Parts): { readonly seconds: number; readonly bytes: number } {
  const least = leastSeconds(pipeline, seconds.kernels ?? seconds)
  return { seconds: least * (1 - rounding), bytes: peakBytesOf(pipeline, stages) }
}
