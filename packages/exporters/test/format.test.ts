import {
  cutMiddle,
  cutMiddles,
  formatBytes,
  formatCount,
  formatCounted,
  formatDifference,
  formatFlops,
  formatMesh,
  formatQuantity,
} from '@shardloom/exporters'
import fc from 'fast-check'
import { expect, test } from 'vitest'

const space = '\u00A0'

test('quantities have three significant digits, an SI prefix and a unit', () => {
  expect(formatBytes(0)).toBe(`0${space}B`)
  expect(formatBytes(999)).toBe(`999${space}B`)
  expect(formatBytes(1000)).toBe(`1.00${space}kB`)
  expect(formatBytes(67_108_864)).toBe(`67.1${space}MB`)
  expect(formatBytes(999_600)).toBe(`1.00${space}MB`)
  expect(formatFlops(137_438_953_472n)).toBe(`137${space}GFLOP`)
  expect(formatFlops(10n ** 25n)).toBe(`10000${space}ZFLOP`)
  expect(formatQuantity(-1234, 's')).toBe(`−1.23${space}ks`)
  expect(formatQuantity(0.5, 'B')).toBe(`0.500${space}B`)
})

test('counts have their thousands apart', () => {
  expect([0, 12, 1812, 1234567].map(formatCount)).toEqual(['0', '12', '1,812', '1,234,567'])
  expect(formatCount(-1000n)).toBe('−1,000')
})

test('one of something is one, and what has another plural has it', () => {
  expect([0, 1, 2, 1812].map((count) => formatCounted(count, 'step'))).toEqual([
    '0 steps',
    '1 step',
    '2 steps',
    '1,812 steps',
  ])
  expect([1n, 2n].map((count) => formatCounted(count, 'microbatch', 'microbatches'))).toEqual([
    '1 microbatch',
    '2 microbatches',
  ])
})

test('a difference is in per cent, from tenfold on a factor', () => {
  const told = (relative: number) => formatDifference(relative).replaceAll('\u00a0', ' ')
  expect([-0.182, 0.5, 0, -0.9999, 8.994].map(told)).toEqual(['−18.2 %', '+50.0 %', '±0.0 %', '−100.0 %', '+899.4 %'])
  // 10.6 s are 23,770 times 446 µs, to three digits 23,800.
  expect([9, 9.5, 122.4, 10.6 / 446e-6 - 1, 5542.608].map(told)).toEqual([
    '× 10.0',
    '× 10.5',
    '× 123',
    '× 23,800',
    '× 5,540',
  ])
})

test('a mesh shows its axes above degree 1, and behind a bar those that divide the same ranks once more', () => {
  expect(formatMesh({ pp: 1, dp: 4, tp: 2 }, 8)).toBe('dp 4 × tp 2')
  expect(formatMesh({ dp: 4, tp: 2, expertDp: 2, ep: 4, expertTp: 1 }, 8)).toBe('dp 4 × tp 2 | expertDp 2 × ep 4')
  expect(formatMesh({ pp: 2, dp: 4, ep: 4 }, 8, ', ')).toBe('pp 2, dp 4 | ep 4')
  expect(formatMesh({ dp: 1 }, 1)).toBe('')
})

test('long names that differ in their middle differ when they are cut', () => {
  const names = ['gate', 'up', 'down'].map((each) => `backward/layer/moe/experts/${each}.weight/reduce-scatter(dp)`)
  const cut = cutMiddles(names, 40)
  expect(new Set(cut).size).toBe(3)
  for (const name of cut) expect(name.length).toBeLessThanOrEqual(40)
  // Nothing tells these from each other in so few letters.
  expect(new Set(cutMiddles(names, 12)).size).toBeLessThan(3)
})

test('a long name keeps its beginning and its end', () => {
  expect(cutMiddle('experts/up/projection/down', 12)).toBe('expert…/down')
  expect(cutMiddle('q')).toBe('q')
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      fc.integer({ min: 1, max: 40 }),
      (text, limit) => [...cutMiddle(text, limit)].length <= Math.max(limit, 1),
    ),
  )
})
