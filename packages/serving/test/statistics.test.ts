import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Runs, spreadOf } from '../src/statistics.js'

const times = fc.array(fc.tuple(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 1, max: 9 })), { minLength: 1 })

test('values with counts are spread as those values written out', () => {
  fc.assert(
    fc.property(times, (pairs) => {
      const written = pairs.flatMap(([value, count]) => Array.from({ length: count }, () => value))
      const runs = new Runs()
      for (const value of written) runs.add(value)
      expect(runs.spread()).toEqual(spreadOf(written))
      expect(
        spreadOf(
          pairs.map(([value]) => value),
          pairs.map(([, count]) => count),
        ),
      ).toEqual(spreadOf(written))
    }),
  )
})

test('percentiles are those of NumPy: numpy.percentile([1, 2, 4, 8], [50, 90, 99])', () => {
  const spread = spreadOf([8, 1, 4, 2])
  expect(spread?.mean).toBe(3.75)
  expect(spread?.p50).toBeCloseTo(3, 12)
  expect(spread?.p90).toBeCloseTo(6.8, 12)
  expect(spread?.p99).toBeCloseTo(7.88, 12)
})
