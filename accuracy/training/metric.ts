import type { ModelArchitecture } from '@shardloom/models'
import { stepFlops } from './flops.js'
import type { Row } from './row.js'
import type { Run } from './run.js'
import type { FlopConvention } from './sources.js'

/** What kind of quantity a metric is: each has a summary of its own. */
export type Family = 'time' | 'throughput' | 'memory'

/** What a step of a row came to, and what is needed to say it in the row's metric. */
export interface Measured {
  readonly run: Run
  /** The run without recomputation and sequence parallelism, where the metric compares with it. */
  readonly baseline?: Run
  readonly row: Row
  readonly model: ModelArchitecture
  readonly batch: number
  readonly recompute: string
  readonly flops: FlopConvention
  /** Whether the source's peak is what the allocator reserved, not what tensors took. */
  readonly isReserved: boolean
  /** FLOP/s of one rank at peak, of the type that the source's percentages refer to. */
  readonly peak: number
}

/** A value in the metric and the unit of its row. */
export interface MetricValue {
  readonly metric: string
  readonly family: Family
  readonly measured: number
  readonly predicted: number
}

const perUnit: Readonly<Record<string, number>> = {
  s: 1,
  ms: 1e-3,
  GiB: 2 ** 30,
  MiB: 2 ** 20,
  GB: 1e9,
}

/** Whether the metric of a row is one that a simulated step can be said in. */
export function familyOf({ metric, unit }: Row): Family | undefined {
  if (/memory/.test(metric)) return unit !== '%' || isShareOfBaseline(metric) ? 'memory' : undefined
  if (/time/.test(metric)) return 'time'
  return /TFLOP|tok\/s|samples\/s/.test(unit) || /MFU|HFU|percent of/.test(metric) ? 'throughput' : undefined
}

/** Whether a metric compares with the same run without recomputation and sequence parallelism. */
export const isShareOfBaseline = (metric: string) => /percent of no-recompute TP baseline/.test(metric)

/** What a run is in the metric of its row: of a pair of values both. */
export function valuesOf({
  run,
  baseline,
  row,
  model,
  batch,
  recompute,
  flops,
  peak,
  isReserved,
}: Measured): MetricValue[] {
  const { metric, unit, value } = row
  const family = familyOf(row)
  const gpus = row.gpus ?? 1
  const seq = row.seq ?? 1
  const [measured = 0, second] = Array.isArray(value) ? value : [value as number] // a number, or a list of them
  const scale = perUnit[unit.replace('/GPU', '')] ?? 1
  const one = (predicted: number): MetricValue[] => (family ? [{ metric, family, measured, predicted }] : [])
  if (/per layer/.test(metric) && second !== undefined)
    return [
      { metric: 'forward time per layer', family: 'time', measured, predicted: run.layerSeconds('forward') / scale },
      {
        metric: 'backward time per layer',
        family: 'time',
        measured: second,
        predicted: run.layerSeconds('backward') / scale,
      },
    ]
  if (family === 'memory') {
    const { first } = run
    if (baseline) return one((100 * first.activations) / baseline.first.activations)
    if (/activation/.test(metric)) return one(first.activations / scale)
    if (/parameter\+optimizer/.test(metric)) return one((first.parameters + first.gradients + first.optimizer) / scale)
    return one((isReserved ? run.reservedBytes : run.peakBytes) / scale)
  }
  if (family === 'time') return one(run.seconds / scale)
  const convention = /HFU/.test(metric) ? { ...flops, recomputed: true } : flops
  const rate = stepFlops(model, { tokens: batch * seq, seq }, convention, recompute) / (run.seconds * gpus)
  if (/TFLOP/.test(unit)) return one(rate / 1e12)
  if (unit === '%') return one((100 * rate) / peak)
  return one((/samples/.test(unit) ? batch : batch * seq) / run.seconds / gpus)
}
