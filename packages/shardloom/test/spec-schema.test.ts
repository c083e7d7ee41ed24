import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { checkSpec, isShardloomError, specFields, specJsonSchema } from '../src/index.js'

/** After a change of the schema: write `specJsonSchema()` to this file and run `npm run format`. */
const published = join(import.meta.dirname, '..', 'schema', 'spec.schema.json')

test('the published JSON Schema is the one that specs are checked with', () => {
  expect(JSON.parse(readFileSync(published, 'utf8'))).toEqual(specJsonSchema())
})

/** The paths of the schema's keys that are no objects of fields; selectors and options of phases are none of their own. */
function leaves(schema: Record<string, unknown>, path: readonly string[] = []): string[][] {
  return Object.entries((schema.properties ?? {}) as Record<string, Record<string, unknown>>).flatMap(([key, inner]) =>
    inner.properties ? (key === 'where' ? [] : leaves(inner, [...path, key])) : [[...path, key]],
  )
}

/** A spec with one field set. */
function specWith(path: readonly string[], value: unknown): Record<string, unknown> {
  const field = path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), value)
  return { model: 'tiny', ...(field as Record<string, unknown>) }
}

test('every key of the schema that takes a word, a number or a truth value is a flag of that kind', () => {
  const flags = new Map(specFields().map((field) => [field.path.join('.'), field]))
  const accepts = (path: readonly string[], value: unknown) => {
    const bad = (error: unknown) => isShardloomError(error) && error.subject === path.join('.')
    try {
      checkSpec(specWith(path, value))
      return true
    } catch (error) {
      return !bad(error)
    }
  }
  const paths = leaves(specJsonSchema())
  expect(paths.length).toBeGreaterThan(60)
  for (const path of paths) {
    const name = path.join('.')
    const takesNumber = accepts(path, 1) || accepts(path, 2)
    const word = flags.get(name)?.choices?.[0] ?? (name === 'preset' ? 'megatron' : 'none')
    const takes = { number: takesNumber, boolean: accepts(path, true), string: accepts(path, word) }
    // `schema` has one value only.
    const scalar = name !== 'schema' && Object.values(takes).some(Boolean)
    expect(flags.has(name), name).toBe(scalar)
    if (!scalar) continue
    const fraction = accepts(path, 0.5)
    const type = takes.number ? (fraction ? 'number' : 'integer') : takes.boolean ? 'boolean' : 'string'
    expect(flags.get(name)?.type, name).toBe(type)
  }
  expect(new Set([...flags.values()].map(({ flag }) => flag)).size).toBe(flags.size)
})

test('every scalar field has one flag, named after it', () => {
  const flags = specFields().map(({ flag, path }) => `${flag} = ${path.join('.')}`)
  expect(flags).toEqual([
    'preset = preset',
    'model = model',
    'cluster = cluster',
    'reserve-bytes = reserveBytes',
    'tokens = tokens',
    'price-per-rank-hour = pricePerRankHour',
    'phase = phase',
    'batch = batch',
    'microbatch = microbatch',
    'seq = seq',
    'steps = steps',
    'dp = parallel.dp',
    'dp-replicate = parallel.dpReplicate',
    'tp = parallel.tp',
    'pp = parallel.pp',
    'cp = parallel.cp',
    'ulysses = parallel.ulysses',
    'dcp = parallel.dcp',
    'ep = parallel.ep',
    'expert-tp = parallel.expertTp',
    'replicas = parallel.replicas',
    'attention = options.attention',
    'loss = options.loss',
    'causal = options.causal',
    'dtype = options.dtype',
    'gradient-dtype = options.gradientDtype',
    'linear-dtype = options.linearDtype',
    'engine = options.engine',
    'efficiency = options.efficiency',
    'weight-dtype = options.weightDtype',
    'cache-dtype = options.cacheDtype',
    'uneven = options.uneven',
    'zero = options.zero',
    'sequence-parallel = options.sequenceParallel',
    'schedule = options.schedule',
    'virtual = options.virtual',
    'offload = options.offload',
    'recompute = options.recompute',
    'barriers = options.barriers',
    'interleave = options.interleave',
    'decode-draft = options.decode.draft',
    'decode-keep = options.decode.keep',
    'decode-acceptance = options.decode.acceptance',
    'prefill-chunk = options.prefill.chunk',
    'prefill-cached = options.prefill.cached',
    'serving-prefill-dp = options.serving.prefill.parallel.dp',
    'serving-prefill-dp-replicate = options.serving.prefill.parallel.dpReplicate',
    'serving-prefill-tp = options.serving.prefill.parallel.tp',
    'serving-prefill-pp = options.serving.prefill.parallel.pp',
    'serving-prefill-cp = options.serving.prefill.parallel.cp',
    'serving-prefill-ulysses = options.serving.prefill.parallel.ulysses',
    'serving-prefill-dcp = options.serving.prefill.parallel.dcp',
    'serving-prefill-ep = options.serving.prefill.parallel.ep',
    'serving-prefill-expert-tp = options.serving.prefill.parallel.expertTp',
    'serving-prefill-replicas = options.serving.prefill.parallel.replicas',
    'serving-prefill-cluster = options.serving.prefill.cluster',
    'serving-prefill-batch = options.serving.prefill.batch',
    'serving-prefill-microbatch = options.serving.prefill.microbatch',
    'serving-decode-dp = options.serving.decode.parallel.dp',
    'serving-decode-dp-replicate = options.serving.decode.parallel.dpReplicate',
    'serving-decode-tp = options.serving.decode.parallel.tp',
    'serving-decode-pp = options.serving.decode.parallel.pp',
    'serving-decode-cp = options.serving.decode.parallel.cp',
    'serving-decode-ulysses = options.serving.decode.parallel.ulysses',
    'serving-decode-dcp = options.serving.decode.parallel.dcp',
    'serving-decode-ep = options.serving.decode.parallel.ep',
    'serving-decode-expert-tp = options.serving.decode.parallel.expertTp',
    'serving-decode-replicas = options.serving.decode.parallel.replicas',
    'serving-decode-cluster = options.serving.decode.cluster',
    'serving-decode-batch = options.serving.decode.batch',
    'serving-decode-microbatch = options.serving.decode.microbatch',
    'serving-engine = options.serving.engine',
    'serving-scheduler-batching = options.serving.scheduler.batching',
    'serving-scheduler-chunked = options.serving.scheduler.chunked',
    'serving-scheduler-max-tokens = options.serving.scheduler.maxTokens',
    'serving-scheduler-max-sequences = options.serving.scheduler.maxSequences',
    'serving-scheduler-block-tokens = options.serving.scheduler.blockTokens',
    'serving-scheduler-reserve = options.serving.scheduler.reserve',
    'serving-scheduler-admission = options.serving.scheduler.admission',
    'serving-scheduler-sharing = options.serving.scheduler.sharing',
    'serving-scheduler-preemption = options.serving.scheduler.preemption',
    'serving-host-step = options.serving.host.step',
    'serving-host-layer = options.serving.host.layer',
    'serving-host-sequence = options.serving.host.sequence',
    'serving-host-request = options.serving.host.request',
    'serving-host-issue = options.serving.host.issue',
    'serving-memory-fraction = options.serving.memoryFraction',
    'serving-load-clients = options.serving.load.clients',
    'serving-load-rate = options.serving.load.rate',
    'serving-load-requests = options.serving.load.requests',
    'serving-load-input = options.serving.load.input',
    'serving-load-output = options.serving.load.output',
    'serving-load-prefix = options.serving.load.prefix',
    'serving-load-seed = options.serving.load.seed',
    'tp-key-value-gradients = options.tp.keyValueGradients',
    'tp-overlap = options.tp.overlap',
    'ep-dispatch = options.ep.dispatch',
    'ep-redundant = options.ep.redundant',
    'ep-capacity-factor = options.ep.capacityFactor',
    'pp-balance = options.pp.balance',
    'pp-group = options.pp.group',
    'dp-gather = options.dp.gather',
    'dp-bucket = options.dp.bucket',
    'dp-prefetch = options.dp.prefetch',
    'dp-reduce = options.dp.reduce',
    'dp-reduce-dtype = options.dp.reduceDtype',
    'sp-attention = options.sp.attention',
    'sp-positions = options.sp.positions',
  ])
})
