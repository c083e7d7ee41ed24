import { finish, loadSpec } from 'shardloom'
import { answersOf, emptyAnswer, estimatedOnly, questionOf, untriedChoices } from 'shardloom/search'
import { expect, test } from 'vitest'
import { resultLines } from '../../src/search/result-lines.js'
import { styleOf } from '../../src/style.js'
import { quiet } from './pretended.js'

const spec = { model: 'llama-3.1-8b', cluster: { preset: 'dgx-h100', nodes: 1 }, batch: 16, seq: 4096 } as const

test('of a search that is interrupted before candidates are counted, it is said when the best were found', async () => {
  const loaded = await loadSpec(spec)
  const choices = { cp: [1], ulysses: [1], offload: ['none'], recompute: ['none'], schedule: ['1f1b'] }
  const question = questionOf(loaded, { choices, parts: 1 })
  const { best } = finish(answersOf(loaded, question).part(0))
  const result = { loaded, question, simulated: 0, nearMisses: [], front: [], seconds: 3, interrupted: true }
  const style = styleOf(quiet.stdout, {})
  const lines = resultLines(
    { ...result, answer: { ...emptyAnswer, best }, best: estimatedOnly({ loaded, question }, best) },
    style,
  )
  const text = lines.join(' ').replace(/\s+/g, ' ')
  expect(text).toContain('none counted before it was interrupted: those below were found at the start')
  expect(text).not.toContain('0 evaluated')
  expect(lines.filter((line) => [...line].length > 80)).toEqual([])
  const nothing = resultLines({ ...result, answer: emptyAnswer, best: [] }, style).join(' ')
  expect(nothing).not.toContain('below')
})

test('of a search that is stopped when all was searched, it is said that it is complete, and what was not simulated', async () => {
  const loaded = await loadSpec(spec)
  const choices = { tp: [1], cp: [1], ulysses: [1], pp: [1], offload: ['none'], recompute: ['none'] }
  const question = questionOf(loaded, { choices, parts: 1, top: 1 })
  const answer = finish(answersOf(loaded, question).part(0))
  const told = (more: object) => {
    const best = estimatedOnly({ loaded, question }, answer.best)
    const result = {
      loaded,
      question,
      answer,
      best,
      simulated: 0,
      nearMisses: [],
      front: [],
      interrupted: false,
      seconds: 2,
    }
    return resultLines({ ...result, ...more }, styleOf(quiet.stdout, {})).join('\n')
  }
  const complete = told({ stopped: true })
  expect(complete).toMatch(/candidates .* complete: /)
  expect(complete).toContain('as estimated: interrupted before they were simulated')
  expect(complete).not.toMatch(/, +interrupted:/)
  expect(told({ stopped: true, interrupted: true })).toMatch(/candidates .* interrupted: /)
  expect(told({})).not.toMatch(/complete|interrupted/)
})

test('what was not tried, and of how much the answer is, stand within 80 columns', async () => {
  const loaded = await loadSpec(spec)
  const question = questionOf(loaded, { choices: { pp: [1], tp: [1] }, parts: 64 })
  const counts = { total: 4_000_000, rejected: {}, bounded: 3_000_000, evaluated: 1_000_000 }
  const told = (more: object) => {
    const answer = { ...emptyAnswer, counts }
    const result = {
      loaded,
      question,
      answer,
      best: [],
      simulated: 0,
      nearMisses: [],
      front: [],
      interrupted: false,
      ...more,
    }
    const lines = resultLines(result, styleOf(quiet.stdout, {}))
    expect(lines.filter((line) => [...line].length > 80)).toEqual([])
    return lines.join('\n')
  }
  const text = told({ seconds: 2, missing: [1, 5, 7] })
  expect(text).toMatch(/candidates +4,000,000 in 2 s, 2\.00 M\/s, {2}without 3 of 64 parts:/)
  // All values of the schedule are there, whole, whatever line they are in.
  const untried = untriedChoices(loaded, question).join('')
  expect(untried.length).toBeGreaterThan(66)
  const listed = text.slice(text.indexOf('not tried') + 9, text.indexOf('(--choose adds them)'))
  expect(listed.replace(/\s+/g, '')).toBe(untried)
  // 1,000,000 candidates in 2 s are 500,000 in one, whatever was there before.
  expect(told({ seconds: 2, resumed: 3_000_000 })).toContain('4,000,000, 1,000,000 of them now, in 2 s, 500 k/s:')
  expect(told({ seconds: 2, resumed: 4_000_000 })).toContain('4,000,000, all of them from the checkpoint:')
})

test('the table says of which metric an estimate is where the objective has none', async () => {
  const loaded = await loadSpec(spec)
  const choices = { tp: [1], cp: [1], ulysses: [1], pp: [1], offload: ['none'], recompute: ['full'], zero: [3] }
  for (const [objective, head] of [
    ['ranks', /to best +step estimate\n/],
    ['step-time', /to best +estimate\n/],
  ] as const) {
    const question = questionOf(loaded, { choices, parts: 1, top: 1, objective })
    const answer = finish(answersOf(loaded, question).part(0))
    const best = estimatedOnly({ loaded, question }, answer.best)
    const result = { loaded, question, answer, best, simulated: 0, nearMisses: [], front: [], interrupted: false }
    expect(resultLines(result, styleOf(quiet.stdout, {})).join('\n')).toMatch(head)
  }
})

test('where none of the best keeps all limits as simulated, others may', async () => {
  const loaded = await loadSpec(spec)
  const choices = { tp: [1], cp: [1], ulysses: [1], pp: [1], offload: ['none'], recompute: ['none'] }
  const question = questionOf(loaded, { choices, parts: 1, top: 1 })
  const answer = finish(answersOf(loaded, question).part(0))
  const best = estimatedOnly({ loaded, question }, answer.best)
  const missed = best.map((each) => ({ ...each, misses: [{ rule: 'memory', by: 0.1 }] }))
  const told = (bounded: number) => {
    const result = {
      loaded,
      question,
      simulated: missed.length,
      nearMisses: [],
      front: [],
      interrupted: false,
      best: missed,
    }
    const counts = { ...answer.counts, bounded }
    return resultLines({ ...result, answer: { ...answer, counts } }, styleOf(quiet.stdout, {})).join('\n')
  }
  expect(told(7)).toContain('Others may keep them: --top 20 simulates more.')
  expect(told(0)).not.toContain('--top')
})

test('of a long front both ends and points far from each other are shown, and where all are', async () => {
  const loaded = await loadSpec(spec)
  const question = questionOf(loaded, { choices: { pp: [1], tp: [1] }, parts: 1, front: ['step-time', 'peak-memory'] })
  const told = (places: readonly (readonly [seconds: number, gigabytes: number])[]) => {
    const front = places.map(([seconds, gigabytes], index) => ({
      name: `dp=${index + 2}`,
      choices: { dp: index + 2 },
      score: seconds,
      metrics: { 'step-time': seconds, 'peak-memory': gigabytes * 1e9 },
    }))
    const points = front.map((candidate) => ({ candidate, metrics: candidate.metrics }))
    const found = { answer: emptyAnswer, front: points, best: [], simulated: 0, nearMisses: [] }
    const result = { loaded, question, ...found, interrupted: false }
    const lines = resultLines(result, styleOf(quiet.stdout, {}))
    expect(lines.filter((line) => [...line].length > 80)).toEqual([])
    const shown = lines.flatMap((line) => /GB {2}dp (\d+)$/.exec(line)?.[1] ?? []).map((dp) => Number(dp) - 2)
    return { text: lines.join(' ').replace(/\s+/g, ' '), shown }
  }
  const line = (length: number) => Array.from({ length }, (_, index) => [1 + index / 10, 99 - index] as const)
  const { text, shown } = told(line(54))
  expect(text).toContain('20 of 54, spread over it with both ends: --json has all')
  expect(shown).toEqual([...new Set(shown)].sort((a, b) => a - b))
  expect([shown.length, shown[0], shown.at(-1)]).toEqual([20, 0, 53])
  // The furthest from its neighbours is taken first: no gap is twice as wide as 53 over 19, to the point.
  expect(Math.max(...shown.slice(1).map((index, at) => index - (shown[at] ?? 0)))).toBeLessThanOrEqual(5)
  const short = told(line(20))
  expect(short.shown).toHaveLength(20)
  expect(short.text).not.toContain('--json has all')
  // Points that are all but one another stand for each other; those that are apart are all there.
  const crowd = Array.from({ length: 60 }, (_, index) => [2 + index * 1e-6, 50 - index * 1e-6] as const)
  const apart = told([...line(10), ...crowd.map(([x, y]) => [x + 1, y] as const)])
  expect(apart.shown.filter((index) => index < 10)).toHaveLength(10)
})
