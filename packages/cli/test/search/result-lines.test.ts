import { finish, loadSpec } from 'shardloom'
import { answersOf, emptyAnswer, estimatedOnly, questionOf } from 'shardloom/search'
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
  const result = { loaded, question, simulated: 0, nearMisses: [], seconds: 3, interrupted: true }
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

test('where none of the best keeps all limits as simulated, others may', async () => {
  const loaded = await loadSpec(spec)
  const choices = { tp: [1], cp: [1], ulysses: [1], pp: [1], offload: ['none'], recompute: ['none'] }
  const question = questionOf(loaded, { choices, parts: 1, top: 1 })
  const answer = finish(answersOf(loaded, question).part(0))
  const best = estimatedOnly({ loaded, question }, answer.best)
  const missed = best.map((each) => ({ ...each, misses: [{ rule: 'memory', by: 0.1 }] }))
  const told = (bounded: number) => {
    const result = { loaded, question, simulated: missed.length, nearMisses: [], interrupted: false, best: missed }
    const counts = { ...answer.counts, bounded }
    return resultLines({ ...result, answer: { ...answer, counts } }, styleOf(quiet.stdout, {})).join('\n')
  }
  expect(told(7)).toContain('Others may keep them: --top 20 simulates more.')
  expect(told(0)).not.toContain('--top')
})
