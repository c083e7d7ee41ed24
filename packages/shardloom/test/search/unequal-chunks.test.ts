import { expect, test } from 'vitest'
import { finish, loadSpec } from '../../src/index.js'
import { questionOf, simulationOf } from '../../src/search/ask.js'
import { isMiss } from '../../src/search/step-points.js'
import { StepTree } from '../../src/search/step-tree.js'

/** Layers that are divided by what they take, into chunks of one and of two: those in flight at a time are not the mean ones. */
test.each([5, 6, 7, 8])('of %i unequal chunks those count that are in flight', async (virtual) => {
  const cluster = { preset: 'dgx-h100', nodes: 2 }
  const loaded = await loadSpec({ model: 'llama-3.1-8b', cluster, batch: 64, seq: 8192 })
  const question = questionOf(loaded, { choices: { recompute: ['none', 'stages'] } })
  const tree = new StepTree(loaded, question)
  const chosen = {
    cp: 2,
    tp: 1,
    pp: 4,
    microbatch: 2,
    zero: 0,
    schedule: 'interleaved1f1b',
    virtual,
    split: 'balanced',
  }
  const [none, stages] = ['none', 'stages'].map((recompute) => {
    const leaf = tree.leafOf({ ...chosen, recompute })
    if (!leaf) throw new Error('no such candidate')
    const point = tree.judge(leaf)
    const { metrics = {} } = finish(simulationOf(loaded, question, point))
    return { point, estimated: point.metrics['peak-memory'] ?? 0, simulated: metrics['peak-memory'] ?? 0 }
  })
  expect((none?.estimated ?? 0) / (none?.simulated ?? 1)).toBeCloseTo(1, 2)
  // As many layers recompute as it takes to fit.
  expect(stages && isMiss(stages.point)).toBe(false)
  expect(stages?.simulated).toBeLessThan(80 * 2 ** 30)
})
