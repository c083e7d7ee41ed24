import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isShardloomError, type Program } from '@shardloom/core'
import { buildProgram, findPreset } from '@shardloom/models'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { planned } from '../../core/test/planned.js'
import { thrown } from '../../core/test/thrown.js'
import { parseProgram } from '../src/parse-program.js'
import { printProgram } from '../src/print-program.js'
import { anyProgram } from './any-program.js'

function keeps(program: Program): void {
  const text = printProgram(program)
  const again = parseProgram(text)
  expect(again).toEqual(program)
  expect([...again.tensors.keys()]).toEqual([...program.tensors.keys()])
  expect(printProgram(again)).toBe(text)
}

const real = ['llama-3.1-8b', 'deepseek-v3', 'gpt-oss-120b', 'tiny-moe'] as const
const builds = [
  { phase: 'training', batch: 8, microbatches: 2, seq: 16 },
  { phase: 'prefill', batch: 8, seq: 16 },
  { phase: 'decode', batch: 8, seq: 16, steps: 3 },
] as const

it.each([undefined, null, 5, {}, ['y = gelu(x)'], Buffer.from('')])('what is no text is refused: %s', (value) => {
  const error = thrown(() => parseProgram(value as string)) // as an untyped test may
  expect(error.code).toBe('PROGRAM_TEXT')
  expect(error.message).toContain(`from ${value === null ? 'null' : typeof value}: it is not a string`)
  expect(error.help).toContain('gelu(x)')
})

describe('print, then parse', () => {
  it.each(real)('gives the same program for %s, before and after all passes', (model) => {
    for (const build of builds) {
      keeps(buildProgram(findPreset(model), build))
      keeps(planned(model, build, { dp: 2, tp: 2 }).program)
    }
    keeps(planned(model, builds[0], { tp: 1, dp: 4 }).program)
  })

  it('keeps divided axes and gradients that stay partial', () => {
    keeps(planned('llama-3.1-8b', builds[0], { tp: 16 }, { tp: { keyValueGradients: 'defer' } }).program)
    keeps(planned('llama-3.1-8b', builds[0], { tp: 8 }, { tp: { overlap: 4 } }).program)
    keeps(planned('llama-3.1-8b', builds[0], { tp: 3 }, { uneven: 'ragged' }).program)
  })

  it('gives the same program whatever it holds', () => {
    fc.assert(fc.property(anyProgram, keeps), { numRuns: 1000 })
  })
})

const dense = `
sizes hidden=8 ffn=16 batch=4

outside
  w1 : parameter [hidden ffn]
  w2 : parameter [ffn hidden]
  x : [batch hidden]

up = einsum(x, w1) : batch hidden, hidden ffn -> batch ffn
act = gelu(up) : batch ffn -> batch ffn
out = einsum(act, w2) : batch ffn, ffn hidden -> batch hidden
`

describe('a text written by a person', () => {
  it('needs no more than nodes, sizes and what is no input', () => {
    const program = parseProgram(
      `
      # Two lines of a feed-forward network.
      sizes batch=4 hidden=8 ffn=16
      outside
        w1 : parameter
        w2 : parameter

      up = einsum(x, w1) : batch hidden, hidden ffn -> batch ffn
      act = gelu(up)
      out = einsum(act, w2) : batch ffn, ffn hidden -> batch hidden
      ; module ffn
    `,
    )
    expect(program).toMatchObject({ name: 'program', phase: 'training', uneven: 'refuse', notes: {}, preferences: [] })
    expect(program.mesh).toEqual({ world: 1, atoms: [], axes: [] })
    const tensor = (id: string, dims: string[], shape: number[], role: string) => ({
      id,
      dims,
      shape,
      role,
      dtype: 'bf16',
      per: [],
    })
    expect([...program.tensors.values()]).toEqual([
      tensor('x', ['batch', 'hidden'], [4, 8], 'input'),
      tensor('w1', ['hidden', 'ffn'], [8, 16], 'parameter'),
      tensor('w2', ['ffn', 'hidden'], [16, 8], 'parameter'),
      tensor('up', ['batch', 'ffn'], [4, 16], 'activation'),
      tensor('act', ['batch', 'ffn'], [4, 16], 'activation'),
      tensor('out', ['batch', 'hidden'], [4, 8], 'activation'),
    ])
    expect(program.items[1]).toEqual({
      type: 'node',
      id: 'act',
      kind: 'compute',
      op: 'gelu',
      rule: 'batch ffn -> batch ffn',
      inputs: ['up'],
      outputs: ['act'],
      segment: 'forward',
      module: '',
    })
  })

  it('is printed in the same form', () => {
    expect(`\n${printProgram(parseProgram(dense))}`).toBe(dense)
  })

  it('says what a region hands on, and its other ports follow', () => {
    const program = parseProgram(`
      sizes batch=4 hidden=8
      outside
        x : [batch hidden]
        w : parameter [hidden] per [layer]
      repeat layers over layer=61 select dense=3 moe=58
        carry h from x next a, b to y
        body dense
          a = scale(h, w) : batch hidden, hidden -> batch hidden
        body moe
          b = scale(h, w) : batch hidden, hidden -> batch hidden
      z = gelu(y)
    `)
    expect(program.items[0]).toMatchObject({
      extent: 61,
      order: 'forward',
      select: [
        { body: 0, count: 3 },
        { body: 1, count: 58 },
      ],
      ports: [
        { kind: 'carry', initial: 'x', inner: 'h', next: ['a', 'b'], result: 'y' },
        { kind: 'each', tensor: 'w' },
      ],
    })
    expect(program.tensors.get('h')).toMatchObject({ per: ['layer'], role: 'activation', shape: [4, 8] })
    expect(program.tensors.get('a')).toMatchObject({ per: ['layer'], body: 'dense' })
    expect(program.tensors.get('y')).toMatchObject({ per: [], shape: [4, 8] })
    keeps(program)
  })

  it('writes splits, placements and communication as a reader thinks of them', () => {
    const program = parseProgram(`
      mesh dp=2 tp=2x2
      sizes batch=4 hidden=8 ffn=16
      y = einsum(x, w) : batch ffn, ffn hidden -> batch hidden ; split batch/dp · ffn/tp ; @ batch/dp · partial(sum)/tp
      y/all-reduce(tp) = all-reduce(y) ; over tp sum ; for z by tp ; @ batch/dp
    `)
    expect(program.items).toMatchObject([
      {
        partition: {
          splits: { batch: ['dp'], ffn: ['tp.0', 'tp.1'] },
          partial: {},
          by: { dp: 'dp', 'tp.0': 'tp', 'tp.1': 'tp' },
        },
      },
      {
        kind: 'communication',
        rule: 'batch hidden -> batch hidden',
        communication: {
          atoms: ['tp.0', 'tp.1'],
          reduction: 'sum',
          from: { shards: [['dp'], []], partial: { 'tp.0': 'sum', 'tp.1': 'sum' } },
          to: { shards: [['dp'], []], partial: {} },
          reason: { tensor: 'y', producer: 'y', consumer: 'z', strategies: ['tp'] },
        },
      },
    ])
    expect(program.tensors.get('y/all-reduce(tp)')).toMatchObject({ versionOf: 'y', dims: ['batch', 'hidden'] })
    keeps(program)
  })

  it('takes what its head leaves out from the caller', () => {
    const { mesh } = parseProgram('mesh tp=2')
    const program = parseProgram('y = gelu(x) : a -> a ; @ a/tp', {
      mesh,
      sizes: { a: 4 },
      phase: 'prefill',
      dtype: 'fp32',
    })
    expect(program).toMatchObject({ mesh: { world: 2 }, phase: 'prefill', items: [{ segment: 'prefill' }] })
    expect(program.tensors.get('y')).toMatchObject({ shape: [4], dtype: 'fp32', placement: { shards: [['tp']] } })
  })
})

describe('a text that is wrong', () => {
  const cases: readonly (readonly [text: string, line: number, why: RegExp, help: RegExp])[] = [
    ['y = gelu(x', 1, /`\)` should stand here/, /einsum/],
    ['sizes a=2\n\nhello', 3, /neither a node nor a region/, /einsum/],
    ['y = gelu(x) : a -> a', 1, /size of `a` of the tensor `x`/, /sizes batch=4/],
    ['y = gelu(x)', 1, /no rule/, /batch hidden/],
    ['y = f(x) : a a -> a', 1, /names one dim twice/, /hidden ffn/],
    ['y = f(x, z) : a -> a', 1, /1 operand and 1 result, the node has 2 and 1/, /batch hidden/],
    ['sizes a=2\ny = f(x) : a -> a ; @ b/tp', 2, /no axis or atom `tp`/, /mesh dp=2/],
    ['mesh tp=2\nsizes a=2\ny = f(x) : a -> a ; @ b/tp', 3, /no dim `b`/, /Its dims are: a/],
    ['sizes a=2\ny = f(x) : a -> a ; colour red', 2, /no such clause/, /differentiates/],
    ['program x y', 1, /no phase/, /training, prefill, decode/],
    ['mesh tp=0', 1, /degree/, /^/],
    ['repeat r over layer', 1, /`=` should/, /over layer=4/],
    ['repeat r over layer=2\n  body a\n  body b', 1, /which iterations run which body/, /select a=1 b=1/],
    ['repeat r over layer=2\n  each x', 1, /lists the port `each`/, /they follow/],
    ['    x = f()\n  y = f()', 2, /indentation/, /Align/],
    ['outside\n  w : parameter', 2, /nobody reads `w`/, /dims/],
    ['outside\n  w : [a=1]\n  w : [a=1]', 3, /line 2 says already/, /once/],
    ['outside\n  w : parametre [a=1]', 2, /no such property/, /parameter/],
    ['sizes a=2\ny = f(x) : a -> a\norder 1', 3, /each of the 2 tensors once/, /Leave the line out/],
    ['; over tp', 1, /no line that it could go on with/, /^/],
  ]
  it.each(cases)('is refused with line, reason and help: %s', (text, line, why, help) => {
    const error = thrown(() => parseProgram(text))
    expect(error.code).toBe('PROGRAM_TEXT')
    expect(error.message).toMatch(new RegExp(`^Line ${line}: `))
    expect(error.message).toMatch(why)
    expect(error.help ?? '').toMatch(help)
  })

  it('throws nothing but our own error, whatever is changed in a real one', () => {
    const texts = [dense, printProgram(planned('tiny-moe', builds[2], { dp: 2, tp: 2 }).program)]
    const piece = fc.oneof(
      fc.string({ maxLength: 6 }),
      fc.constantFrom(';', '@', '(', ')', '"', '\n', '  ', '{', '[', ' -> ', '-1', '=', '/'),
    )
    let [parsed, refused] = [0, 0]
    fc.assert(
      fc.property(
        fc.constantFrom(...texts),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.nat(12),
        piece,
        (text, at, cut, put) => {
          const from = Math.floor(at * text.length)
          try {
            const program = parseProgram(text.slice(0, from) + put + text.slice(from + cut))
            parsed++
            expect(parseProgram(printProgram(program))).toEqual(program)
          } catch (error) {
            if (!isShardloomError(error)) throw error
            refused++
            expect(error.code).toBe('PROGRAM_TEXT')
          }
        },
      ),
      { numRuns: 600 },
    )
    expect(Math.min(parsed, refused)).toBeGreaterThan(5)
  })

  it('throws nothing but our own error for any text', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string({ unit: 'binary' }),
          fc.array(fc.constantFrom(...dense.split(/(\s|[,;:=()])/)), { maxLength: 30 }).map((all) => all.join(' ')),
        ),
        (text) => {
          try {
            parseProgram(text)
          } catch (error) {
            expect(error).toMatchObject({ name: 'ShardloomError', code: 'PROGRAM_TEXT' })
          }
        },
      ),
      { numRuns: 500 },
    )
  })

  it('is refused when it is nested without end', () => {
    const text = Array.from({ length: 5000 }, (_, depth) => `${' '.repeat(depth)}repeat r over layer=1`).join('\n')
    expect(thrown(() => parseProgram(text)).message).toMatch(/nested more than/)
  })
})

it('the grammar on the site is that of the doc comment', () => {
  const root = join(import.meta.dirname, '../../..')
  const source = readFileSync(join(root, 'packages/testing/src/parse-program.ts'), 'utf8')
  const grammar = [...source.matchAll(/^ \* {5}(.*)$/gm)].map(([, line]) => line).join('\n')
  expect(grammar.split('\n').length).toBeGreaterThan(20)
  expect(readFileSync(join(root, 'apps/docs/reference/program-text.md'), 'utf8')).toContain(grammar)
})
