import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BestList } from '../src/index.js'
import { candidates, kept } from './arbitrary.js'

test('keeps what sorting all would keep, in whatever order they come', () => {
  fc.assert(
    fc.property(candidates(), fc.nat(6), (points, top) => {
      const list = new BestList(top)
      for (const point of points) list.offer(point)
      expect(list.candidates).toEqual(kept(points, { top }).best)
    }),
  )
})

test('the threshold never rises, and what is beyond it is not taken', () => {
  fc.assert(
    fc.property(candidates(), fc.nat(6), (points, top) => {
      const list = new BestList(top)
      for (const point of points) {
        const before = list.threshold
        const taken = list.offer(point)
        expect(list.threshold).toBeLessThanOrEqual(before)
        if (point.score > before) expect(taken).toBe(false)
        if (point.score < before) expect(taken).toBe(true)
        expect(list.candidates.includes(point)).toBe(taken)
      }
    }),
  )
})

test('keeps more than the best if it may, and its threshold is that of the best all the same', () => {
  fc.assert(
    fc.property(candidates(), fc.integer({ min: 1, max: 6 }), fc.nat(6), (points, top, more) => {
      const [list, few] = [new BestList(top, top + more), new BestList(top)]
      for (const point of points) {
        list.offer(point)
        few.offer(point)
        expect(list.threshold).toBe(few.threshold)
        expect(list.last).toBeGreaterThanOrEqual(list.threshold)
      }
      expect(list.candidates).toEqual(kept(points, { top: top + more }).best)
    }),
  )
})

test('a point that is offered twice is listed once, and one without a score never', () => {
  const point = { name: 'tp=2', choices: { tp: 2 }, score: 1, metrics: {} }
  const list = new BestList(3)
  expect([list.offer(point), list.offer({ ...point }), list.offer({ ...point, score: Number.NaN })]).toEqual([
    true,
    false,
    false,
  ])
  expect(list.candidates).toEqual([point])
})
