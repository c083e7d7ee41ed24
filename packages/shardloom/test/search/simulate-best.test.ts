import { finish } from '@shardloom/core'
import type { Candidate } from '@shardloom/search'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { loadSpec, type SpecInput } from '../../src/index.js'
import { answersOf, questionOf, rerankWork, simulatedWork } from '../../src/search/ask.js'
import { isCapped, type SimulatedCandidate, simulateBest } from '../../src/search/simulate-best.js'

const spec: SpecInput = { model: 'tiny', batch: 16 }

interface Point {
  readonly estimate: number
  readonly simulation: number
  readonly misses: boolean
}

/** What is shown of points whose simulations are known. */
function shownOf(points: readonly Point[], shown: number) {
  const byName = new Map(points.map((point, index) => [`point ${index}`, point]))
  const best = [...byName].map(([name, { estimate }]): Candidate => {
    return { name, choices: {}, score: estimate, metrics: {} }
  })
  best.sort((a, b) => a.score - b.score)
  return finish(
    simulateBest(best, shown, {
      specOf: () => spec,
      // biome-ignore lint/correctness/useYield: nothing is to be waited for
      *simulate(candidate, of) {
        const { simulation = 0, misses } = byName.get(candidate.name) ?? {}
        return { candidate, spec: of, score: simulation, misses: misses ? [{ rule: 'limit', by: 1 }] : [] }
      },
    }),
  )
}

const size = fc.double({ min: 0.1, max: 10, noNaN: true })
const shown = fc.integer({ min: 1, max: 6 })
const scores = ({ best }: ReturnType<typeof shownOf>) => best.map(({ score }) => score)

describe('what is shown', () => {
  test('is the best of all that are kept where no simulation is better than its estimate', () => {
    const point = fc.record({
      estimate: size,
      loss: fc.double({ min: 0, max: 0.5, noNaN: true }),
      misses: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(point, { maxLength: 25 }), shown, fc.constantFrom(1, -1), (drawn, count, sign) => {
        const points = drawn.map(({ estimate, loss, misses }) => ({
          estimate: sign * estimate,
          simulation: sign * estimate + loss * estimate,
          misses,
        }))
        const order = [...points].sort((a, b) => Number(a.misses) - Number(b.misses) || a.simulation - b.simulation)
        const found = shownOf(points, count)
        expect(scores(found)).toEqual(order.slice(0, count).map(({ simulation }) => simulation))
        expect(found.simulated).toBeLessThanOrEqual(points.length)
      }),
    )
  })

  // Shares that are exact in binary.
  test.each([0.5, 0.75, 1])('is known after as many simulations where each is %d of its estimate', (share) => {
    const estimates = fc.uniqueArray(fc.integer({ min: 1, max: 1000 }), { maxLength: 25 })
    fc.assert(
      fc.property(estimates, shown, (drawn, count) => {
        const points = drawn.map((estimate) => ({ estimate, simulation: estimate * share, misses: false }))
        const found = shownOf(points, count)
        const order = points.map(({ simulation }) => simulation).sort((a, b) => a - b)
        expect(scores(found)).toEqual(order.slice(0, count))
        expect(found.simulated).toBe(Math.min(count, points.length))
      }),
    )
  })

  test('is looked for further down where a simulation is better than its estimate by more', () => {
    const exact = [100, 103, 110].map((estimate) => ({ estimate, simulation: estimate, misses: false }))
    expect(shownOf(exact, 2).simulated).toBe(2)
    const [first, , third] = exact
    const gained = { estimate: 103, simulation: 90, misses: false }
    // 110 × 90/103 is below 100, which is the second of the two.
    expect(
      shownOf(
        [first, gained, third].filter((each) => each !== undefined),
        2,
      ).simulated,
    ).toBe(3)
  })
})

// Layers of microseconds, where the estimate is a tenth off: its first is not the first of a simulation.
test('the best of a tiny model is the best of a whole space of which every candidate is simulated', async () => {
  const loaded = await loadSpec({ model: 'tiny', cluster: { preset: 'dgx-h100', nodes: 1 }, batch: 16 })
  const choices = {
    ...{ pp: [2], cp: [1], ulysses: [1], order: ['tp,ulysses,cp,dp,pp'], microbatch: [2, 4], zero: [0, 1] },
    ...{ recompute: ['none'], offload: ['none'], sequenceParallel: [false] },
  }
  const question = questionOf(loaded, { choices, parts: 1 })
  const few = finish(rerankWork(loaded, question, finish(answersOf(loaded, question).part(0))))
  const all = finish(answersOf(loaded, { ...question, top: 1000 }).part(0)).best
  const whole = finish(simulatedWork(loaded, question, all))
  expect(few.best).toHaveLength(5)
  expect(few.simulated).toBeLessThanOrEqual(20)
  expect(few.simulated).toBeLessThan(whole.length)
  expect(few.best[0]?.score).toBe(whole[0]?.score)
})

test('others may be among the best only where something is left, and gains were as large as it would take', () => {
  const outcome = (index: number, estimate: number, score: number): SimulatedCandidate => {
    return { candidate: { name: `${index}`, choices: {}, score: estimate, metrics: {} }, spec, score, misses: [] }
  }
  const judged = (estimates: readonly number[], simulations: readonly number[], bounded: number, kept: number) => {
    const outcomes = estimates.map((estimate, index) => outcome(index, estimate, simulations[index] ?? 0))
    const best = outcomes.map(({ candidate }) => candidate)
    const counts = { total: 9, rejected: {}, bounded, evaluated: estimates.length }
    return isCapped({ best, counts }, outcomes, { top: 1, kept })
  }
  // One that is estimated at 1.1 and gains a tenth, as another has, comes before 1.
  expect(judged([1, 1.05, 1.1], [1, 1, 0.99], 0, 3)).toBe(true)
  expect(judged([1, 1.05, 1.1], [1, 1, 0.99], 5, 4)).toBe(true)
  // All there is was simulated.
  expect(judged([1, 1.05, 1.1], [1, 1, 0.99], 0, 4)).toBe(false)
  // Nothing gained anything.
  expect(judged([1, 1.05, 1.1], [1, 1.05, 1.1], 5, 3)).toBe(false)
})
