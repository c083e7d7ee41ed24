import { expect, test } from 'vitest'
import { loadSpec, type SpecInput, simulateLoaded } from '../../src/index.js'
import { prove } from '../../src/testing.js'

/** A GPT with dropout, whose attention exchanges heads: the masks of probabilities stand between scores and context. */
const spec = (dropout: number): SpecInput => ({
  model: {
    schema: 'shardloom.model/1',
    name: 'GPT',
    family: 'gpt2',
    hidden: 64,
    vocab: 256,
    tiedEmbeddings: true,
    learnedPositions: 128,
    maxPositions: 128,
    dropout,
    norm: { kind: 'layer', bias: true },
    layers: {
      layer: {
        attention: { kind: 'grouped', heads: 8, kvHeads: 8, headDim: 8, bias: { qkv: true, out: true }, rotary: false },
        ffn: { kind: 'dense', intermediate: 256, activation: 'gelu', bias: true },
        residual: 'sequential',
        norms: 'pre',
      },
    },
    order: { runs: [{ layer: 'layer', count: 2 }] },
  },
  cluster: 'dgx-h100',
  batch: 4,
  seq: 128,
  parallel: { ulysses: 2, tp: 2, dp: 2 },
})

test.each(['flash', 'materialised'] as const)('%s attention with dropout ends', async (attention) => {
  const loaded = await loadSpec({ ...spec(0.1), options: { attention } })
  const { step, timed } = simulateLoaded(loaded)
  expect(step.seconds).toBeGreaterThan(0)
  const dropped = [...timed.program.tensors.values()].filter(({ id }) => /layer\/attention\/dropout/.test(id))
  expect(dropped.length).toBeGreaterThan(0)
})

test('what exchanges heads around dropout computes what one device computes', async () => {
  const proof = await prove({ ...spec(0.1), options: { attention: 'materialised' } })
  expect(proof.difference?.message).toBeUndefined()
  expect(proof.proven).toBe(true)
})
