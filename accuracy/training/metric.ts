import type { ModelArchitecture } from '@shardloom/models'
import { meaningOf } from '../meaning.js'
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

const rates = ['tok/s', 'tok/s/GPU', 'samples/s', 'samples/s/GPU', 'TFLOP/s', 'TFLOP/s/GPU']

/** What kind of quantity a metric names, and the units that it may be in; undefined where it names none that a step has. */
function quantityOf({ metric }: Row): { readonly family: Family; readonly units: readonly string[] } | undefined {
  if (isShareOfBaseline(metric)) return { family: 'memory', units: ['%'] }
  if (/memory/i.test(metric)) return { family: 'memory', units: ['GB', 'GiB', 'MiB'] }
  if (/time/i.test(metric)) return { family: 'time', units: ['s', 'ms'] }
  if (/MFU|HFU|percent of/i.test(metric)) return { family: 'throughput', units: ['%'] }
  return /tok|sample|TFLOP|throughput/i.test(metric) ? { family: 'throughput', units: rates } : undefined
}

/** The unit of a row as it is written here, whatever the case of its letters; undefined where the metric has no such unit. */
function unitOf(row: Row): string | undefined {
  return quantityOf(row)?.units.find((unit) => unit.toLowerCase() === row.unit.toLowerCase())
}

/** Whether the metric of a row is one that a simulated step can be said in. */
export function familyOf(row: Row): Family | undefined {
  return unitOf(row) === undefined ? undefined : quantityOf(row)?.family
}

/** What is not understood of a row's metric and unit; empty where a step can be said in them. */
export function metricLacks(row: Row): readonly string[] {
  const quantity = quantityOf(row)
  if (!quantity)
    return [meaningOf('metric', row.metric, ['time', 'tokens/s', 'samples/s', 'TFLOP/s', 'MFU', 'HFU', 'memory'])]
  if (/per layer/i.test(row.metric) && !Array.isArray(row.value)) return ['two values: of forward and of backward']
  return unitOf(row) === undefined ? [meaningOf('unit', row.unit, quantity.units)] : []
}

/** Whether a metric compares with the same run without recomputation and sequence parallelism. */
export const isShareOfBaseline = (metric: string) => /percent of no-recompute TP baseline/i.test(metric)

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
  const { metric, value } = row
  const unit = unitOf(row) ?? row.unit
  const family = familyOf(row)
  const gpus = row.gpus ?? 1
  const seq = row.seq ?? 1
  const [measured = 0, second] = Array.isArray(value) ? value : [value as number] // a number, or a list of them
  const scale = perUnit[unit] ?? 1
  const one = (predicted: number): MetricValue[] => (family ? [{ metric, family, measured, predicted }] : [])
  if (/per layer/i.test(metric) && second !== undefined)
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
    if (/activation/i.test(metric)) return one(first.activations / scale)
    if (/parameter\+optimizer/i.test(metric)) return one((first.parameters + first.gradients + first.optimizer) / scale)
    return one((isReserved ? run.reservedBytes : run.peakBytes) / scale)
  }
  if (family === 'time') return one(run.seconds / scale)
  const convention = /HFU/i.test(metric) ? { ...flops, recomputed: true } : flops
  const rate = stepFlops(model, { tokens: batch * seq, seq }, convention, recompute) / run.seconds
  if (unit === '%') return one((100 * rate) / gpus / peak)
  const whole = /TFLOP/.test(unit) ? rate / 1e12 : (/samples/.test(unit) ? batch : batch * seq) / run.seconds
  return one(/GPU/.test(unit) || /per GPU/i.test(metric) ? whole / gpus : whole)
}
