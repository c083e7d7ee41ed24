import { layoutShare, shareOf, zigzagShare } from '@shardloom/core'
import fc from 'fast-check'
import { expect, it } from 'vitest'

const all = (size: number) => Int32Array.from({ length: size }, (_, position) => position)

it('eight positions over two and over four ranks', () => {
  expect([0, 1].map((rank) => [...zigzagShare(all(8), 2, rank)])).toEqual([
    [0, 1, 6, 7],
    [2, 3, 4, 5],
  ])
  expect([0, 1, 2, 3].map((rank) => [...zigzagShare(all(8), 4, rank)])).toEqual([
    [0, 7],
    [1, 6],
    [2, 5],
    [3, 4],
  ])
})

it('shares are disjoint, ascending, cover everything, and are as large as those of consecutive runs', () => {
  fc.assert(
    fc.property(fc.nat(40), fc.integer({ min: 1, max: 9 }), (size, degree) => {
      const shares = Array.from({ length: degree }, (_, rank) => zigzagShare(all(size), degree, rank))
      expect(shares.map((share) => share.length)).toEqual(shares.map((_, rank) => shareOf(size, degree, rank)))
      for (const share of shares) expect([...share]).toEqual([...share].sort((a, b) => a - b))
      expect(shares.flatMap((share) => [...share]).sort((a, b) => a - b)).toEqual([...all(size)])
    }),
  )
})

it('a share of a share is the share of the product, where runs divide', () => {
  const small = fc.integer({ min: 1, max: 4 })
  fc.assert(
    fc.property(small, small, small, fc.nat(3), fc.nat(3), (outer, inner, run, i, j) => {
      const [a, b] = [i % outer, j % inner]
      const size = 2 * outer * inner * run
      const nested = zigzagShare(zigzagShare(all(size), outer, a), inner, b)
      expect([...nested]).toEqual([...zigzagShare(all(size), outer * inner, a * inner + b)])
    }),
  )
})

it('in turn, shares of what grows only gain positions, and are as large as those of consecutive runs', () => {
  fc.assert(
    fc.property(fc.nat(40), fc.nat(9), fc.integer({ min: 1, max: 9 }), (size, more, degree) => {
      const sharesOf = (length: number) =>
        Array.from({ length: degree }, (_, rank) => [...layoutShare('round-robin', all(length), degree, rank)])
      const [before, after] = [sharesOf(size), sharesOf(size + more)]
      expect(before.map((share) => share.length)).toEqual(before.map((_, rank) => shareOf(size, degree, rank)))
      expect(after.flat().sort((a, b) => a - b)).toEqual([...all(size + more)])
      for (const [rank, share] of before.entries()) expect(after[rank]?.slice(0, share.length)).toEqual(share)
    }),
  )
})
