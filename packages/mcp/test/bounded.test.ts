import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bounded } from '../src/bounded.js'

interface Shown {
  readonly truncated?: readonly { readonly path: string; readonly next: { path: string; offset: number } | null }[]
  readonly [field: string]: unknown
}

const show = (document: object, more?: { path: string; offset: number; limit?: number }) =>
  bounded(document, more, 'ask for less') as Shown

test('any document becomes small enough, or is shown whole', () => {
  const document = fc.record({
    list: fc.array(fc.jsonValue({ maxDepth: 3 })),
    text: fc.string({ maxLength: 50_000 }),
    more: fc.jsonValue(),
  })
  fc.assert(
    fc.property(document, fc.integer({ min: 1, max: 300 }), (value, times) => {
      const shown = show({ ...value, list: Array.from({ length: times }, () => value.list) })
      expect(JSON.stringify(shown).length).toBeLessThanOrEqual(40_000)
    }),
    { numRuns: 60, seed: 1 },
  )
})

test('page by page all of a list comes, once and in order', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 400 }), { maxLength: 300 }), (list) => {
      const found: unknown[] = []
      let next: { path: string; offset: number } | null = { path: 'a.list', offset: 0 }
      if (list.length === 0) next = null
      while (next) {
        const path: { path: string; offset: number } = next
        const shown = show({ a: { list } }, path)
        found.push(...(shown['a'] as { list: unknown[] }).list)
        next = shown.truncated?.find((each) => each.path === path.path)?.next ?? null
      }
      expect(found).toEqual(list)
    }),
    { numRuns: 40, seed: 2 },
  )
})

test('a list inside an entry of a list that is not shown', () => {
  const rules = Array.from({ length: 50 }, (_, rule) => ({
    rule,
    violations: Array.from({ length: 40 }, (_, index) => index),
  }))
  const first = show({ rules })
  expect(first.truncated?.map(({ path }) => path)).toContain('rules')
  expect(show({ rules }, { path: 'rules.45.violations', offset: 30 })).toMatchObject({
    rules: [{ rule: 45, violations: [30, 31, 32, 33, 34, 35, 36, 37, 38, 39] }],
  })
})

test('what is neither list nor text is refused', () => {
  for (const path of ['', 'b', 'a.list.3', 'a', '__proto__', 'a.list.length', 'a.list.-1'])
    expect(() => show({ a: { list: [1, 2] } }, { path, offset: 0 }), path).toThrow(/no list or text/)
  expect(() => show({ a: [1, 2] }, { path: 'a', offset: 2 })).toThrow(/beyond/)
})
