import { finish } from '@shardloom/core'
import { describe, expect, test } from 'vitest'
import { loadSpec } from '../../src/index.js'
import { Samples } from '../../src/search/samples.js'
import { StepModel } from '../../src/search/step-model.js'
import { answersOf, questionOf } from '../../src/search.js'

/** What a search measures of samples that it has planned for others, and what is found of each alone. */
async function measuredBy(
  spec: Parameters<typeof loadSpec>[0],
  choices: Record<string, readonly (string | number | boolean)[]>,
  every: number,
) {
  const loaded = await loadSpec(spec)
  const question = questionOf(loaded, { parts: 1, choices })
  const differing: string[] = []
  let asked = 0
  const { blocks, states } = Samples.prototype
  type Measure = (this: Samples, ...asked: Parameters<typeof blocks>) => object
  const comparing = (measure: Measure): Measure =>
    function (spec, laid) {
      const found = measure.call(this, spec, laid)
      if (asked++ % every > 0) return found
      const alone = measure.call(new Samples(loaded, this.pipelines), spec, laid)
      if (textOf(found) !== textOf(alone)) differing.push(JSON.stringify([spec.parallel, spec.order, spec.options]))
      return found
    }
  Object.assign(Samples.prototype, { blocks: comparing(blocks), states: comparing(states) })
  try {
    finish(answersOf(loaded, question).part(0))
  } finally {
    Object.assign(Samples.prototype, { blocks, states })
  }
  return { asked, differing }
}

/** But for what sums in another order differ by. */
function textOf(found: object): string {
  const entries = found instanceof Map ? [...found] : Object.entries(found)
  return JSON.stringify(entries, (_, value: unknown) =>
    typeof value === 'number' ? Number(value.toPrecision(11)) : value instanceof Map ? [...value] : value,
  )
}

/** Llama 3.2 3B: 24 heads on 8 of keys and values, of which two ranks split the latter and three what is left in a group. */
const llama3b = {
  model_type: 'llama',
  hidden_size: 3072,
  intermediate_size: 8192,
  num_hidden_layers: 28,
  num_attention_heads: 24,
  num_key_value_heads: 8,
  head_dim: 128,
  vocab_size: 128256,
}

describe('what a search has measured on its way is what is found alone, whatever was asked before', () => {
  test.each([
    // Eight heads of keys and values: sixteen ranks of tp are two atoms, and something is split along one of them alone.
    [
      { model: 'llama-3.1-405b', cluster: { preset: 'dgx-h100', nodes: 64 }, batch: 512, seq: 8192 },
      { tp: [16, 8, 4], sequenceParallel: [true], ulysses: [1], recompute: ['none'], schedule: ['1f1b'] },
      3,
    ],
    [
      { model: llama3b, cluster: { preset: 'dgx-h100', nodes: 6 }, batch: 48, seq: 3072 },
      { tp: [2, 6, 16], ulysses: [3, 2, 8, 12], cp: [1, 2], recompute: ['none'], schedule: ['1f1b'] },
      3,
    ],
    [
      {
        model: llama3b,
        cluster: { preset: 'dgx-h100', nodes: 6 },
        batch: 48,
        seq: 3072,
        options: { uneven: 'ragged' },
      },
      { tp: [2, 3, 6], ulysses: [3, 2, 4], cp: [1], recompute: ['none'], schedule: ['1f1b'] },
      3,
    ],
    // Experts divide ranks of dp once more, of which some are copies.
    [
      { model: 'mixtral-8x7b', cluster: { preset: 'dgx-h100', nodes: 2 }, batch: 64, seq: 4096 },
      { tp: [1, 2], cp: [1], ulysses: [1], recompute: ['none'], schedule: ['1f1b'] },
      7,
    ],
    [
      {
        model: 'deepseek-v3',
        cluster: { preset: 'dgx-h100', nodes: 4 },
        batch: 256,
        seq: 4096,
        phase: 'decode',
      },
      {},
      27,
    ],
  ] as const)('%j', async (spec, choices, every) => {
    const { asked, differing } = await measuredBy(spec, choices, every)
    expect(differing).toEqual([])
    expect(asked).toBeGreaterThan(100)
  })
})

test('experts are shared by the ranks that are left of theirs, without the copies', async () => {
  const loaded = await loadSpec({
    model: 'mixtral-8x7b',
    cluster: { preset: 'dgx-h100', nodes: 8 },
    batch: 256,
    seq: 4096,
  })
  const model = new StepModel(loaded)
  const degrees = { dp: 32, tp: 1, cp: 2, ulysses: 1, pp: 1, ep: 4, expertTp: 2 }
  const bytesOf = (samples: Samples, dpReplicate: number) => {
    const spec = model.specOf({ ...degrees, dpReplicate, zero: 3, microbatch: 1, schedule: '1f1b' })
    const shares = samples.states(spec, samples.laidBy(spec)).get('layer')?.shares ?? []
    const own = shares.filter(({ field, isOfExperts }) => isOfExperts && field === 'parameterBytes')
    return own.reduce((sum, { bytes }) => sum + bytes, 0)
  }
  const samples = new Samples(loaded, model.pipelines)
  // Eight experts of three matrices and their rows of the router in two bytes (Jiang et al. 2024), over all 64 ranks but for the copies.
  const all = 8 * (3 * 4096 * 14336 + 4096) * 2
  for (const copies of [4, 2, 1]) expect(bytesOf(samples, copies)).toBe((all * copies) / 64)
})
