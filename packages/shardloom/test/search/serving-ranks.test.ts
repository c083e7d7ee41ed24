import { describe, expect, test } from 'vitest'
import { finish, loadSpec, type SpecInput, simulateLoaded, summariseSimulation } from '../../src/index.js'
import { answersOf, mergeAnswers, nearMissesOf, questionOf, type SearchOptions } from '../../src/search.js'

const usual = { input: 2048, output: 512 }

async function answered(spec: SpecInput, options: SearchOptions) {
  const loaded = await loadSpec({ phase: 'serving', cluster: 'dgx-h100', ...spec })
  const question = questionOf(loaded, { parts: 1, ...options })
  return { loaded, question, answer: mergeAnswers([finish(answersOf(loaded, question).part(0))], question) }
}

const fits = async (spec: SpecInput, options: SearchOptions) => (await answered(spec, options)).answer.best.length > 0

async function asked(spec: SpecInput, options: SearchOptions) {
  const { loaded, question, answer } = await answered(spec, options)
  return { fits: answer.best.length > 0, misses: nearMissesOf({ loaded, question }, answer, question) }
}

const specOf = (model: string, options: SpecInput['options'] = {}, load = {}): SpecInput => ({
  model,
  options: { ...options, serving: { load: { ...usual, ...load } } },
})

/** The number of ranks that a search which finds nothing says would do. */
async function ranksFor(spec: SpecInput, options: SearchOptions): Promise<number | undefined> {
  const { fits, misses } = await asked(spec, options)
  expect(fits).toBe(false)
  const told = misses.flatMap(({ fixes }) => fixes.flatMap(({ change }) => /^ranks=(\d+)/.exec(change)?.[1] ?? []))
  expect(new Set(told).size).toBeLessThanOrEqual(1)
  return told[0] === undefined ? undefined : Number(told[0])
}

describe('where no engine fits, the fewest ranks are told on which one does', () => {
  test.each([
    // Meta 2024, The Llama 3 Herd of Models, section 6.1: in BF16 the 405B does not fit in one node of 8 H100, and runs on two.
    [specOf('llama-3.1-405b'), 8, 16],
    [specOf('llama-3.1-405b'), 2, 16],
    // SGLang documentation, DeepSeek V3: the weights in FP8 need two nodes of 8 H100.
    [specOf('deepseek-v3', { weightDtype: 'fp8' }), 8, 16],
    // 141 GB of weights on devices of 80 GB.
    [specOf('llama-3.1-70b'), 1, 2],
  ] as const)('%j on %i', async (spec, ranks, fewest) => {
    expect(await ranksFor(spec, { ranks, choices: { clients: [4, 64] } })).toBe(fewest)
    expect(await fits(spec, { ranks: fewest, choices: { clients: [4] } })).toBe(true)
  })

  // Section 6.2 of the same: in FP8 it fits in one.
  test('and nothing of the kind where it fits', async () => {
    const spec = specOf('llama-3.1-405b', { weightDtype: 'fp8' })
    expect(await fits(spec, { ranks: 8, choices: { clients: [4] } })).toBe(true)
  })

  test('no more than the cluster has, or a limit leaves', async () => {
    const spec = specOf('llama-3.1-405b')
    expect(await ranksFor({ ...spec, cluster: { preset: 'dgx-h100', nodes: 1 } }, { ranks: 8 })).toBe(undefined)
    expect(await ranksFor(spec, { ranks: 8, limits: [{ metric: 'ranks', most: 8 }] })).toBe(undefined)
  })
})

test('engines that are too slow for a rate or a limit are as many as it takes', async () => {
  const spec = (rate: number) => specOf('llama-3.1-8b', {}, { rate })
  const few = await ranksFor(spec(40), { ranks: 1 })
  expect(few).toBeGreaterThan(1)
  expect(await fits(spec(40), { ranks: few ?? 0 })).toBe(true)
  // As many engines again serve as much again.
  expect(await fits(spec(80), { ranks: 2 * (few ?? 0) })).toBe(true)
  const limits = [{ metric: 'tokens-per-second', least: 20_000 }]
  const ranks = await ranksFor(specOf('llama-3.1-8b'), { ranks: 1, limits })
  expect(await fits(specOf('llama-3.1-8b'), { ranks: ranks ?? 0, limits })).toBe(true)
})

test('what no ranks mend has no such change', async () => {
  const { misses } = await asked(specOf('llama-3.1-8b'), { ranks: 8, limits: [{ metric: 'tpot', most: 1e-5 }] })
  expect(misses.find(({ miss }) => miss.rule === 'tpot')?.fixes).toEqual([])
})

// A token passes all weights, of which a rank of tp reads its share at 3.35 TB/s at most (NVIDIA, H100 SXM datasheet).
test('a near miss names the limits that it misses besides, or says that nobody knows', async () => {
  const [most, weights, bandwidth] = [0.015, 2 * 70.6e9, 3.35e12]
  const limits = [
    { metric: 'tpot', most },
    { metric: 'ttft', most: 0.05 },
  ]
  const { misses } = await asked(specOf('llama-3.1-70b'), { ranks: 8, limits })
  expect(misses.map(({ miss }) => miss.rule)).toEqual(expect.arrayContaining(['kv-cache', 'memory']))
  for (const { miss, also, unknown } of misses) {
    const told = [
      miss.rule,
      ...also.map(({ rule }) => rule.replace(/<=.*/, '')),
      ...unknown.map((rule) => rule.replace(/<=.*/, '')),
    ]
    if (weights / Number(miss.choices['tp'] ?? 1) / bandwidth > most) expect(told, miss.name).toContain('tpot')
    if (miss.rule === 'kv-cache')
      expect([unknown, also.map(({ rule }) => rule)]).toEqual([[], ['tpot<=0.015', 'ttft<=0.05']])
  }
})

test('types of fewer bits are told as not among the choices, whether or not they were a choice', async () => {
  // 70.6e9 parameters of two bytes are 141 GB; of two devices of 80 GB an engine may have nine tenths.
  const { loaded, question, answer } = await answered(specOf('llama-3.1-70b'), { ranks: 2 })
  expect(question.choices['weightDtype']).toBeUndefined()
  const fixes = nearMissesOf({ loaded, question }, answer, question).flatMap((near) => near.fixes)
  const narrow = fixes.filter(({ change }) => change.startsWith('weightDtype='))
  expect(narrow.length).toBeGreaterThan(0)
  for (const { outside } of narrow) expect(outside).toContain('weightDtype')
  const among = { ...question, choices: { ...question.choices, weightDtype: ['bf16', 'fp8'] } }
  const told = nearMissesOf({ loaded, question }, answer, question, among).flatMap((near) => near.fixes)
  for (const { change, outside } of told) if (change === 'weightDtype=fp8') expect(outside).not.toContain('weightDtype')
})

// Copies of a step divide its batch: each decodes fewer sequences at a time, reads less of the cache, and is sooner done.
test('a step of decode that is too slow for a limit is told on how many ranks copies of it keep it', async () => {
  const spec = { model: 'llama-3.1-8b', cluster: 'dgx-h100', phase: 'decode', batch: 64, seq: 4096 } as const
  const limits = [{ metric: 'tpot', most: 0.004 }]
  const { fits, misses } = await asked(spec, { ranks: 8, limits })
  expect(fits).toBe(false)
  const [fix] = misses.flatMap((miss) => miss.fixes).filter(({ change }) => change.startsWith('ranks='))
  expect(fix?.change).toBe('ranks=16')
  const simulated = simulateLoaded(await loadSpec({ ...spec, parallel: { tp: 4, replicas: 4 } }))
  expect(summariseSimulation(simulated).stepSeconds).toBeLessThan(0.004)
})
