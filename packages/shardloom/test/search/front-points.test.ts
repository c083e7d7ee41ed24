import type { Candidate } from '@shardloom/search'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { frontPoints, keepsAll, type SimulatedCandidate } from '../../src/search.js'

const front = ['step-time', 'peak-memory'] as const
const value = fc.integer({ min: 1, max: 9 })
const drawn = fc.record({
  x: value,
  y: value,
  simulated: fc.option(fc.record({ x: value, y: value, misses: fc.boolean() })),
})

test('a front is what nothing beats of all that keep their limits, by what is known best of each', () => {
  fc.assert(
    fc.property(fc.array(drawn, { maxLength: 8 }), (points) => {
      const candidates = points.map(
        ({ x, y }, index): Candidate => ({
          name: `n${index}`,
          choices: {},
          score: x,
          metrics: { 'step-time': x, 'peak-memory': y },
        }),
      )
      const outcomes = points.flatMap(({ simulated }, index): SimulatedCandidate[] => {
        const candidate = candidates[index]
        if (!simulated || !candidate) return []
        const metrics = { 'step-time': simulated.x, 'peak-memory': simulated.y }
        const misses = simulated.misses ? [{ rule: 'memory', by: 0.1 }] : []
        return [{ candidate, spec: { model: 'tiny' }, metrics, score: simulated.x, misses }]
      })
      const found = frontPoints({ front }, candidates, outcomes)
      const missing = new Set(outcomes.filter((each) => !keepsAll(each)).map(({ candidate }) => candidate.name))
      const known = points
        .map(({ x, y, simulated }, index) => ({ name: `n${index}`, ...(simulated ?? { x, y }) }))
        .filter(({ name }) => !missing.has(name))
      const places = known
        .filter((a) => !known.some((b) => b.x <= a.x && b.y <= a.y && (b.x < a.x || b.y < a.y)))
        .map(({ x, y }) => `${x} ${y}`)
      expect(found.map(({ metrics }) => front.map((name) => metrics[name]).join(' '))).toEqual(
        [...new Set(places)].sort(),
      )
    }),
  )
})

test('the best as simulated is on the front of its objective, though estimates of others are better', () => {
  const candidate = (name: string, seconds: number): Candidate => {
    return { name, choices: {}, score: seconds, metrics: { 'step-time': seconds, 'peak-memory': 1 } }
  }
  const simulated = (of: Candidate, seconds: number): SimulatedCandidate => {
    const metrics = { 'step-time': seconds, 'peak-memory': 1 }
    return { candidate: of, spec: { model: 'tiny' }, metrics, score: seconds, misses: [] }
  }
  const [a, b] = [candidate('a', 1), candidate('b', 1.1)]
  const found = frontPoints({ front }, [a], [simulated(b, 1.15), simulated(a, 1.2)])
  expect(found.map(({ candidate: { name }, metrics }) => [name, metrics['step-time']])).toEqual([['b', 1.15]])
})
