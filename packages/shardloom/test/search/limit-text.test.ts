import { describe, expect, test } from 'vitest'
import { finish, loadSpec } from '../../src/index.js'
import {
  answersOf,
  mergeAnswers,
  questionOf,
  readLimit,
  rejectionText,
  servingMetricTable,
  stepMetrics,
} from '../../src/search.js'

describe('a limit', () => {
  test('of every metric of every phase is read with a unit of its own, or none', () => {
    const metrics = [...Object.values(stepMetrics).flatMap(Object.keys), ...Object.keys(servingMetricTable)]
    for (const metric of new Set(metrics)) expect(() => readLimit(`${metric}<=1xyz`)).toThrow(/has no unit `xyz`/)
  })

  test.each([
    ['steptime<=60s', 'There is no metric `steptime`.', 'Did you mean `step-time`?'],
    ['peakmemory<=70GB', 'There is no metric `peakmemory`.', 'Did you mean `peak-memory`?'],
    ['step-time<=60GB', 'The metric step-time has no unit `GB`.', 'Use us, ms, s, min, h, or none.'],
  ])('%s', (text, message, help) => {
    expect(() => readLimit(text)).toThrow(expect.objectContaining({ code: 'LIMIT', message, help }))
  })
})

describe('what conflicts', () => {
  const spec = { model: 'llama-3.1-8b', cluster: { preset: 'dgx-h100', nodes: 1 }, batch: 16, seq: 1024 } as const

  test('in decode is a cache that dcp splits: 8 heads of keys on 4 ranks of tp leave no copies', async () => {
    const loaded = await loadSpec({ ...spec, phase: 'decode' })
    const question = questionOf(loaded, { choices: { tp: [4], dcp: [1, 2], pp: [1] }, parts: 1 })
    const { counts } = mergeAnswers([finish(answersOf(loaded, question).part(0))], question)
    expect(counts.rejected['CONFLICT']).toBeGreaterThan(0)
    expect(rejectionText('CONFLICT', question)).toBe('CONFLICT (dcp beyond the copies of the KV cache)')
    const none = questionOf(loaded, { choices: { tp: [4], dcp: [1], pp: [1] }, parts: 1 })
    expect(rejectionText('CONFLICT', none)).toBe('CONFLICT')
  })

  test('other rules are told as they are, limits with their numbers', async () => {
    const loaded = await loadSpec(spec)
    const question = questionOf(loaded, { limits: [{ metric: 'step-time', most: 2 }], parts: 1 })
    expect(rejectionText('memory', question)).toBe('memory')
    expect(rejectionText('step-time<=2', question).replaceAll('\u00a0', ' ')).toBe('step-time <= 2 s')
  })
})

test('where nothing says how many ranks there are, the help says what does', async () => {
  const loaded = await loadSpec({ model: 'llama-3.1-8b', cluster: 'dgx-h100' })
  expect(() => questionOf(loaded, {})).toThrow(
    expect.objectContaining({
      code: 'RANKS',
      help: expect.stringMatching(/^Give `--ranks`.*\{preset: dgx-h100, nodes: 8\}/),
    }),
  )
  // What the help shows is taken.
  const named = await loadSpec({ model: 'llama-3.1-8b', cluster: { preset: 'dgx-h100', nodes: 8 } })
  expect(questionOf(named, {}).ranks).toBe(64)
})
