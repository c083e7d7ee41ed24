import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { fieldsOf, valueAt, withField } from '../src/state/spec-text.js'

const name = fc.constantFrom('tp', 'dp', 'seq', 'batch', 'schedule', 'zero', 'parallel', 'options')
const path = fc.array(name, { minLength: 1, maxLength: 3 })
const scalar = fc.oneof(fc.integer(), fc.boolean(), fc.string({ maxLength: 12 }), fc.constant(null))
const fields = fc.dictionary(name, fc.oneof(scalar, fc.dictionary(name, scalar, { maxKeys: 4 })), { maxKeys: 5 })

test('a field that is set is read back, and all other fields stay as they are', () => {
  fc.assert(
    fc.property(fields, path, scalar, (before, at, value) => {
      const after = withField(stringify(before), at, value)
      expect(valueAt(fieldsOf(after), at)).toEqual(value)
      const [first] = at
      for (const other of Object.keys(before)) if (other !== first) expect(parse(after)[other]).toEqual(before[other])
    }),
  )
})

test('a field that is taken away is not there any more, and what it leaves empty neither', () => {
  fc.assert(
    fc.property(fields, path, scalar, (before, at, value) => {
      const gone = withField(withField(stringify(before), at, value), at, undefined)
      expect(valueAt(fieldsOf(gone), at)).toBeUndefined()
      for (let depth = 1; depth < at.length; depth++)
        expect(valueAt(fieldsOf(gone), at.slice(0, depth))).not.toEqual({})
    }),
  )
})

test('comments and the order of fields stay', () => {
  const text = '# mine\nmodel: gpt2 # small\nparallel:\n  tp: 2 # fast links\nbatch: 8\n'
  expect(withField(text, ['parallel', 'tp'], 4)).toBe(text.replace('tp: 2', 'tp: 4'))
})

test('what is no YAML, or too much of it, is left as it is', () => {
  for (const text of ['a: [', 'just words', `a: ${'['.repeat(5000)}`, 'x'.repeat(200_000)]) {
    expect(fieldsOf(text)).toBeUndefined()
    expect(withField(text, ['tp'], 2)).toBe(text)
  }
})
