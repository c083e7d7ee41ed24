import { expect, test } from 'vitest'
import { loadSpec, type SpecInput, simulateLoaded } from '../../src/index.js'
import { questionOf } from '../../src/search/ask.js'
import { loadedOf } from '../../src/search/serving-spec.js'
import type { Leaf } from '../../src/search/step-nodes.js'
import { specOfStep } from '../../src/search/step-points.js'
import { StepTree } from '../../src/search/step-tree.js'
import { answerOf } from './every-point.js'
import { draws, randomPaths } from './random-leaves.js'

const on = (model: string, seq: number): SpecInput => ({
  model,
  cluster: { accelerator: 'h100-sxm', nodes: 4, perNode: 8 },
  batch: 64,
  seq,
})

test.each([on('gpt2', 1024), on('tiny-moe', 128)])(
  'of $model an order of axes that is left out takes and holds what the one that stands for it does',
  async (spec) => {
    const loaded = await loadSpec(spec)
    const question = questionOf(loaded, {})
    const tree = new StepTree(loaded, question)
    let compared = 0
    for (const path of randomPaths(tree, draws(5))) {
      const choices = tree.choicesOf(path.at(-1) as Leaf) // its last node
      const others = (question.choices['order'] ?? []).filter((order) => {
        const leaf = order !== choices['order'] && tree.leafOf({ ...choices, order })
        return leaf && tree.choicesOf(leaf)['order'] === choices['order']
      })
      const [own, ...twins] = [choices, ...others.map((order) => ({ ...choices, order }))].map((each) => {
        const { step } = simulateLoaded(loadedOf(loaded, specOfStep(tree, question, { choices: each })))
        return { seconds: step.seconds, bytes: Math.max(...step.ranks.map(({ memory }) => memory.peakBytes)) }
      })
      for (const twin of twins) {
        expect(twin.seconds / (own?.seconds ?? 0), JSON.stringify(choices)).toBeCloseTo(1, 9)
        expect(twin.bytes, JSON.stringify(choices)).toBe(own?.bytes)
      }
      compared += twins.length
      if (compared >= 4) break
    }
    expect(compared).toBeGreaterThanOrEqual(4)
  },
)

test('no two of the best differ by nothing but an order of axes that changes nothing', async () => {
  const loaded = await loadSpec(on('gpt2', 1024))
  const choices = { recompute: ['none'], microbatch: [1], zero: [1], split: ['even'], ulysses: [1], dpReplicate: [1] }
  const { best } = await answerOf(questionOf(loaded, { choices, top: 30, parts: 1 }))
  const withoutOrder = best.map(({ score, choices: { order: _, ...rest } }) => JSON.stringify([score, rest]))
  expect(new Set(withoutOrder).size).toBe(best.length)
  expect(best.length).toBeGreaterThanOrEqual(30)
})
