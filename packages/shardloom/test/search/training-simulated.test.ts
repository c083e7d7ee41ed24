import { describe, expect, test } from 'vitest'
import { loadSpec, type SpecInput, simulateLoaded } from '../../src/index.js'
import { questionOf } from '../../src/search/ask.js'
import { loadedOf } from '../../src/search/serving-spec.js'
import { specOfStep } from '../../src/search/step-points.js'
import { StepTree } from '../../src/search/step-tree.js'
import { errorsOf, sizes } from './random-leaves.js'

const h100 = (nodes: number) => ({ accelerator: 'h100-sxm', nodes, perNode: 8 })
const gpt = (layers: number) => ({
  schema: 'shardloom.model/1',
  name: 'GPT of few layers',
  family: 'gpt2',
  hidden: 12_288,
  vocab: 51_200,
  tiedEmbeddings: true,
  learnedPositions: 2048,
  maxPositions: 2048,
  dropout: 0.1,
  norm: { kind: 'layer', bias: true },
  layers: {
    layer: {
      attention: {
        kind: 'grouped',
        heads: 96,
        kvHeads: 96,
        headDim: 128,
        bias: { qkv: true, out: true },
        rotary: false,
      },
      ffn: { kind: 'dense', intermediate: 49_152, activation: 'gelu', bias: true },
      residual: 'sequential',
      norms: 'pre',
    },
  },
  order: { runs: [{ layer: 'layer', count: layers }] },
})
const cases: readonly (readonly [string, number, SpecInput])[] = [
  ['llama-3.1-8b', 16, { model: 'llama-3.1-8b', cluster: h100(2), batch: 64, seq: 8192 }],
  ['mixtral-8x7b', 32, { model: 'mixtral-8x7b', cluster: h100(4), batch: 64, seq: 4096 }],
  ['gpt3-175b of 16 layers', 16, { model: gpt(16), cluster: h100(2), batch: 64, seq: 2048 }],
]

const count = 14

describe.each(cases)('%s on %i ranks, nothing offloaded', (_, ranks, spec) => {
  test('what the analytic model says is near to what the event simulation says', async () => {
    const loaded = await loadSpec(spec)
    const { time, memory } = errorsOf(loaded, questionOf(loaded, { ranks, choices: { offload: ['none'] } }), count)
    expect(time).toHaveLength(count)
    expect(sizes(time).median).toBeLessThan(0.02)
    expect(sizes(time).mean).toBeLessThan(0.05)
    expect(sizes(memory).median).toBeLessThan(0.03)
  })
})

// What ranks of dp share and hybrid sequences have their own errors: here it is what waits with the host.
const offloading = {
  offload: ['activations'],
  cp: [1],
  ulysses: [1],
  dpReplicate: [1],
  zero: [0, 1],
  microbatch: [1, 2, 4],
}

describe.each(cases)('%s on %i ranks, activations offloaded', (_, ranks, spec) => {
  test('what the analytic model says is near to what the event simulation says', async () => {
    const loaded = await loadSpec(spec)
    const { time, memory } = errorsOf(loaded, questionOf(loaded, { ranks, choices: offloading }), 8)
    expect(time).toHaveLength(8)
    for (const errors of [time, memory]) expect(sizes(errors).median).toBeLessThan(0.05)
    for (const errors of [time, memory]) expect(sizes(errors).worst).toBeLessThan(0.2)
  })
})

const apart = { schedule: ['zbh1', 'zbv', 'dualpipev'], pp: [2, 4, 8], offload: ['none'], zero: [0, 1] }

test.each(cases)(
  '%s on %i ranks holds under schedules that divide backward what it holds when simulated',
  async (_, ranks, spec) => {
    const loaded = await loadSpec(spec)
    const { memory } = errorsOf(loaded, questionOf(loaded, { ranks, choices: { ...offloading, ...apart } }), 8)
    expect(memory).toHaveLength(8)
    expect(sizes(memory).mean).toBeLessThan(0.03)
    expect(sizes(memory).worst).toBeLessThan(0.06)
  },
)

// Each microbatch reduces its gradients, over links that are slower than the kernels.
const reducing = { offload: ['none'], cp: [1], ulysses: [1], tp: [1, 2], pp: [2, 4, 8], microbatch: [1], zero: [2, 3] }

test.each([
  ['llama-3.1-8b', 'l40s-pcie'],
  ['mixtral-8x7b', 'dgx-h100'],
])('pipelines of %s on %s hold as many gradients that are not reduced as when simulated', async (model, preset) => {
  const loaded = await loadSpec({ model, cluster: { preset, nodes: 2 }, batch: 32, seq: 1024 })
  const { memory } = errorsOf(loaded, questionOf(loaded, { choices: reducing }), 6)
  expect(memory).toHaveLength(6)
  expect(sizes(memory).mean).toBeLessThan(0.04)
  expect(sizes(memory).worst).toBeLessThan(0.1)
})

test('experts on all ranks of dp and some of tp hold what they hold when the whole model is planned', async () => {
  const loaded = await loadSpec({ model: 'mixtral-8x7b', cluster: h100(4), batch: 64, seq: 4096 })
  const question = questionOf(loaded, { ranks: 32 })
  const tree = new StepTree(loaded, question)
  const degrees = { dp: 4, tp: 2, cp: 4, ulysses: 1, ep: 2, expertTp: 4, pp: 1, microbatch: 1, zero: 0 }
  const leaf = tree.leafOf({ ...degrees, order: 'dp,tp,ulysses,cp,pp', sequenceParallel: false, recompute: 'none' })
  if (!leaf) throw new Error('the space has no such point')
  const choices = tree.choicesOf(leaf)
  const { step } = simulateLoaded(loadedOf(loaded, specOfStep(tree, question, { choices })))
  const { seconds, bytes } = tree.figures(leaf)
  expect(bytes / Math.max(...step.ranks.map(({ memory }) => memory.peakBytes))).toBeCloseTo(1, 2)
  expect(Math.abs(seconds / step.seconds - 1)).toBeLessThan(0.05)
})

// Gradients of experts go over the links of tp, before its activations; and over links of their own, beside those of other parameters.
test.each([
  ['stand before activations', { dp: 8, tp: 4, ep: 8, expertTp: 1, sequenceParallel: true, pp: 1, microbatch: 2 }],
  ['go on beside others', { dp: 32, tp: 1, ep: 4, expertTp: 2, sequenceParallel: false, pp: 1, microbatch: 1 }],
] as const)('where links are slower than kernels gradients of experts %s', async (_, degrees) => {
  const levels = [
    { name: 'node', fanOut: 8, bandwidth: 100e9, latency: 5e-6 },
    { name: 'network', fanOut: 4, bandwidth: 12e9, latency: 10e-6 },
  ]
  const loaded = await loadSpec({
    model: 'mixtral-8x7b',
    cluster: { accelerator: 'h100-sxm', levels },
    batch: 128,
    seq: 4096,
  })
  const question = questionOf(loaded, { ranks: 32 })
  const tree = new StepTree(loaded, question)
  const leaf = tree.leafOf({ order: 'dp,tp,ulysses,cp,pp', recompute: 'none', zero: 2, ...degrees })
  if (!leaf) throw new Error('the space has no such point')
  const { step } = simulateLoaded(loadedOf(loaded, specOfStep(tree, question, { choices: tree.choicesOf(leaf) })))
  expect(Math.abs(tree.figures(leaf).seconds / step.seconds - 1)).toBeLessThan(0.08)
})

test.each([
  ['use', { gather: 'use' }],
  ['keep', { gather: 'keep' }],
  ['step', { gather: 'step' }],
  ['step, and reduced once', { gather: 'step', reduce: 'step' }],
  ['two layers ahead', { prefetch: 2 }],
] as const)('where the spec says that parameters are gathered: %s', async (_, dp) => {
  const spec = { model: 'llama-3.1-8b', cluster: h100(2), batch: 128, seq: 8192, options: { zero: 3, dp } }
  const loaded = await loadSpec(spec)
  const choices = { tp: [2], cp: [1], ulysses: [1], pp: [1, 2], zero: [3], microbatch: [1], schedule: ['1f1b'] }
  const question = questionOf(loaded, { ranks: 16, choices })
  const tree = new StepTree(loaded, question)
  for (const pp of [1, 2]) {
    const leaf = tree.leafOf({ pp, zero: 3, sequenceParallel: true, recompute: 'none' })
    if (!leaf) throw new Error('the space has no such point')
    const chosen = specOfStep(tree, question, { choices: tree.choicesOf(leaf) })
    const { step } = simulateLoaded(loadedOf(loaded, chosen))
    const { seconds, bytes } = tree.figures(leaf)
    expect(Math.abs(seconds / step.seconds - 1)).toBeLessThan(0.05)
    expect(bytes / Math.max(...step.ranks.map(({ memory }) => memory.peakBytes))).toBeGreaterThan(0.9)
  }
})

test('a chunk without layers takes and holds what it does when the whole model is simulated', async () => {
  const loaded = await loadSpec({ model: 'llama-3.1-8b', cluster: h100(2), batch: 64, seq: 8192 })
  const question = questionOf(loaded, {})
  const tree = new StepTree(loaded, question)
  const choices = { tp: 2, pp: 4, schedule: 'interleaved1f1b', virtual: 8, split: 'balanced', microbatch: 1, zero: 1 }
  const leaf = tree.leafOf(choices)
  if (!leaf) throw new Error('the space has no such point')
  expect(leaf.staging.optionsOf(leaf.cut, leaf.stored).layers).toContain(0)
  const { step } = simulateLoaded(loadedOf(loaded, specOfStep(tree, question, { choices: tree.choicesOf(leaf) })))
  const { seconds, bytes } = tree.figures(leaf)
  expect(Math.abs(seconds / step.seconds - 1)).toBeLessThan(0.02)
  expect(Math.abs(bytes / Math.max(...step.ranks.map(({ memory }) => memory.peakBytes)) - 1)).toBeLessThan(0.1)
})
