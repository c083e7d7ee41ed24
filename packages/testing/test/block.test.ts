import { coordinates, createMesh } from '@shardloom/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { assemble, type Block, combine, commonPositions, grow, offsetsIn, shardPositions, take } from '../src/block.js'

const mesh = createMesh([
  { name: 'a', degree: 2 },
  { name: 'b', degree: 2 },
])
const positions = (size: number, atoms: readonly string[], rank: number) => [
  ...shardPositions(size, atoms, mesh, coordinates(mesh, rank)),
]
const range = (size: number) => shardPositions(size, [], mesh, new Map())
/** A matrix whose element in row i and column j is 10 i + j. */
const matrix = (rows: Int32Array, columns: Int32Array): Block => ({
  positions: [rows, columns],
  values: Float64Array.from([...rows].flatMap((row) => [...columns].map((column) => 10 * row + column))),
})

describe('shardPositions', () => {
  it('gives consecutive shares, the first of which have one more, nested in the order of the atoms', () => {
    // ALGEBRA, section 7: five over 2 × 2, nested: 2, 1, 1, 1.
    expect([0, 1, 2, 3].map((rank) => positions(5, ['a', 'b'], rank))).toEqual([[0, 1], [2], [3], [4]])
    expect([0, 1, 2, 3].map((rank) => positions(5, ['b', 'a'], rank))).toEqual([[0, 1], [3], [2], [4]])
    expect([0, 1, 2, 3].map((rank) => positions(3, ['a'], rank))).toEqual([[0, 1], [0, 1], [2], [2]])
    expect([0, 1, 2, 3].map((rank) => positions(1, ['a', 'b'], rank))).toEqual([[0], [], [], []])
  })

  it('covers every position once', () => {
    fc.assert(
      fc.property(fc.nat(40), fc.shuffledSubarray(['a', 'b'], { minLength: 1 }), (size, atoms) => {
        const ranks = [0, 1, 2, 3].filter((rank) => {
          const at = coordinates(mesh, rank)
          return ['a', 'b'].every((atom) => atoms.includes(atom) || at.get(atom) === 0)
        })
        const all = ranks.flatMap((rank) => positions(size, atoms, rank))
        expect(all.sort((a, b) => a - b)).toEqual(Array.from({ length: size }, (_, index) => index))
      }),
    )
  })

  it('gives one object for equal positions, by which blocks are compared', () => {
    expect(shardPositions(4, ['a'], mesh, coordinates(mesh, 0))).toBe(shardPositions(2, [], mesh, new Map()))
  })
})

describe('take, assemble and grow', () => {
  const whole = matrix(range(4), range(3))

  it('takes rows and columns by their positions', () => {
    const part = take(whole, [Int32Array.of(1, 3), Int32Array.of(2, 0)])
    expect('values' in part && [...part.values]).toEqual([12, 10, 32, 30])
    expect(take(whole, whole.positions)).toBe(whole)
  })

  it('says what it lacks, unless nothing is asked for', () => {
    expect(take(whole, [range(6), range(3)])).toEqual({ dim: 0, positions: [4, 5] })
    expect(take(whole, [range(2), Int32Array.of(7)])).toEqual({ dim: 1, positions: [7] })
    const nothing = take(whole, [range(0), Int32Array.of(7)])
    expect('values' in nothing && nothing.values.length).toBe(0)
  })

  it('keeps the weights of rows', () => {
    const weighted = { ...whole, logSumExp: Float64Array.of(0, 1, 2, 3) }
    const part = take(weighted, [Int32Array.of(2, 1), range(3)])
    expect('values' in part && [...(part.logSumExp ?? [])]).toEqual([2, 1])
  })

  it('puts parts together in any order, where they overlap too', () => {
    const upper = matrix(Int32Array.of(0, 1, 2), range(3))
    const lower = matrix(Int32Array.of(2, 3), range(3))
    expect(assemble([lower, upper], whole.positions)?.values).toEqual(whole.values)
    expect(assemble([upper], whole.positions)).toBeUndefined()
  })

  it('grows by elements that are no numbers until they are written', () => {
    const grown = grow(matrix(range(2), range(2)), [range(2), range(3)])
    expect([...grown.values]).toEqual([0, 1, Number.NaN, 10, 11, Number.NaN])
  })

  it('finds what two lists of positions have in common', () => {
    expect(commonPositions(range(5), range(3))).toEqual(range(3))
    expect(commonPositions(range(3), range(5))).toBe(range(3))
  })

  it('offsets address the same elements', () => {
    const rows = Int32Array.of(3, 1)
    const offsets = offsetsIn(whole.positions, [rows, Int32Array.of(0, 2)])
    expect([...offsets].map((offset) => whole.values[offset])).toEqual([30, 32, 10, 12])
  })
})

describe('combine', () => {
  const same = [range(2)]
  const terms = [
    { positions: same, values: Float64Array.of(1, -5) },
    { positions: same, values: Float64Array.of(2, 7) },
    { positions: same, values: Float64Array.of(-4, 1) },
  ]

  it('sums or takes the maximum, and does not change its operands', () => {
    expect([...(combine(terms, 'sum')?.values ?? [])]).toEqual([-1, 3])
    expect([...(combine(terms, 'max')?.values ?? [])]).toEqual([2, 7])
    expect([...(terms[0]?.values ?? [])]).toEqual([1, -5])
  })

  it('refuses terms of different parts, and a merge without weights', () => {
    expect(combine([...terms, { positions: [range(1)], values: Float64Array.of(1) }], 'sum')).toBeUndefined()
    expect(combine(terms, 'lse')).toBeUndefined()
    expect(combine([], 'sum')).toBeUndefined()
  })
})
