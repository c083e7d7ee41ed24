import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Answer, emptyAnswer, mergeAnswers } from '../src/index.js'
import { answerOf, candidates, keeping } from './arbitrary.js'

/** Points that are divided among parts, and what each part answers. */
const parts = fc.tuple(candidates(60), fc.integer({ min: 1, max: 6 }), keeping).map(([points, count, keep]) => {
  const answers = Array.from({ length: count }, (_, part) =>
    answerOf(
      points.filter((_, index) => index % count === part),
      keep,
    ),
  )
  return { points, answers, keep }
})

test('the answers of parts merge into the answer of the whole', () => {
  fc.assert(
    fc.property(parts, ({ points, answers, keep }) => {
      expect(mergeAnswers(answers, keep)).toEqual(answerOf(points, keep))
    }),
  )
})

test('merging is commutative and associative, byte for byte, and has an identity', () => {
  fc.assert(
    fc.property(parts, fc.nat(), ({ answers, keep }, seed) => {
      const text = (...all: readonly Answer[]) => JSON.stringify(mergeAnswers(all, keep))
      const whole = text(...answers)
      expect(text(...[...answers].reverse())).toBe(whole)
      const cut = seed % (answers.length + 1)
      expect(text(mergeAnswers(answers.slice(0, cut), keep), mergeAnswers(answers.slice(cut), keep))).toBe(whole)
      expect(text(emptyAnswer, ...answers, emptyAnswer)).toBe(whole)
      expect(text(...answers.map((answer) => JSON.parse(JSON.stringify(answer))))).toBe(whole)
    }),
  )
})

test('what is kept beyond the best is merged as the best are', () => {
  fc.assert(
    fc.property(parts, fc.nat(9), ({ points, keep }, more) => {
      const wide = { ...keep, kept: keep.top + more }
      const answers = points.map((point) => answerOf([point], { ...keep, top: wide.kept }))
      expect(mergeAnswers(answers, wide).best).toEqual(answerOf(points, { ...keep, top: wide.kept }).best)
    }),
  )
})

test('rules are counted whatever they are called', () => {
  const answer: Answer = {
    ...emptyAnswer,
    counts: { ...emptyAnswer.counts, total: 2, rejected: JSON.parse('{"__proto__": 2}') },
  }
  expect(JSON.stringify(mergeAnswers([answer, answer], { top: 1 }).counts.rejected)).toBe('{"__proto__":4}')
})
