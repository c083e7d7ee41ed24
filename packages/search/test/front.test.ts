import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Front } from '../src/index.js'
import { candidates, kept } from './arbitrary.js'

const metrics = ['x', 'y'] as const

test('keeps the points that no other beats, in whatever order they come', () => {
  fc.assert(
    fc.property(candidates(), (points) => {
      const front = new Front(metrics)
      for (const point of points) front.offer(point)
      expect(front.candidates).toEqual(kept(points, { top: 0, front: metrics }).front)
    }),
  )
})

test('dominated is what some point is no worse than in both metrics and better than in one', () => {
  fc.assert(
    fc.property(candidates(), fc.nat(6), fc.nat(6), (points, a, b) => {
      const front = new Front(metrics)
      for (const point of points) front.offer(point)
      const dominated = points.some(({ metrics: { x = 0, y = 0 } }) => x <= a && y <= b && (x < a || y < b))
      expect(front.isDominated(a, b)).toBe(dominated)
    }),
  )
})

test('a point that lacks a metric is not on the front', () => {
  const front = new Front(metrics)
  expect(front.offer({ name: 'a', choices: {}, score: 0, metrics: { x: 1 } })).toBe(false)
  expect(front.offer({ name: 'b', choices: {}, score: 0, metrics: { x: 1, y: Infinity } })).toBe(true)
  expect(front.candidates.map(({ name }) => name)).toEqual(['b'])
})
