import fc from 'fast-check'
import { expect, test } from 'vitest'
import { factorisations } from '../src/index.js'

const choose = (n: number, k: number): number => (k === 0 ? 1 : (choose(n - 1, k - 1) * n) / k)

/** Π C(e + k − 1, k − 1) over the primes of n. */
function expected(n: number, axes: number): number {
  let count = 1
  for (let prime = 2; n > 1; prime++) {
    let exponent = 0
    for (; n % prime === 0; n /= prime) exponent++
    count *= choose(exponent + axes - 1, axes - 1)
  }
  return count
}

const names = ['dp', 'tp', 'pp', 'cp', 'ep']
const axes = (count: number) => names.slice(0, count).map((name) => ({ name }))
const degreesOf = (degrees: Readonly<Record<string, number>>, count: number) =>
  names.slice(0, count).map((name) => degrees[name] as number)

test('every ordered product is there once, in ascending order, as many as the formula says', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 5 }), (n, count) => {
      const all = [...factorisations(n, axes(count))].map((degrees) => degreesOf(degrees, count))
      expect(all).toHaveLength(expected(n, count))
      for (const degrees of all) expect(degrees.reduce((product, degree) => product * degree, 1)).toBe(n)
      const compare = (a: readonly number[], b: readonly number[]) => {
        const at = a.findIndex((degree, index) => degree !== b[index])
        return (a[at] ?? 0) - (b[at] ?? 0)
      }
      for (const [index, degrees] of all.entries())
        if (index > 0) expect(compare(all[index - 1] ?? [], degrees)).toBeLessThan(0)
    }),
  )
})

test('conditions leave exactly the products that meet them', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1000 }),
      fc.array(fc.constantFrom(1, 2, 3, 4, 8), { maxLength: 4 }),
      (n, most) => {
        const plain = axes(most.length)
        const limited = plain.map(({ name }, index) => ({
          name,
          allowed: (degree: number) => degree <= (most[index] as number),
        }))
        const meets = (degrees: Readonly<Record<string, number>>) =>
          degreesOf(degrees, most.length).every((degree, index) => degree <= (most[index] as number))
        expect([...factorisations(n, limited)]).toEqual([...factorisations(n, plain)].filter(meets))
      },
    ),
  )
})

test('one rank, a prime number of them, and 16384 over five axes', () => {
  expect([...factorisations(1, axes(3))]).toEqual([{ dp: 1, tp: 1, pp: 1 }])
  expect([...factorisations(7, axes(2))]).toEqual([
    { dp: 1, tp: 7 },
    { dp: 7, tp: 1 },
  ])
  // 2¹⁴ over five axes: C(18, 4).
  expect([...factorisations(16384, axes(5))]).toHaveLength(3060)
})

test('without axes there is the empty product, which is 1', () => {
  expect([...factorisations(1, [])]).toEqual([{}])
  expect([...factorisations(2, [])]).toEqual([])
})

test('refuses what is no number of ranks, and two axes of one name', () => {
  for (const n of [0, -4, 2.5, Number.NaN, Infinity])
    expect(() => [...factorisations(n, axes(2))]).toThrow(`${n} has no factors`)
  expect(() => [...factorisations(4, [...axes(1), ...axes(1)])]).toThrow('`dp` is given twice')
})
