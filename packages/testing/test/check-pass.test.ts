import {
  composePlugins,
  corePasses,
  createMesh,
  edit,
  type Item,
  operatorTable,
  type Pass,
  type Program,
  withPreferences,
} from '@shardloom/core'
import { buildProgram, findPreset, transformers } from '@shardloom/models'
import { dataParallel } from '@shardloom/strategy-dp'
import { tensorParallel } from '@shardloom/strategy-tp'
import { describe, expect, it } from 'vitest'
import { operators as drawnOperators } from '../../core/test/draw.js'
import { thrown } from '../../core/test/thrown.js'
import { checkPass, type PassCheckContext, type PassFixture, type PassLaw, passLaws } from '../src/check-pass.js'
import { parseProgram } from '../src/parse-program.js'

const plugins = composePlugins([transformers(), dataParallel(), tensorParallel()])
const { operators } = plugins
const mesh = createMesh([
  { name: 'dp', degree: 2 },
  { name: 'tp', degree: 2 },
])

function passOf(name: string): Pass {
  const found = [...plugins.passes, ...corePasses].find((pass) => pass.name === name)
  if (!found) throw new Error(`no pass ${name}`)
  return found
}

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

describe('the passes of this house keep every law', () => {
  const order = [
    'models/differentiate',
    'models/optimizer',
    'dp/split-batch',
    'tp/split-heads',
    'core/partition',
    'core/place',
    'core/communicate',
  ]
  const models = [
    ['tiny', { phase: 'training', batch: 4, microbatches: 2, seq: 8 }],
    ['tiny-moe', { phase: 'training', batch: 4, seq: 8 }],
    ['tiny-moe', { phase: 'decode', batch: 4, seq: 8, steps: 2 }],
    ['tiny', { phase: 'prefill', batch: 4, seq: 8 }],
    ['deepseek-v3', { phase: 'training', batch: 4, seq: 8 }],
  ] as const

  it('on models, each pass on the result of those before it', () => {
    const changes = new Set<string>()
    for (const [model, build] of models) {
      let before: Program = { ...buildProgram(findPreset(model), build), mesh }
      for (const name of order) {
        const [report] = checkPass(passOf(name), [{ name: `${model}, ${build.phase}`, before }], { operators })
        if (!report) throw new Error('no report')
        expect(report.laws).toEqual(['runs', 'pure', 'deterministic', 'idempotent', 'json', 'text', 'verifies'])
        if (report.changed) changes.add(name)
        before = report.result
      }
      expect(before.tensors.size, model).toBeGreaterThan(10)
    }
    expect([...changes].sort()).toEqual([...order].sort())
  })

  it('and do what they are made for: tensor parallelism wishes for heads and widths', () => {
    const query = `
      sizes batch=4 hidden=8 kv_heads=2 group=2 ffn=16
      outside
        wq : parameter [hidden kv_heads group]
        wo : parameter [kv_heads group hidden]
        x : [batch hidden]
      q = einsum(x, wq) : batch hidden, hidden kv_heads group -> batch kv_heads group
      out = einsum(q, wo) : batch kv_heads group, kv_heads group hidden -> batch hidden
    `
    const wish = '      prefer [kv_heads ffn vocab] feature over tp ; atoms tp'
    const reports = checkPass(
      passOf('tp/split-heads'),
      [
        { name: 'two heads on two ranks', before: query, expected: `${wish}${query}` },
        { name: 'one rank', before: `      mesh tp=1${query}`, expected: query },
      ],
      { operators: drawnOperators, mesh: createMesh([{ name: 'tp', degree: 2 }]) },
    )
    expect(reports.map(({ changed }) => changed)).toEqual([true, false])
    const dp = { name: 'two sequences', before: query, expected: `      prefer [batch] token over dp${query}` }
    const context = { operators: drawnOperators, mesh: createMesh([{ name: 'dp', degree: 2 }]) }
    expect(checkPass(passOf('dp/split-batch'), [dp], context)).toMatchObject([{ changed: true }])
  })

  it('and communication is derived: column, then row parallel, then one all-reduce', () => {
    const split = `
      prefer [ffn] feature over tp
      sizes hidden=8 ffn=16 batch=4
      outside
        w1 : parameter [hidden ffn] @ ffn/tp
        w2 : parameter [ffn hidden] @ ffn/tp
        x : [batch hidden] @ replicate
      up = einsum(x, w1) : batch hidden, hidden ffn -> batch ffn ; split ffn/tp ; @ ffn/tp
      act = gelu(up) : batch ffn -> batch ffn ; split ffn/tp ; @ ffn/tp
      out = einsum(act, w2) : batch ffn, ffn hidden -> batch hidden ; split ffn/tp ; @ partial(sum)/tp
      end = gelu(out) : batch hidden -> batch hidden ; split none ; @ replicate
    `
    const expected = split.replace(
      'end = gelu(out)',
      'out/all-reduce(tp) = all-reduce(out) ; over tp sum ; for end by tp ; @ replicate\n      end = gelu(out/all-reduce(tp))',
    )
    const context = { operators: drawnOperators, mesh: createMesh([{ name: 'tp', degree: 2 }]) }
    const [report] = checkPass(
      passOf('core/communicate'),
      [{ name: 'a dense layer', before: split, expected }],
      context,
    )
    expect(report?.laws).toEqual(passLaws)
  })
})

describe('a law can be broken:', () => {
  const rename = (program: Program, name: string) => (program.name === name ? program : { ...program, name })
  let count = 0
  const broken: readonly (readonly [PassLaw, RegExp, Pass['run']])[] = [
    [
      'runs',
      /throws: no heads/,
      () => {
        throw new Error('no heads')
      },
    ],
    ['runs', /does not return a program: it is undefined/, () => undefined as unknown as Program], // what an untyped plugin may do
    [
      'runs',
      /does not return a program: .*`up`.*rule/,
      (program) => ({ ...program, items: program.items.map((item) => ({ ...item, rule: null })) as unknown as Item[] }), // as above
    ],
    [
      'pure',
      /`items\[0\]\.op` was "einsum" and is "add"/,
      (program) => {
        Object.assign(program.items[0] ?? {}, { op: 'add' })
        return program
      },
    ],
    [
      'pure',
      /`tensors\[6\]` was not there/,
      (program) => {
        const tensors = program.tensors as Map<string, unknown> // what an untyped plugin may do
        tensors.set('more', { ...program.tensors.get('x'), id: 'more' })
        return program
      },
    ],
    [
      'deterministic',
      /`name` was "1" and is "2"/,
      (program) => (program.name === 'program' ? { ...program, name: `${++count}` } : program),
    ],
    ['idempotent', /`name` was "program!" and is "program!!"/, (program) => ({ ...program, name: `${program.name}!` })],
    ['idempotent', /a new object that is equal/, (program) => ({ ...program })],
    [
      'json',
      /`notes.when` was undefined and is not there/,
      (program) => ('when' in program.notes ? program : { ...program, notes: { when: undefined as unknown as null } }),
    ], // what an untyped plugin may do
    [
      'text',
      /`colour` was "red" and is not there/,
      (program) => ('colour' in program ? program : Object.assign({ ...program }, { colour: 'red' })),
    ],
    [
      'expected',
      /-.*act = gelu\(up\)[\s\S]*\+.*act = relu\(up\)/,
      (program) => {
        const items = program.items.map((item) =>
          item.type === 'node' && item.op === 'gelu' ? { ...item, op: 'relu' } : item,
        )
        return JSON.stringify(items) === JSON.stringify(program.items) ? program : { ...program, items }
      },
    ],
    [
      'verifies',
      /rule 1 is broken.*`out` reads `act` before it is made/,
      (program) => {
        const [first, second, third] = program.items
        if (!first || !second || !third || first.id !== 'up' || second.id === 'out') return program
        return { ...program, items: [first, third, second] }
      },
    ],
    [
      'verifies',
      /the core passes that follow fail: .*`relu`/,
      (program) => {
        const items = program.items.map((item) =>
          item.type === 'node' && item.op === 'gelu' ? { ...item, op: 'relu' } : item,
        )
        return JSON.stringify(items) === JSON.stringify(program.items) ? program : { ...program, items }
      },
    ],
  ]

  it.each(broken)('%s (%s)', (law, message, run) => {
    const pass: Pass = { name: 'mine/break-law', phase: 'partition', run }
    const fixture = { name: 'a dense layer', before: dense, ...(law === 'expected' && { expected: dense }) }
    const error = thrown(() => checkPass(pass, [fixture], { operators: drawnOperators }))
    expect(error.code).toBe('PASS_LAW')
    expect(error.subject).toBe('mine/break-law')
    expect(error.message).toContain(`The pass \`mine/break-law\` breaks the law \`${law}\` on \`a dense layer\`: `)
    expect(error.message).toMatch(message)
    expect(error.help).toBeTruthy()
  })

  it('a wrong result is shown as a diff of a few lines', () => {
    const pass: Pass = { name: 'mine/rename', phase: 'partition', run: (program) => rename(program, 'other') }
    const fixture = { name: 'a dense layer', before: dense, expected: dense }
    const { message } = thrown(() => checkPass(pass, [fixture], { operators: drawnOperators }))
    expect(
      message,
    ).toBe(`The pass \`mine/rename\` breaks the law \`expected\` on \`a dense layer\`: its result is another one:
+ program other training
  sizes hidden=8 ffn=16 batch=4
${'  '}
…
`)
  })

  it('fixtures that are wrong say which one and where', () => {
    const pass: Pass = { name: 'mine/nothing', phase: 'partition', run: (program) => program }
    const check = (fixture: Omit<PassFixture, 'name'>) =>
      thrown(() => checkPass(pass, [{ name: 'a torn line', ...fixture }], { operators: operatorTable([]) }))
    const before = check({ before: 'y = gelu(' })
    expect(before.code).toBe('PROGRAM_TEXT')
    expect(before.message).toContain('`before` of the fixture `a torn line`: Line 1: cannot read `y = gelu(`')
    const expected = check({ before: 'y = gelu(x) : batch -> batch\nsizes batch=2', expected: 'oh, no' })
    expect(expected.code).toBe('PROGRAM_TEXT')
    expect(expected.message).toContain('`expected` of the fixture `a torn line`: Line 1: ')
    const object = check({ before: { ...parseProgram(''), notes: null } as unknown as Program }) // what an untyped test may do
    expect(object.code).toBe('PROGRAM_JSON')
    expect(object.message).toMatch(/`before` of the fixture `a torn line`: .*`notes`/)
  })
})

describe('a check of nothing is refused:', () => {
  const pass = { name: 'mine/nothing', phase: 'partition', run: (program: Program) => program }
  const fixtures = [{ name: 'a dense layer', before: dense }]
  const context = { operators: drawnOperators }
  const cases: readonly (readonly [string, RegExp, RegExp, unknown, unknown, unknown])[] = [
    ['no pass', /no function `run`/, /name.*phase.*run/, undefined, fixtures, context],
    ['null', /no function `run`/, /run/, null, fixtures, context],
    ['a pass without run', /no function `run`/, /run/, { ...pass, run: undefined }, fixtures, context],
    ['a pass without a name', /no `name`/, /plugin\/verb-noun/, { ...pass, name: undefined }, fixtures, context],
    ['a pass with an empty name', /no `name`/, /plugin\/verb-noun/, { ...pass, name: '' }, fixtures, context],
    [
      'an unknown phase',
      /phase.*`mine\/nothing`/,
      /partition.*or verify/,
      { ...pass, phase: 'later' },
      fixtures,
      context,
    ],
    ['no phase', /phase.*`mine\/nothing`/, /partition/, { ...pass, phase: undefined }, fixtures, context],
    ['no fixtures', /`fixtures`/, /name, before/, pass, [], context],
    ['undefined fixtures', /`fixtures`/, /name, before/, pass, undefined, context],
    ['a fixture that is null', /fixture 0/, /name, before/, pass, [null], context],
    ['a fixture without a name', /fixture 1/, /name, before/, pass, [...fixtures, { before: dense }], context],
    ['a fixture without before', /`before`.*`f`/, /program or its text/, pass, [{ name: 'f' }], context],
    ['a fixture of something else', /`before`.*`f`/, /program or its text/, pass, [{ name: 'f', before: {} }], context],
    [
      'expected a program',
      /`expected`.*`f`/,
      /printProgram/,
      pass,
      [{ name: 'f', before: dense, expected: {} }],
      context,
    ],
    ['no context', /context\.operators/, /composePlugins/, pass, fixtures, undefined],
    ['no operators', /context\.operators/, /composePlugins/, pass, fixtures, {}],
  ]

  it.each(cases)('%s', (_, message, help, pass, fixtures, context) => {
    const error = thrown(() => checkPass(pass as Pass, fixtures as PassFixture[], context as PassCheckContext)) // as an untyped test may
    expect(error.code).toBe('PASS_CHECK')
    expect(error.message).toMatch(message)
    expect(error.help).toMatch(help)
  })
})

it('the pass that a plugin author writes first passes', () => {
  const pass: Pass = {
    name: 'slices/split-positions',
    phase: 'partition',
    run: (program) =>
      withPreferences(program, [{ strategy: 'slices', axis: 'slices', class: 'token', dims: ['batch'] }]),
  }
  const [report] = checkPass(pass, [{ name: 'a dense layer', before: dense }], {
    operators: drawnOperators,
    mesh: createMesh([{ name: 'slices', degree: 2 }]),
  })
  expect(report?.changed).toBe(true)
  expect(edit(parseProgram(dense)).commit().items).toHaveLength(3)
})
