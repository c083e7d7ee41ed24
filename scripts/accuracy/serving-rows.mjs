/**
 * Rows of measured serving, as specs: what the report of accuracy predicts of them, and what others lack. A row is one of a CSV of the
 * shape of NVIDIA's aiconfigurator (silicon_sample.csv), where `batch_size` is the number of clients.
 */
import { isShardloomError, loadSpec, prepareServing } from 'shardloom'

const models = {
  'Qwen/Qwen3-8B': 'qwen3-8b',
  'Qwen/Qwen3-32B': 'qwen3-32b',
  'Qwen/Qwen3-235B-A22B': 'qwen3-235b-a22b',
  'meta-llama/Llama-3.1-8B': 'llama-3.1-8b',
  'meta-llama/Llama-3.1-70B': 'llama-3.1-70b',
  'meta-llama/Llama-3.1-405B': 'llama-3.1-405b',
  'meta-llama/Llama-2-7b-hf': 'llama-2-7b',
  'meta-llama/Llama-2-13b-hf': 'llama-2-13b',
  'meta-llama/Llama-2-70b-hf': 'llama-2-70b',
  'mistralai/Mixtral-8x7B-v0.1': 'mixtral-8x7b',
  'deepseek-ai/DeepSeek-V3': 'deepseek-v3',
  'deepseek-ai/DeepSeek-R1': 'deepseek-v3',
  'openai/gpt-oss-120b': 'gpt-oss-120b',
}
const clusters = {
  h100_sxm: 'dgx-h100',
  h200_sxm: 'dgx-h200',
  b200_sxm: 'dgx-b200',
  a100_sxm: 'dgx-a100',
  gb200: 'gb200-nvl72',
  gb200_sxm: 'gb200-nvl72',
  l40s: 'l40s-pcie',
}
const engines = { vllm: 'vllm', sglang: 'sglang', trtllm: 'tensorrt-llm' }

/** The rows of a CSV without quotes, as objects of texts. */
export function readCsv(text) {
  const [head = '', ...lines] = text.trim().split(/\r?\n/)
  const names = head.split(',')
  return lines.map((line) => {
    const values = line.split(',')
    return Object.fromEntries(names.map((name, index) => [name, values[index] ?? '']))
  })
}

const count = (text) => (text === '' || text === undefined ? undefined : Math.round(Number(text)))

/**
 * The lengths of a row's requests. InferenceMAX draws both evenly from 0.8 of what it states up to that (its README: random range ratio
 * 0.8). Of others it is not known; that outputs differ is assumed: clients whose requests end together would stay in step, and would
 * wait for each other's prompts for longer than was measured.
 */
function lengthsOf(row, input, output) {
  const scenario = `${input} ${output}`
  const isInferenceMax =
    /Llama-3.1-70B|DeepSeek-R1|gpt-oss/.test(row.model_path) &&
    ['1024 1024', '1024 8192', '8192 1024'].includes(scenario)
  const spread = (length, from, to) => ({ from: Math.round(from * length), to: Math.round(to * length) })
  if (isInferenceMax) return { input: spread(input, 0.8, 1), output: spread(output, 0.8, 1) }
  return { input, output: spread(output, 0.8, 1.2) }
}

/** What a row measured, as a spec; or what it lacks. */
export function servingCase(row) {
  const model = models[row.model_path]
  const cluster = clusters[row.system]
  const engine = engines[row.backend]
  const about = { source: `silicon_sample.csv, ${row.backend} ${row.backend_version}`.trim(), model: row.model_path }
  const lacks = (what) => ({ ...about, lacks: what })
  if (!model) return lacks('a preset of the model')
  if (!cluster) return lacks(`a cluster for ${row.system}`)
  if (!engine) return lacks(`an engine ${row.backend}`)
  if (row.mode !== 'agg')
    return lacks('the rate at which requests were sent: for two pools the batch is none of clients')
  if (row.isl === '4000' && row.osl === '1000')
    return lacks('the number of clients: such rows do not say it by their batch')
  const bits = row.gemm_quant_mode || row.precision || ''
  if (bits !== '' && !/^(bf16|bfloat16|float16|fp16|fp8|fp8_block)$/.test(bits)) return lacks(`products in ${bits}`)
  const eight = bits.startsWith('fp8')
  const [tp = 1, dp = 1, ep = 1] = [row.tp_size, row.attention_dp_size, row.moe_ep_size]
    .map(count)
    .map((each) => each || 1)
  const [input, output, clients] = [row.isl, row.osl, row.batch_size].map(count)
  return {
    ...about,
    stated: { input, output },
    group: `${row.model_path.split('/')[1]} ${row.backend} ${row.precision || 'bf16'}`,
    engine,
    clients,
    spec: {
      model,
      cluster,
      phase: 'serving',
      batch: dp,
      seq: input,
      parallel: { tp, dp, ...(ep > 1 && { ep }) },
      options: {
        ...(eight && { weightDtype: 'fp8' }),
        // TensorRT-LLM stores the cache as quantised checkpoints say; the others in the type of activations.
        ...(eight && engine === 'tensorrt-llm' && { cacheDtype: 'fp8' }),
        serving: { engine, load: { clients, ...lengthsOf(row, input, output) } },
      },
    },
    measured: { TTFT: Number(row.silicon_ttft_ms) / 1e3, TPOT: Number(row.silicon_tpot_ms) / 1e3 },
  }
}

/** Predicts cases; specs that differ in their load alone share what steps are made of. `host` changes costs of the host by engine. */
export async function predictServing(cases, { host = {}, known = new Map() } = {}) {
  const results = []
  for (const each of cases) {
    const { spec, engine } = each
    const { serving, ...options } = spec.options
    const key = JSON.stringify({ ...spec, seq: 0, options })
    const own = host[engine]
    const loaded = await loadSpec(
      own ? { ...spec, options: { ...spec.options, serving: { ...serving, host: own } } } : spec,
    )
    try {
      const serve = known.get(key) ?? prepareServing(loaded)
      known.set(key, serve)
      results.push({ ...each, simulation: serve(loaded) })
    } catch (error) {
      if (!isShardloomError(error)) throw error
      results.push({ ...each, lacks: error.message })
    }
  }
  return results
}

/** Whether an engine had to keep requests waiting for its KV cache. */
export function isPastCapacity({ simulation, clients }) {
  const [pool] = simulation.pools
  const held = simulation.workload.requests[0]
  return clients * (held.input + held.output) > pool.capacity.tokens
}

/** Rows as the report has them: a value each for TTFT and TPOT, and those that lack something. */
export async function servingAccuracy(rows, options) {
  const cases = rows.map(servingCase)
  const results = await predictServing(
    cases.filter(({ lacks }) => lacks === undefined),
    options,
  )
  const predicted = results.filter(({ lacks }) => lacks === undefined)
  return {
    rows: predicted.flatMap((each) => {
      const { source, model, group, spec, measured, simulation } = each
      const { ttft, tpot } = simulation.result
      const { tp, dp } = spec.parallel
      const { clients } = spec.options.serving.load
      const { input, output } = each.stated
      const configuration = `tp ${tp}${dp > 1 ? ` dp ${dp}` : ''}, ${clients} clients, ${input} in, ${output} out`
      const past = isPastCapacity(each)
      return [
        ['TTFT', ttft.mean],
        ['TPOT', tpot.mean],
      ].map(([metric, value]) => ({
        source,
        model,
        group,
        configuration,
        pastCapacity: past,
        metric,
        unit: 's',
        measured: measured[metric],
        predicted: value,
        error: value / measured[metric] - 1,
      }))
    }),
    listed: [...cases, ...results].flatMap(({ lacks, source, model }) =>
      lacks === undefined ? [] : [{ source, model, lacks }],
    ),
  }
}

/** Mean, median and worst of the absolute errors of rows, by group and metric; how many there are. */
export function servingSummary(rows) {
  const groups = [...new Set(rows.map(({ group }) => group))]
  return groups.flatMap((group) =>
    ['TTFT', 'TPOT'].map((metric) => {
      const errors = rows
        .filter((row) => row.group === group && row.metric === metric)
        .map(({ error }) => Math.abs(error))
        .sort((a, b) => a - b)
      const n = errors.length
      return {
        group,
        metric,
        n,
        mean: errors.reduce((sum, error) => sum + error, 0) / n,
        median: (errors[(n - 1) >> 1] + errors[n >> 1]) / 2,
        worst: errors[n - 1],
      }
    }),
  )
}
