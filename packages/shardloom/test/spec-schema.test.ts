import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { specFields, specJsonSchema } from '../src/index.js'

/** After a change of the schema: write `specJsonSchema()` to this file and run `npm run format`. */
const published = join(import.meta.dirname, '..', 'schema', 'spec.schema.json')

test('the published JSON Schema is the one that specs are checked with', () => {
  expect(JSON.parse(readFileSync(published, 'utf8'))).toEqual(specJsonSchema())
})

test('every scalar field has one flag, named after it', () => {
  const flags = specFields().map(({ flag, path }) => `${flag} = ${path.join('.')}`)
  expect(flags).toEqual([
    'preset = preset',
    'model = model',
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
    'causal = options.causal',
    'dtype = options.dtype',
    'gradient-dtype = options.gradientDtype',
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
    'prefill-chunk = options.prefill.chunk',
    'prefill-cached = options.prefill.cached',
    'tp-key-value-gradients = options.tp.keyValueGradients',
    'tp-overlap = options.tp.overlap',
    'ep-dispatch = options.ep.dispatch',
    'ep-redundant = options.ep.redundant',
    'pp-balance = options.pp.balance',
    'pp-group = options.pp.group',
    'dp-gather = options.dp.gather',
    'dp-bucket = options.dp.bucket',
    'dp-prefetch = options.dp.prefetch',
    'dp-reduce = options.dp.reduce',
    'sp-attention = options.sp.attention',
    'sp-positions = options.sp.positions',
  ])
})
