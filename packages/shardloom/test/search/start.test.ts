import { mergeAnswers } from '@shardloom/search'
import { describe, expect, test } from 'vitest'
import { finish, loadSpec } from '../../src/index.js'
import { answersOf } from '../../src/search/ask.js'
import { nextStart, type Question, questionOf, type Start, startOf } from '../../src/search.js'

const spec = { model: 'llama-3.1-8b', cluster: { preset: 'dgx-h100', nodes: 2 }, batch: 32, seq: 4096 } as const

/** Two nodes, over which copies and stages lie in several ways. */
const few = {
  order: ['tp,ulysses,cp,dp,pp'],
  tp: [1, 4],
  cp: [1],
  ulysses: [1],
  recompute: ['none'],
  schedule: ['1f1b'],
  virtual: [1],
}

/** What others say is text: nothing that is no plain data comes through. */
const told = <Data>(data: Data): Data => JSON.parse(JSON.stringify(data))

/** A start by several who share a round, in any order, of which nobody hears of another's work. */
async function startOfMany(question: Question, order: (shares: number[]) => number[], hands: number): Promise<Start> {
  const all = await Promise.all(
    Array.from({ length: hands }, async () => answersOf(await loadSpec(question.spec), question)),
  )
  let start = startOf(question)
  while (start.shares > 0) {
    const shares = order(Array.from({ length: start.shares }, (_, share) => share))
    const answers = shares.map((share, index) => {
      const answering = all[index % hands]
      if (!answering) throw new Error('nobody answers')
      return told(finish(answering.share(told(start), share)))
    })
    start = nextStart(question, start, answers)
  }
  return start
}

describe.each([{}, { front: ['step-time', '-memory-headroom'] as const }, { objective: 'memory-headroom' }])(
  'what parts of a search begin with, asked %j',
  (options) => {
    test('is the same whoever finds it in whatever order, and no part finds anything else with it', async () => {
      const loaded = await loadSpec(spec)
      const question = questionOf(loaded, { ...options, parts: 3, choices: few })
      const one = await startOfMany(question, (shares) => shares, 1)
      const two = await startOfMany(question, (shares) => shares.reverse(), 2)
      expect(told(two)).toEqual(told(one))

      const given = answersOf(loaded, question)
      const alone = answersOf(await loadSpec(spec), question)
      const answers = [0, 1, 2].map((part) => finish(alone.part(part)))
      expect([0, 1, 2].map((part) => finish(given.part(part, told(two))))).toEqual(answers)

      const whole = mergeAnswers(answers, question)
      expect(whole.best[0]?.score).toBeLessThanOrEqual(one.found.best[0]?.score ?? Number.NaN)
      expect(one.found.counts.total).toBe(0)
    })
  },
)

test('of serving nothing comes before the parts', async () => {
  const loaded = await loadSpec({
    model: 'llama-3.1-8b',
    cluster: { preset: 'dgx-h100', nodes: 1 },
    phase: 'serving',
    batch: 8,
    seq: 1024,
  })
  expect(startOf(questionOf(loaded)).shares).toBe(0)
})
