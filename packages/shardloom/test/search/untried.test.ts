import { expect, test } from 'vitest'
import { loadSpec } from '../../src/index.js'
import { questionOf, untriedChoices } from '../../src/search.js'

test('what saves memory and was not to choose from is told, of steps that keep activations', async () => {
  const step = { model: 'llama-3.1-8b', cluster: 'dgx-h100', batch: 16 }
  const training = await loadSpec(step)
  const asked = (choices = {}) => untriedChoices(training, questionOf(training, { ranks: 8, choices }))
  expect(asked()).toEqual(['recompute=stages', 'offload=activations'])
  expect(asked({ offload: ['none', 'activations'], recompute: ['stages'] })).toEqual([
    'recompute=none',
    'recompute=full',
  ])
  const decode = await loadSpec({ ...step, phase: 'decode' })
  expect(untriedChoices(decode, questionOf(decode, { ranks: 8 }))).toEqual([])
})
