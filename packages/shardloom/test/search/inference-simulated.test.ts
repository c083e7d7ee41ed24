import { describe, expect, test } from 'vitest'
import { isShardloomError, loadSpec, type SpecInput, simulateLoaded } from '../../src/index.js'
import { questionOf } from '../../src/search/ask.js'
import { loadedOf } from '../../src/search/serving-spec.js'
import { specOfStep } from '../../src/search/step-points.js'
import { StepTree } from '../../src/search/step-tree.js'
import { draws, randomLeaves, sizes } from './random-leaves.js'

const h100 = (nodes: number) => ({ accelerator: 'h100-sxm', nodes, perNode: 8 })
const cases: readonly (readonly [string, number, SpecInput])[] = [
  ['prefill of llama-3.1-8b', 8, { model: 'llama-3.1-8b', cluster: h100(1), phase: 'prefill', batch: 16, seq: 4096 }],
  ['prefill of mixtral-8x7b', 16, { model: 'mixtral-8x7b', cluster: h100(2), phase: 'prefill', batch: 16, seq: 4096 }],
  ['decode of llama-3.1-70b', 16, { model: 'llama-3.1-70b', cluster: h100(2), phase: 'decode', batch: 64, seq: 8192 }],
  ['decode of mixtral-8x7b', 16, { model: 'mixtral-8x7b', cluster: h100(2), phase: 'decode', batch: 128, seq: 4096 }],
]

const count = 30

describe.each(cases)('%s on %i ranks', (_, ranks, spec) => {
  test('what the analytic model says is near to what the event simulation says', async () => {
    const loaded = await loadSpec(spec)
    const question = questionOf(loaded, { ranks })
    const tree = new StepTree(loaded, question)
    const [time, memory]: [number[], number[]] = [[], []]
    for (const leaf of randomLeaves(tree, draws(1))) {
      if (time.length === count) break
      const { seconds, bytes } = tree.figures(leaf)
      const choices = tree.choicesOf(leaf)
      try {
        const { step } = simulateLoaded(loadedOf(loaded, specOfStep(tree, question, { choices })))
        const peak = Math.max(...step.ranks.map(({ memory }) => memory.peakBytes))
        time.push(seconds / step.seconds - 1)
        memory.push(bytes / peak - 1)
      } catch (error) {
        // What only planning the whole model finds out is no candidate.
        if (!isShardloomError(error)) throw error
      }
    }
    expect(time).toHaveLength(count)
    expect(sizes(time).median).toBeLessThan(0.001)
    expect(sizes(time).worst).toBeLessThan(0.02)
    expect(sizes(memory).worst).toBeLessThan(0.001)
  })
})
