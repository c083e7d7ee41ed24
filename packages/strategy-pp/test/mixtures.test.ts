import { prove } from 'shardloom/testing'
import { expect, test } from 'vitest'
import { uniform } from './models.js'

const mixtures = [
  [
    'prefill in chunks',
    { phase: 'prefill', batch: 4, seq: 8, parallel: { pp: 2 }, options: { prefill: { chunk: 2 } } },
  ],
  [
    'prefill after a cached prefix',
    { phase: 'prefill', batch: 4, seq: 8, parallel: { pp: 2 }, options: { prefill: { cached: 4 } } },
  ],
  ['prefill in microbatches', { phase: 'prefill', batch: 4, microbatch: 2, seq: 8, parallel: { pp: 2, tp: 2 } }],
  [
    'decode with batches in flight',
    { phase: 'decode', batch: 4, microbatch: 2, seq: 8, steps: 2, parallel: { pp: 2, tp: 2 } },
  ],
  ['a single decode step', { phase: 'decode', batch: 4, microbatch: 2, seq: 8, parallel: { pp: 2, tp: 2 } }],
  [
    'a ring and a divided backward',
    { batch: 4, seq: 8, parallel: { pp: 2, cp: 2 }, options: { schedule: 'zbh1', sp: { attention: 'ring' } } },
  ],
  [
    'full recompute on a V',
    { batch: 4, seq: 8, parallel: { pp: 2, tp: 2 }, options: { schedule: 'zbv', recompute: 'full' } },
  ],
  [
    'offload and a divided backward',
    { batch: 4, seq: 8, parallel: { pp: 2 }, options: { schedule: 'zbh1', offload: 'activations' } },
  ],
] as const

test.each(mixtures)('%s computes what one device computes', async (_, spec) => {
  const proof = await prove({ model: uniform(4), ...spec } as never)
  expect(proof.difference?.message).toBeUndefined()
  expect(proof.violations).toEqual([])
})

test('a value that goes past the layers is refused, not lost', async () => {
  const drafts = { phase: 'decode', batch: 4, seq: 8, steps: 2, parallel: { pp: 2 }, options: { decode: { draft: 2 } } }
  await expect(prove({ model: uniform(4), ...drafts } as never)).rejects.toThrow(/only what the layers carry/)
})

test('a tied table in shards is gathered by both ends, each for itself', async () => {
  const spec = { model: uniform(4, { tiedEmbeddings: true }), batch: 4, seq: 4, parallel: { pp: 2, dp: 2 } }
  const proof = await prove({ ...spec, options: { zero: 3 } } as never)
  expect(proof.difference?.message).toBeUndefined()
  expect(proof.violations).toEqual([])
})
