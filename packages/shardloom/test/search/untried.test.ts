import { scheduleNames } from '@shardloom/schedules'
import { expect, test } from 'vitest'
import { loadSpec, type SpecInput } from '../../src/index.js'
import { questionOf, untriedChoices } from '../../src/search.js'

test('what saves memory and was not to choose from is told, of steps that keep activations', async () => {
  const step = { model: 'llama-3.1-8b', cluster: 'dgx-h100', batch: 16 }
  const training = await loadSpec(step)
  const asked = (choices = {}) => untriedChoices(training, questionOf(training, { ranks: 8, choices }))
  expect(asked().slice(0, 2)).toEqual(['recompute=stages', 'offload=activations'])
  // All that there are but for those that are tried (`shardloom schedule --help`).
  const schedules = asked()[2]?.split('=')[1]?.split(',') ?? []
  expect(schedules).toContain('dualpipev')
  const tried = ['1f1b', 'interleaved1f1b', 'zbh1', 'zbv']
  expect([...schedules, ...tried].sort()).toEqual(scheduleNames().sort())
  expect(asked({ schedule: ['1f1b'] })).toEqual(['recompute=stages', 'offload=activations'])
  expect(asked({ offload: ['none', 'activations'], recompute: ['stages'], schedule: ['1f1b'] })).toEqual([
    'recompute=none',
    'recompute=full',
  ])
})

test('of inference types of eight bits are told, and of serving pools of their own, unless they are what is served', async () => {
  const step = { model: 'llama-3.1-8b', cluster: 'dgx-h100', batch: 16 }
  const untried = async (spec: Partial<SpecInput>, choices = {}) => {
    const loaded = await loadSpec({ ...step, ...spec })
    return untriedChoices(loaded, questionOf(loaded, { ranks: 8, choices }))
  }
  expect(await untried({ phase: 'decode' })).toEqual(['weightDtype=fp8', 'cacheDtype=fp8'])
  expect(await untried({ phase: 'serving' })).toEqual(['pools=2', 'weightDtype=fp8', 'cacheDtype=fp8'])
  expect(await untried({ phase: 'serving', options: { weightDtype: 'fp8' } })).toEqual(['pools=2', 'cacheDtype=fp8'])
  expect(await untried({ phase: 'serving' }, { pools: [1, 2], cacheDtype: ['bf16', 'fp8'] })).toEqual([
    'weightDtype=fp8',
  ])
})
