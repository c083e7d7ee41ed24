import { resolveCluster } from '@shardloom/cluster'
import { isShardloomError, type SpecInput } from 'shardloom'
import { type Entry, type Listed, type Predicted, predictedOf, type Section, summarise } from '../section.js'
import { fastest, type Ran } from './fastest.js'
import { isShareOfBaseline, type MetricValue, metricLacks, valuesOf } from './metric.js'
import { layoutOf, type Row } from './row.js'
import { run } from './run.js'
import { tableOf } from './sources.js'
import { type RowSpecs, specsOf } from './spec-of-row.js'

/** Predicts each row of training that says enough, and sums up. `told` hears of each row as it is done. */
export async function trainingReport(rows: readonly Row[], told: (done: number) => void = () => {}): Promise<Section> {
  const predicted: Predicted[] = []
  const listed: Listed[] = []
  const entries: Entry[] = []
  for (const [index, row] of rows.entries()) {
    const { source, model, hardware, metric, unit } = row
    const { lacks, entries: own, chosen } = await predict(row)
    told(index + 1)
    entries.push(...own)
    if (lacks.length === 0) predicted.push(...own.map(predictedOf))
    else if (own.length === 0) listed.push({ source, model, hardware, metric, unit, lacks })
    else
      for (const { metric, measured, predicted, error } of own)
        listed.push({
          ...{ source, model, hardware, metric, unit, lacks, measured, predicted, error },
          ...(chosen && { chosen }),
        })
  }
  return { rows: predicted, listed, summary: summarise(entries) }
}

async function predict(row: Row): Promise<{ lacks: readonly string[]; entries: Entry[]; chosen?: string }> {
  const { source, lacks: open, model, choices } = specsOf(row)
  const unknown = metricLacks(row)
  const lacks = [...open, ...unknown]
  if (unknown.length > 0) return { lacks, entries: [] }
  if (!model || choices.length === 0) return { lacks, entries: [] }
  try {
    const best = await fastest(choices)
    if (!best) return { lacks: [...lacks, 'a microbatch that divides the batch'], entries: [] }
    const { spec } = best
    const recompute = spec.options?.recompute
    const values = await valuesOfRow(row, { source, model }, best)
    const { model: _, ...configuration } = spec
    const recalled = [...(row.seen === 'recalled' ? ['the row'] : []), ...row.recalled_fields]
    const entries = values.map(
      (value): Entry => ({
        source: row.source,
        table: tableOf(row.source),
        model: row.model,
        hardware: row.hardware,
        metric: value.metric,
        unit: row.unit,
        measured: value.measured,
        predicted: value.predicted,
        error: value.predicted / value.measured - 1,
        family: value.family,
        layout: layoutOf(row),
        configuration: JSON.stringify([row.model, row.hardware, configuration]),
        recalled,
        open: lacks.length > 0,
        isFitted: value.family !== 'memory' && source.isFitted?.(row) === true,
        statedError: source.statedError,
        remark: source.remarkOf?.[value.family] ?? source.remark,
      }),
    )
    const chosen =
      lacks.length > 0
        ? `microbatch ${spec.microbatch}, recompute ${nameOf(recompute)}${best.fits ? '' : ', beyond the memory'}`
        : undefined
    return { lacks, entries, ...(chosen && { chosen }) }
  } catch (cause) {
    if (!isShardloomError(cause)) throw cause
    return { lacks: [...lacks, `a plan: ${cause.message}`], entries: [] }
  }
}

/** What a row's spec came to in the row's metric, beside what was measured. */
export async function valuesOfRow(
  row: Row,
  { source, model }: Pick<RowSpecs, 'source' | 'model'>,
  { spec, run: done }: Ran,
): Promise<MetricValue[]> {
  if (!model) return []
  const plain = { ...spec, options: { ...spec.options, recompute: 'none' as const, sequenceParallel: false } }
  return valuesOf({
    run: done,
    ...(isShareOfBaseline(row.metric) && { baseline: await run(plain) }),
    row,
    model,
    batch: spec.batch ?? 1,
    recompute: nameOf(spec.options?.recompute),
    flops: source.flopsOf?.(row.model) ?? source.flops,
    isReserved: source.isReserved === true,
    peak: resolveCluster(spec.cluster).accelerator.peak.bf16 ?? 0,
  })
}

type Recompute = NonNullable<SpecInput['options']>['recompute']

/** What a choice of what is computed again is called. */
function nameOf(recompute: Recompute): string {
  if (typeof recompute !== 'object') return recompute ?? 'none'
  return recompute.selective ? 'selective' : 'by operator'
}
