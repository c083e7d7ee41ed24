import {
  corePasses,
  type Instrument,
  orderPasses,
  type Pass,
  type PassPhase,
  type Program,
  passPhases,
  runPasses,
  ShardloomError,
} from '@shardloom/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { draw, operators } from './draw.js'
import { thrown } from './thrown.js'

const drawn = draw({ a: 2 }, 'y = gelu(x): a -> a')
const context = { operators, warn: () => {} }
const pass = (
  name: string,
  phase: PassPhase,
  after?: readonly string[],
  run = (program: Program) => program,
): Pass => ({
  name,
  phase,
  ...(after && { after }),
  run,
})
const names = (passes: readonly Pass[]) => orderPasses(passes).map((each) => each.name)

describe('orderPasses', () => {
  it('goes by phase, then by `after`, then as listed', () => {
    expect(
      names([
        pass('v', 'verify'),
        pass('p2', 'partition', ['p3']),
        pass('p1', 'partition'),
        pass('p3', 'partition'),
        pass('b', 'build'),
      ]),
    ).toEqual(['b', 'p1', 'p3', 'p2', 'v'])
  })

  it('keeps every law of an order for random passes', () => {
    const arbitrary = fc.array(
      fc.record({ phase: fc.constantFrom(...passPhases), after: fc.array(fc.nat(11), { maxLength: 3 }) }),
      { maxLength: 12 },
    )
    fc.assert(
      fc.property(arbitrary, (list) => {
        // A pass waits for earlier ones of the list only, so that there is an order.
        const passes = list.map(({ phase, after }, index) =>
          pass(
            `p/${index}`,
            phase,
            after.flatMap((each) => (each < index && list[each]?.phase === phase ? [`p/${each}`] : [])),
          ),
        )
        const shuffled = [...passes].reverse()
        for (const given of [passes, shuffled]) {
          const ordered = orderPasses(given)
          expect(ordered.map((each) => each.name).sort()).toEqual(given.map((each) => each.name).sort())
          const place = new Map(ordered.map((each, index) => [each.name, index]))
          const phases = ordered.map((each) => passPhases.indexOf(each.phase))
          expect(phases).toEqual([...phases].sort((a, b) => a - b))
          for (const each of given)
            for (const name of each.after ?? []) expect(place.get(name)).toBeLessThan(place.get(each.name) ?? -1)
        }
        expect(names(passes)).toEqual(
          passPhases.flatMap((phase) => passes.filter((each) => each.phase === phase).map((each) => each.name)),
        )
      }),
    )
  })

  it('refuses cycles, a name twice and an `after` that nobody has', () => {
    const cycle = thrown(() => orderPasses([pass('a', 'place', ['b']), pass('b', 'place', ['a']), pass('c', 'place')]))
    expect(cycle.code).toBe('PASS_CYCLE')
    expect(cycle.message).toContain('`a`')
    expect(cycle.message).toContain('`b`')
    expect(cycle.message).not.toContain('`c`')
    expect(thrown(() => orderPasses([pass('a', 'place', ['a'])])).code).toBe('PASS_CYCLE')
    expect(thrown(() => orderPasses([pass('a', 'place'), pass('a', 'build')])).code).toBe('PASS_TWICE')
    const unknown = thrown(() => orderPasses([pass('tp/split-heads', 'place'), pass('a', 'place', ['tp/split-head'])]))
    expect(unknown.code).toBe('PASS_UNKNOWN')
    expect(unknown.help).toContain('`tp/split-heads`')
  })
})

describe('runPasses', () => {
  it('gives each pass what the one before it made', () => {
    const add = (name: string) =>
      pass(name, 'partition', undefined, (program) => ({ ...program, name: program.name + name }))
    expect(runPasses(drawn, [add('1'), add('2')], context).name).toBe('drawn12')
    expect(drawn.name).toBe('drawn')
    expect(runPasses(drawn, [], context)).toBe(drawn)
  })

  it('wraps a plain error once, with the pass and those before it', () => {
    const boom = pass('x/boom', 'place', undefined, () => {
      throw new TypeError('undefined is not a function')
    })
    const error = thrown(() => runPasses(drawn, [pass('x/first', 'build'), boom], context))
    expect(error).toMatchObject({ code: 'PASS_FAILED', subject: 'x/boom' })
    expect(error.message).toContain('undefined is not a function')
    expect(error.help).toContain('x/first')
    expect(error.cause).toBeInstanceOf(TypeError)
    const nested = pass('x/outer', 'place', undefined, (program) => runPasses(program, [boom], context))
    expect(thrown(() => runPasses(drawn, [nested], context)).subject).toBe('x/boom')
  })

  it('lets our own errors through as they are', () => {
    const own = new ShardloomError('INDIVISIBLE', 'no')
    const throwing = pass('x/own', 'place', undefined, () => {
      throw own
    })
    expect(thrown(() => runPasses(drawn, [throwing], context))).toBe(own)
  })

  it('shows instruments every pass with the programs before and after it', () => {
    const seen: string[] = []
    const instrument: Instrument = {
      before: (each, program) => seen.push(`before ${each.name} ${program.name}`),
      after: (each, before, after) => seen.push(`after ${each.name} ${before.name} ${after.name}`),
    }
    const rename = pass('x/rename', 'build', undefined, (program) => ({ ...program, name: 'renamed' }))
    runPasses(drawn, [pass('x/keep', 'place'), rename], context, [instrument])
    expect(seen).toEqual([
      'before x/rename drawn',
      'after x/rename drawn renamed',
      'before x/keep renamed',
      'after x/keep renamed renamed',
    ])
  })

  it('core has one pass for each of its stages', () => {
    expect(corePasses.map((each) => each.phase)).toEqual(['partition', 'place', 'communicate', 'schedule'])
  })
})
