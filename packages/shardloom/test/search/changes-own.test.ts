import { expect, test } from 'vitest'
import { finish, loadSpec, simulateLoaded } from '../../src/index.js'
import { changesOfSpec, isMiss, questionOf, simulationOf } from '../../src/search.js'

test('what a spec has need not be among the usual choices', async () => {
  const loaded = await loadSpec({
    model: 'llama-3.1-8b',
    cluster: { preset: 'dgx-h100', nodes: 1 },
    batch: 64,
    seq: 4096,
    parallel: { pp: 4, dp: 2 },
    options: { schedule: 'dualpipe', zero: 1 },
  })
  const question = questionOf(loaded, {})
  expect(question.choices['schedule']).not.toContain('dualpipe')
  const { point, changes } = changesOfSpec(loaded, question)
  if (!point || isMiss(point)) throw new Error('the spec is a candidate')
  expect(point.choices['schedule']).toBe('dualpipe')
  // The point is the spec: simulated, it takes what the spec does.
  const { metrics } = finish(simulationOf(loaded, question, point))
  expect(metrics?.['step-time']).toBeCloseTo(simulateLoaded(loaded).step.seconds, 9)
  expect(changes.every(({ candidate }) => candidate.score < point.score)).toBe(true)
})
