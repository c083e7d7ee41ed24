import type { TableRecord } from 'shardloom'
import type { SaidOfServing } from './case.js'

const engines: Readonly<Record<string, string>> = { vllm: 'vllm', sglang: 'sglang', trtllm: 'tensorrt-llm' }

/** What a row of the shape of NVIDIA's aiconfigurator (silicon_sample.csv) says, where `batch_size` is the number of clients. */
export function saidBySample(row: TableRecord): SaidOfServing {
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
  const isAggregated = (text('mode') ?? 'agg') === 'agg'
  const precision = text('gemm_quant_mode') ?? text('precision')
  return {
    source: ['silicon_sample.csv,', backend, text('backend_version')].filter(Boolean).join(' '),
    model: text('model_path')?.replace(/^.*\//, ''),
    hardware: text('system'),
    engine: engines[backend ?? ''],
    precision: text('precision') ?? precision,
    ...(text('tp_size') !== undefined && {
      degrees: {
        tp: count('tp_size') ?? 1,
        pp: count('pp_size') ?? 1,
        dp: count('attention_dp_size') ?? 1,
        ep: count('moe_ep_size') ?? 1,
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
      ...(isAggregated ? [] : ['the rate at which requests were sent: for two pools the batch is none of clients']),
      ...(/^(bf16|bfloat16|float16|fp16|fp8|fp8_block)$/.test(precision ?? 'bf16') ? [] : [`products in ${precision}`]),
    ],
  }
}
