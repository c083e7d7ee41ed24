import { isShardloomError, loadSpec, type SpecInput, simulateLoaded } from 'shardloom'
import { type Entry, type Listed, predictedOf, type Section, summarise } from '../section.js'
import { type Case, type Lacking, lacking, layoutOf, noValue, partsOf, shortName } from '../serving/case.js'
import { familyOf, unitOf } from '../serving/metric.js'
import type { SaidByRow } from './row.js'

type SaidOfBatch = Extract<SaidByRow, { readonly kind: 'static' }>

/** The error that is expected of a static batch: that of a step, as constants of training predict it. */
const statedError = 0.07

/** A batch that runs by itself: the prompts, and what is generated behind them where that is more than one token. */
interface BatchCase extends Case {
  readonly batch: number
  readonly output: number
}

function batchCase(said: SaidOfBatch): BatchCase | Lacking {
  const { source, model = '', hardware = '', batch, precision = 'bf16', degrees, input = 1, output = 1 } = said
  const { architecture, cluster, isEight, lacks, measured } = partsOf(said)
  const missing = [...lacks, ...(batch === undefined ? ['batch'] : [])]
  if (missing.length > 0 || !degrees || !architecture || !cluster || batch === undefined) return lacking(said, missing)
  const { tp, pp, dp, ep } = degrees
  return {
    source,
    model,
    hardware,
    group: `${shortName(model)}, ${precision.toLowerCase()}`,
    layout: `${layoutOf(degrees)}, batch ${batch}, ${input} in, ${output} out`,
    spec: {
      model: { ...architecture },
      cluster,
      phase: 'prefill',
      batch,
      seq: input,
      parallel: { tp, pp, dp, ep },
      options: isEight ? { weightDtype: 'fp8' } : {},
    },
    measured,
    batch,
    output,
  }
}

/** Predicts rows of static batches with the constants of training: no scheduler, no host, no constant of an engine. */
export async function inferenceReport(
  rows: readonly SaidOfBatch[],
  told: (done: number) => void = () => {},
): Promise<Section> {
  const known = new Map<string, Promise<number>>()
  const secondsOf = (spec: SpecInput) => {
    const key = JSON.stringify(spec)
    const found = known.get(key) ?? loadSpec(spec).then((loaded) => simulateLoaded(loaded).step.seconds)
    known.set(key, found)
    return found
  }
  const listed: Listed[] = []
  const entries: Entry[] = []
  for (const [index, row] of rows.entries()) {
    const each = batchCase(row)
    if ('lacks' in each) listed.push(each)
    else
      try {
        const own = await entriesOf(each, secondsOf)
        entries.push(...own)
        if (own.length === 0) listed.push(lacking(row, [noValue]))
      } catch (cause) {
        if (!isShardloomError(cause)) throw cause
        listed.push(lacking(row, [`a plan: ${cause.message}`]))
      }
    told(index + 1)
  }
  return { rows: entries.map(predictedOf), listed, summary: summarise(entries) }
}

async function entriesOf(each: BatchCase, secondsOf: (spec: SpecInput) => Promise<number>): Promise<Entry[]> {
  const { source, model, hardware, group, layout, spec, measured, batch, output } = each
  const first = await secondsOf(spec)
  const ranks = Object.entries(spec.parallel ?? {}).reduce(
    (all, [axis, degree]) => all * (axis === 'ep' ? 1 : Number(degree)),
    1,
  )
  // What follows the first token is decoded behind the prompt.
  const steps = output - 1
  const later = steps > 0 ? await secondsOf({ ...spec, phase: 'decode', seq: (spec.seq ?? 1) + 1, steps }) : 0
  const values: Readonly<Record<string, number | undefined>> = {
    TTFT: first,
    TPOT: steps > 0 ? later / steps : undefined,
    ITL: steps > 0 ? later / steps : undefined,
    LATENCY: first + later,
  }
  return measured.flatMap(({ metric, unit, value }): Entry[] => {
    const family = familyOf(metric) ?? ''
    const rate = (batch * output) / (first + later)
    const known = unitOf({ metric, unit, value }) ?? unit
    const seconds = values[family]
    const predicted = /^(mean_)?output_throughput$/i.test(metric)
      ? rate / (known.endsWith('/GPU') ? ranks : 1)
      : seconds === undefined
        ? undefined
        : seconds * (known === 'ms' ? 1e3 : 1)
    if (predicted === undefined) return []
    const error = predicted / value - 1
    const configuration = JSON.stringify({ ...spec, output })
    const rest = { layout, family, configuration, recalled: [], open: false, isFitted: false, statedError }
    return [{ source, table: group, model, hardware, metric, unit, measured: value, predicted, error, ...rest }]
  })
}
