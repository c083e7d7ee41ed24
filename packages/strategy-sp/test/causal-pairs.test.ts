import { causalPairs } from '@shardloom/strategy-sp'
import fc from 'fast-check'
import { expect, it } from 'vitest'

it('of 16 positions over 4 ranks, as an executed prototype counted them', () => {
  expect(causalPairs(16, 4, 'contiguous').at(-1)).toEqual([10, 16, 16, 16])
  for (const steps of causalPairs(16, 4, 'zigzag')) expect(steps).toEqual([10, 8, 8, 8])
})

it('all steps of all ranks meet each pair once, whatever the order', () => {
  const anyRing = fc.tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 7 }))
  fc.assert(
    fc.property(anyRing, fc.constantFrom('zigzag' as const, 'contiguous' as const), ([seq, degree], order) => {
      const all = causalPairs(seq, degree, order).flat()
      expect(all.reduce((sum, pairs) => sum + pairs, 0)).toBe((seq * (seq + 1)) / 2)
      expect(all).toHaveLength(degree * degree)
    }),
  )
})

it('zigzag is balanced wherever each rank has a whole run at either end, contiguous runs never', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 2, max: 6 }), (run, degree) => {
      const seq = 2 * degree * run
      const sums = (order: 'zigzag' | 'contiguous') =>
        causalPairs(seq, degree, order).map((steps) => steps.reduce((sum, pairs) => sum + pairs, 0))
      expect(new Set(sums('zigzag')).size).toBe(1)
      expect(new Set(sums('contiguous')).size).toBe(degree)
      // The slowest rank of every step but the first: half a block against a whole one.
      for (const [steps] of causalPairs(seq, degree, 'zigzag').map((each) => [each.slice(1)]))
        expect(steps).toEqual(Array.from({ length: degree - 1 }, () => 2 * run * run))
      expect(causalPairs(seq, degree, 'contiguous').at(-1)?.slice(1)).toEqual(
        Array.from({ length: degree - 1 }, () => 4 * run * run),
      )
    }),
  )
})
