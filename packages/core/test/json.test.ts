import { type Json, type Program, programFromJson, programToJson } from '@shardloom/core'
import { unroll } from '@shardloom/core/unroll'
import { verifyProgram } from '@shardloom/core/verify'
import { communicationTable, measure } from '@shardloom/simulator'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { planned } from './planned.js'
import { thrown } from './thrown.js'

const plans = [
  planned('tiny', { phase: 'training', batch: 4, microbatches: 2, seq: 16 }, { dp: 2, tp: 4 }),
  planned('tiny-moe', { phase: 'training', batch: 4, seq: 16 }, { dp: 2, tp: 2 }),
  planned('tiny', { phase: 'decode', batch: 4, seq: 16, steps: 3 }, { dp: 2, tp: 2 }),
  planned('tiny-moe', { phase: 'prefill', batch: 4, seq: 16 }, { tp: 2 }),
]
const { program: sample, operators } = plans[0] ?? planned('tiny', { phase: 'prefill', batch: 1, seq: 1 }, {})
const textOf = (program: Program) => JSON.stringify(programToJson(program))

describe('the JSON of a program', () => {
  it('reads back as the same program', () => {
    for (const { program, operators } of plans) {
      const again = programFromJson(JSON.parse(textOf(program)))
      expect(again).toEqual(program)
      expect(textOf(again)).toBe(textOf(program))
      expect(measure(again, operators)).toEqual(measure(program, operators))
      expect(communicationTable(again, operators)).toEqual(communicationTable(program, operators))
    }
  })

  it('keeps the order of tensors', () => {
    const again = programFromJson(JSON.parse(textOf(sample)))
    expect([...again.tensors.keys()]).toEqual([...sample.tensors.keys()])
  })

  it('is refused when it is something else, with what is wrong', () => {
    const good = JSON.parse(textOf(sample)) as Record<string, unknown> // programToJson makes an object
    const cases: readonly [unknown, RegExp][] = [
      [null, /object/],
      [[], /object/],
      ['{}', /object/],
      [{}, /schema/],
      [{ ...good, schema: 'shardloom.program/2' }, /program\/2/],
      [{ ...good, items: {} }, /items/],
      [{ ...good, tensors: undefined }, /tensors/],
      [{ ...good, preferences: [{ strategy: 'x' }] }, /preferences/],
      [{ ...good, notes: null }, /notes/],
      [{ ...good, schema: { toString: 1 } }, /schema is object/],
      [{ ...good, mesh: {} }, /mesh/],
      [{ ...good, tensors: [{}] }, /tensor/],
      [{ ...good, tensors: [null] }, /tensor/],
      [{ ...good, tensors: [sample.tensors.values().next().value, sample.tensors.values().next().value] }, /twice/],
      [{ ...good, items: [{ id: 'x' }] }, /`x`/],
      [{ ...good, items: [null] }, /id/],
      [{ ...good, items: [{ id: 'x', type: 'node' }] }, /rule/],
      [{ ...good, items: [{ id: 'x', type: 'region' }] }, /bodies/],
      [{ ...good, items: [{ id: 'x', type: 'region', extent: 1, bodies: [{}], ports: [], select: [] }] }, /bodies/],
    ]
    for (const [value, message] of cases) {
      const error = thrown(() => programFromJson(value))
      expect(error.code).toBe('PROGRAM_JSON')
      expect(error.message).toMatch(message)
    }
  })

  it('nested without end is refused', () => {
    let items: unknown = []
    for (let depth = 0; depth < 5000; depth++)
      items = [
        {
          id: `${depth}`,
          type: 'region',
          axis: 'a',
          order: 'forward',
          extent: 1,
          bodies: [{ name: 'b', items }],
          ports: [],
          select: [],
        },
      ]
    const error = thrown(() => programFromJson({ ...(programToJson(sample) as object), items })) // an object, see above
    expect(error.code).toBe('PROGRAM_JSON')
    expect(error.message).toMatch(/more than 16 deep/)
  })
})

/** Reads a program, and if that works does what outputs do with one; anything but our own error escapes. */
function use(value: unknown): 'refused' | 'used' {
  try {
    const program = programFromJson(value)
    for (const report of verifyProgram(program, operators)) expect(Array.isArray(report.violations)).toBe(true)
    return 'used'
  } catch (error) {
    expect(error).toMatchObject({ name: 'ShardloomError' })
    return 'refused'
  }
}

describe('hostile input', () => {
  it('of any shape throws nothing but our own errors', () => {
    fc.assert(
      fc.property(fc.oneof(fc.anything(), fc.jsonValue()), (value) => {
        expect(use(value)).toBe('refused')
      }),
      { numRuns: 500 },
    )
  })

  it('that is almost a program throws nothing but our own errors, and the verifier does not throw at all', () => {
    const text = textOf(planned('tiny', { phase: 'prefill', batch: 2, seq: 4 }, { tp: 2 }).program)
    const paths: (string | number)[][] = []
    const collect = (value: Json, path: (string | number)[]) => {
      paths.push(path)
      if (Array.isArray(value)) value.forEach((each, index) => collect(each, [...path, index]))
      else if (value && typeof value === 'object')
        for (const [key, each] of Object.entries(value)) collect(each, [...path, key])
    }
    collect(JSON.parse(text), [])
    const junk = fc.oneof(
      fc.constant(null),
      fc.constant([]),
      fc.constant({}),
      fc.constant(''),
      fc.constant('constructor'),
      fc.integer(),
      fc.boolean(),
      fc.jsonValue(),
    )
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(paths.length - 1), junk), { minLength: 1, maxLength: 3 }), (changes) => {
        const value = JSON.parse(text)
        for (const [which, put] of changes) {
          const path = paths[which] ?? []
          let at = value
          for (const key of path.slice(0, -1)) at = at?.[key]
          const last = path.at(-1)
          if (at && typeof at === 'object' && last !== undefined) at[last] = put
        }
        use(value)
      }),
      { numRuns: 500 },
    )
  })

  it('with keys that every object has changes no object', () => {
    const text = textOf(sample)
    const poisoned = text
      .replace('"notes":{', '"notes":{"__proto__":{"polluted":true},')
      .replace('"partition":{"splits":{', '"partition":{"splits":{"__proto__":["tp"],"constructor":["tp"],')
      .replace('{"schema"', '{"__proto__":{"polluted":true},"schema"')
    const program = programFromJson(JSON.parse(poisoned))
    verifyProgram(program, operators)
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
    expect(Reflect.get({}, 'polluted')).toBeUndefined()
    expect(Reflect.get(program, 'polluted')).toBeUndefined()
    expect(unroll(sample).nodeCount).toBeGreaterThan(0)
  })
})
