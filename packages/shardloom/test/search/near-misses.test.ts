import type { Candidate } from '@shardloom/search'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { distanceToBest, type NearMiss, tieError, withOutcomes } from '../../src/search/near-misses.js'
import { bestOf, fitsText, fixText, type Question, type SimulatedCandidate } from '../../src/search.js'

const question: Question = {
  schema: 'shardloom.question/1',
  spec: { model: 'tiny' },
  ranks: 8,
  objective: 'step-time',
  limits: [],
  choices: {},
  parts: 1,
  top: 2,
}

const candidate = (name: string, seconds: number): Candidate => {
  return { name, choices: {}, score: seconds, metrics: { 'step-time': seconds } }
}

function simulated(of: Candidate, seconds: number): SimulatedCandidate {
  return {
    candidate: of,
    spec: question.spec,
    metrics: { 'step-time': seconds },
    score: seconds,
    statedErrors: { 'step-time': 0.07 },
    misses: [],
  }
}

const refused = (of: Candidate): SimulatedCandidate => ({ candidate: of, spec: question.spec, misses: [] })

/** A near miss of which these would keep the rule. */
const nearMiss = (...fixes: readonly Candidate[]): NearMiss => ({
  miss: { ...candidate('miss', 1), rule: 'memory', by: 0.01 },
  spec: question.spec,
  also: [],
  unknown: [],
  fixes: fixes.map((each) => ({ change: each.name, candidate: each, outside: [] })),
})

/** What is told of the fixes of a near miss beside the best two of what was simulated. */
function toldOf(near: NearMiss, outcomes: readonly SimulatedCandidate[]) {
  const { best } = bestOf(outcomes, question.top)
  const [told] = withOutcomes([near], outcomes)
  return (told?.fixes ?? []).map((fix) => fixText(fix, best, question).replaceAll('\u00a0', ' '))
}

describe('a fix is told', () => {
  const [a, b, c] = [candidate('a', 6.7), candidate('b', 6.71), candidate('c', 6.59)]
  const outcomes = [simulated(a, 6.67), simulated(b, 6.68), simulated(c, 6.75)]

  test('as it was simulated, with its place or its distance, whatever it was estimated at', () => {
    // 6.75 is 1.2 % more than 6.67.
    expect(toldOf(nearMiss(c, a), outcomes)).toEqual([
      'step-time 6.75 s as simulated, +1.2 % to the best, a tie',
      'step-time 6.67 s as simulated, number 1 above',
    ])
  })

  test('as estimated where it was not simulated, beside the estimate of the best', () => {
    expect(toldOf(nearMiss(candidate('d', 6.6)), outcomes)).toEqual(['step-time 6.60 s as estimated, the best 6.70 s'])
    expect(toldOf(nearMiss(candidate('d', 6.6)), [])).toEqual(['step-time 6.60 s as estimated'])
  })

  test('with the limits that it misses as simulated', () => {
    const missing = { ...simulated(c, 6.75), misses: [{ rule: 'memory', by: 0.02 }] }
    const [told] = toldOf(nearMiss(c), [...outcomes.slice(0, 2), missing])
    expect(told).toMatch(/as simulated.*, which misses memory by 2\.0 %/)
  })

  test('never as better than the best in one measure where it is worse in the other', () => {
    const seconds = fc.double({ min: 1, max: 1.2, noNaN: true })
    const point = fc.record({ estimate: seconds, simulation: fc.option(seconds, { nil: undefined }) })
    fc.assert(
      fc.property(fc.array(point, { minLength: 1, maxLength: 8 }), (points) => {
        const drawn = points.map(({ estimate, simulation }, index) => {
          const of = candidate(`point ${index}`, estimate)
          return { of, outcome: simulation === undefined ? undefined : simulated(of, simulation) }
        })
        const outcomes = drawn.flatMap(({ outcome }) => outcome ?? [])
        const least = Math.min(...outcomes.map(({ score = 0 }) => score))
        const texts = toldOf(nearMiss(...drawn.map(({ of }) => of)), outcomes)
        texts.forEach((text, index) => {
          const simulation = drawn[index]?.outcome?.score
          expect(text).toContain(simulation === undefined ? 'as estimated' : 'as simulated')
          if (simulation === undefined) return
          const isWorse = simulation > least * 1.001
          expect(text).toMatch(isWorse ? /number 2 above|\+\d+\.\d % to the best/ : /number \d above|[±+]0\.\d % to/)
          if (isWorse) expect(text).not.toContain('number 1')
        })
      }),
    )
  })
})

test('what was not simulated is compared with the best as both are estimated', () => {
  const best = simulated(candidate('best', 10), 12)
  // Its 11 s are 10 % more than the 10 s that the best was estimated at, though less than the 12 s that it takes.
  const other = distanceToBest(best, refused(candidate('other', 11)), 'step-time')
  expect(other).toMatchObject({ measure: 'estimated' })
  expect(other?.relative).toBeCloseTo(0.1, 12)
  const both = distanceToBest(best, simulated(candidate('other', 11), 12.6), 'step-time')
  expect(both).toMatchObject({ measure: 'simulated', tie: true })
  expect(both?.relative).toBeCloseTo(0.05, 12)
})

test('a tie is within the larger of the errors that both are stated to be good for, whichever has it', () => {
  const known = { ...simulated(candidate('known', 10), 10), statedErrors: { 'step-time': 0.07 } }
  const rough = { ...simulated(candidate('rough', 11), 11), statedErrors: { 'step-time': 0.16 } }
  for (const [a, b] of [
    [known, rough],
    [rough, known],
  ] as const) {
    expect(tieError(a, b, 'step-time')).toBe(0.16)
    expect(distanceToBest(a, b, 'step-time')).toMatchObject({ tie: true })
  }
  expect(distanceToBest(known, { ...known, metrics: { 'step-time': 11 } }, 'step-time')).toMatchObject({ tie: false })
})

test('what was simulated was to choose from: no fix that is among it is said to be outside', () => {
  const [a, b] = [candidate('a', 6.7), candidate('b', 6.71)]
  const near = nearMiss(a, b)
  const fixes = near.fixes.map((fix) => ({ ...fix, outside: ['clients'] }))
  const [told] = withOutcomes([{ ...near, fixes }], [simulated(a, 6.7)])
  expect(told?.fixes.map(({ outside }) => outside)).toEqual([[], ['clients']])
})

test('a miss that keeps its rule as simulated is none; one that does not is told with what came of it', () => {
  const near = nearMiss(candidate('a', 6.7))
  expect(withOutcomes([near], [simulated(near.miss, 1)])).toEqual([])
  const misses = [{ rule: 'memory', by: 0.02 }]
  const [told] = withOutcomes([near], [{ ...simulated(near.miss, 1), misses }])
  expect(told?.simulated?.misses).toEqual(misses)
})

test('a fix that was tried alone stays outside of the choices, and comes behind those that fit where it does not', () => {
  const [a, b] = [candidate('a', 6.7), candidate('b', 6.71)]
  const near = nearMiss(a, b)
  const fixes = near.fixes.map((fix) => ({ ...fix, outside: ['clients'] }))
  const failed = { ...simulated(a, 6.7), misses: [{ rule: 'ttft', by: 0.8 }] }
  const [told] = withOutcomes([{ ...near, fixes }], [], [failed, simulated(b, 6.7)])
  expect(told?.fixes.map((fix) => [fix.change, fitsText(fix), fix.outside])).toEqual([
    ['b', 'fits with', ['clients']],
    ['a', 'does not fit with', ['clients']],
  ])
  expect(fitsText({})).toBe('is estimated to fit with')
})
