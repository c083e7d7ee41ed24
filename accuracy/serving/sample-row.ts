import type { TableRecord } from 'shardloom'
import { meaningOf } from '../meaning.js'
import { precisionLacks } from '../precision.js'
import { type SaidOfServing, servedTypes } from './case.js'

const engines: Readonly<Record<string, string>> = {
  vllm: 'vllm',
  sglang: 'sglang',
  trtllm: 'tensorrt-llm',
  'tensorrt-llm': 'tensorrt-llm',
}

/** The columns of silicon_sample.csv. */
export const columns: readonly string[] = [
  ...'model_path system backend backend_version precision mode isl osl gemm_quant_mode moe_quant_mode'.split(' '),
  ...'batch_size tp_size pp_size attention_dp_size moe_tp_size moe_ep_size'.split(' '),
  ...['prefill', 'decode'].flatMap((pool) =>
    'num_workers batch_size tp_size attention_dp_size moe_tp_size moe_ep_size'
      .split(' ')
      .map((each) => `${pool}_${each}`),
  ),
  ...'silicon_ttft_ms silicon_tpot_ms'.split(' '),
]

const degrees = { tp: 'tp_size', pp: 'pp_size', dp: 'attention_dp_size', ep: 'moe_ep_size' } as const

/** What a row of a file of the shape of NVIDIA's aiconfigurator (silicon_sample.csv) says, where `batch_size` is the number of clients. */
export function saidBySample(row: TableRecord, file: string): SaidOfServing {
  const text = (key: string) => {
    const value = row[key]
    return value === undefined || value === null || value === '' ? undefined : String(value)
  }
  const count = (key: string) => {
    const value = Number(text(key) ?? Number.NaN)
    return Number.isFinite(value) && value >= 1 ? Math.round(value) : undefined
  }
  const [input, output, clients] = [count('isl'), count('osl'), count('batch_size')]
  const backend = text('backend')
  // Such rows do not say the number of clients by their batch.
  const isClients = !(input === 4000 && output === 1000)
  const mode = text('mode') ?? 'agg'
  const isAggregated = /^agg$/i.test(mode)
  const precision = text('gemm_quant_mode') ?? text('precision')
  return {
    source: [`${file},`, backend, text('backend_version')].filter(Boolean).join(' '),
    model: text('model_path')?.replace(/^.*\//, ''),
    hardware: text('system'),
    engine: engines[backend?.toLowerCase() ?? ''],
    software: backend,
    precision: text('precision') ?? precision,
    ...(text('tp_size') !== undefined && {
      degrees: {
        tp: count(degrees.tp) ?? 1,
        pp: count(degrees.pp) ?? 1,
        dp: count(degrees.dp) ?? 1,
        ep: count(degrees.ep) ?? 1,
      },
    }),
    input,
    output,
    ...(clients !== undefined && isClients && isAggregated && { arrival: { clients } }),
    measured: (['ttft', 'tpot'] as const).flatMap((name) => {
      const value = Number(text(`silicon_${name}_ms`) ?? Number.NaN)
      return value > 0 ? [{ metric: name.toUpperCase(), unit: 'ms', value }] : []
    }),
    lacks: [
      ...(isClients ? [] : ['the number of clients: such rows do not say it by their batch']),
      ...(isAggregated || /^disagg$/i.test(mode) ? [] : [meaningOf('mode', mode, ['agg'])]),
      ...(!/^disagg$/i.test(mode)
        ? []
        : ['the rate at which requests were sent: for two pools the batch is none of clients']),
      ...precisionLacks(precision, servedTypes),
      ...Object.values(degrees).flatMap((key) =>
        Number.isNaN(Number(text(key) ?? 1)) ? [meaningOf(key, text(key) ?? '', ['1', '2', '4', '…'])] : [],
      ),
    ],
  }
}
