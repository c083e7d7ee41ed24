import type { TableRecord } from 'shardloom'
import { meaningOf } from '../meaning.js'
import type { Arrival, Said, SaidOfServing } from '../serving/case.js'

/** What a row of published inference is: of a batch that runs by itself, or of an engine under load. */
export type SaidByRow =
  | ({ readonly kind: 'static' } & Said & { readonly batch?: number | undefined })
  | ({ readonly kind: 'serving' } & SaidOfServing)

/** The columns of measured-inference.json. */
export const columns: readonly string[] = [
  ...'model hardware gpus parallelism precision batch_or_concurrency isl osl metric value unit'.split(' '),
  ...'kind source note'.split(' '),
]

/** What a row of the shape of measured-inference.json says: one metric of one configuration. */
export function saidByRow(row: TableRecord): SaidByRow {
  const text = (key: string) => {
    const value = row[key]
    return value === undefined || value === null || value === '' ? undefined : String(value)
  }
  const number = (key: string) => {
    const value = Number(text(key) ?? Number.NaN)
    return Number.isFinite(value) && value > 0 ? value : undefined
  }
  const [kind = '', source = ''] = [text('kind'), text('source')]
  const [input, output, value, ranks] = [number('isl'), number('osl'), number('value'), number('gpus')]
  const common: Said = {
    source,
    model: text('model'),
    hardware: text('hardware'),
    ranks,
    precision: text('precision'),
    degrees: degreesOf(text('parallelism'), ranks),
    input,
    output,
    measured: value === undefined ? [] : [{ metric: text('metric') ?? '', unit: text('unit') ?? '', value }],
    lacks: [
      ...(kind === '' ? ['kind'] : []),
      ...(isLayout(text('parallelism') ?? 'TP1')
        ? []
        : [meaningOf('parallelism', text('parallelism') ?? '', ['TP4', 'TP4 PP2', 'TP8 EP8'])]),
    ],
  }
  if (/static/i.test(kind)) return { kind: 'static', ...common, batch: number('batch_or_concurrency') }
  const arrival = arrivalOf(text('batch_or_concurrency'), kind)
  const isBurst = arrival !== undefined && 'rate' in arrival && arrival.rate === Number.POSITIVE_INFINITY
  const stated = Number(/(\d+) requests/.exec(source)?.[1] ?? Number.NaN)
  const requests = isBurst ? requestsOf[`${input} ${output}`] : Number.isNaN(stated) ? undefined : stated
  return {
    kind: 'serving',
    ...common,
    lacks: [...common.lacks, ...(isBurst && requests === undefined ? ['how many requests came'] : [])],
    engine: engineOf(`${kind} ${source}`),
    software: kind || undefined,
    arrival,
    requests,
    isOffline: /offline/i.test(kind),
  }
}

/** Requests of NVIDIA's benchmarks at an infinite rate, by the lengths in and out (TensorRT-LLM, Performance Overview, Preparing a Dataset). */
const requestsOf: Readonly<Record<string, number>> = {
  '128 128': 30_000,
  '128 2048': 3000,
  '128 4096': 1500,
  '500 2000': 3000,
  '1000 1000': 3000,
  '1000 2000': 1500,
  '2048 128': 3000,
  '2048 2048': 1500,
  '5000 500': 1500,
  '20000 2000': 1000,
}

function engineOf(words: string): string | undefined {
  if (/vllm/i.test(words)) return 'vllm'
  if (/sglang/i.test(words)) return 'sglang'
  return /tensorrt/i.test(words) ? 'tensorrt-llm' : undefined
}

const isLayout = (words: string) => /^(?:(?:TP|PP|DP|EP)\s*\d+[\s,+]*)+$/i.test(words)

/** Degrees in words such as `TP4` or `TP4 PP2`; a single device needs none. */
function degreesOf(words: string | undefined, ranks: number | undefined): Said['degrees'] {
  if (words === undefined && ranks !== 1) return undefined
  const degree = (axis: string) => Number(new RegExp(`${axis}\\s*(\\d+)`, 'i').exec(words ?? '')?.[1] ?? 1)
  return { tp: degree('TP'), pp: degree('PP'), dp: degree('DP'), ep: degree('EP') }
}

/** Clients in words such as `concurrency 4`, a rate such as `2 req/s`, or all at once where the kind of row says so. */
function arrivalOf(words: string | undefined, kind: string): Arrival | undefined {
  if (words === undefined) return /infinite/i.test(kind) ? { rate: Number.POSITIVE_INFINITY } : undefined
  const rate = /^([\d.]+) req\/s$/i.exec(words)?.[1]
  if (rate !== undefined) return { rate: Number(rate) }
  const clients = /^(?:concurrency )?(\d+)$/i.exec(words)?.[1]
  return clients === undefined ? undefined : { clients: Number(clients) }
}
