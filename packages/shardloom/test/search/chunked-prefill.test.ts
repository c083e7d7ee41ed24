import { expect, test } from 'vitest'
import { loadSpec, simulateLoaded, summariseSimulation } from '../../src/index.js'
import { questionOf } from '../../src/search/ask.js'
import { StepTree } from '../../src/search/step-tree.js'

// What a prompt takes in chunks is what they take one after the other, as the events have it.
test.each([
  ['llama-3.1-8b', 2048, { microbatch: 2 }],
  ['llama-3.1-8b', 512, { tp: 2, microbatch: 4 }],
  ['gpt-oss-120b', 2048, { tp: 2, microbatch: 4 }],
])('prefill of %s in chunks of %i on %j is estimated as it is simulated', async (model, chunk, choices) => {
  const spec = {
    model,
    cluster: 'dgx-h100',
    phase: 'prefill',
    batch: 4,
    seq: 8192,
    options: { prefill: { chunk } },
  } as const
  const loaded = await loadSpec(spec)
  const tree = new StepTree(
    loaded,
    questionOf(loaded, { ranks: 2, choices: { tp: [1, 2], ulysses: [1], cp: [1], pp: [1] } }),
  )
  const leaf = tree.leafOf({ tp: 1, ep: 1, expertTp: 1, sequenceParallel: false, ...choices })
  if (!leaf) throw new Error('the space has no such point')
  const { tp = 1, microbatch } = choices as { tp?: number; microbatch: number }
  const parallel = tp > 1 ? { tp } : { replicas: 2 }
  const simulated = summariseSimulation(simulateLoaded(await loadSpec({ ...spec, microbatch, parallel })))
  expect(tree.judge(leaf).score / simulated.stepSeconds).toBeCloseTo(1, 2)
})
