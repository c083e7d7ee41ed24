import {
  corePasses,
  type Instrument,
  type Item,
  type OperatorNode,
  type Pass,
  type Program,
  type Region,
  runPasses,
  type Tensor,
} from '@shardloom/core'
import { describe, expect, it } from 'vitest'
import { draw, operators } from './draw.js'
import { planned } from './planned.js'
import { thrown } from './thrown.js'

const context = { operators, warn: () => {} }
const drawn = draw({ a: 2 }, 'y = gelu(x): a -> a')
const plan = planned('tiny', { phase: 'training', batch: 4, microbatches: 2, seq: 16 }, { dp: 2, tp: 2 })
const returns = (make: (program: Program) => unknown): Pass => ({
  name: 'mine/garbage',
  phase: 'build',
  run: (program) => make(program) as Program, // what an untyped plugin may return
})

const with0 = (program: Program, change: object): unknown => ({
  ...program,
  items: program.items.map((item, index) => (index ? item : { ...item, ...change })),
})
const tensorsOf = (program: Program, change: object): unknown => ({
  ...program,
  tensors: new Map([...program.tensors].map(([id, tensor]) => [id, { ...tensor, ...change }])),
})
const empty = { type: 'region', id: 'r', axis: 'a', extent: 1, order: 'forward', select: [], ports: [] } as const
const body = { name: 'b', items: [] }
const region = (program: Program, change: object): unknown => ({
  ...program,
  items: [...program.items, { ...empty, bodies: [body], ...change }],
})
const communication = { atoms: [], from: { shards: [[]], partial: {} }, to: { shards: [[]], partial: {} } }
const deep = (depth: number) => {
  let items: unknown = []
  for (let at = 0; at < depth; at++) items = [{ ...empty, id: `${at}`, bodies: [{ name: 'b', items }] }]
  return items
}
const revoked = () => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

const garbage: readonly (readonly [string, RegExp, (program: Program) => unknown])[] = [
  ['undefined', /it is undefined/, () => undefined],
  ['null', /not an object/, () => null],
  ['a number', /not an object/, () => 5],
  ['a list', /not an object/, () => []],
  ['a promise', /it is a promise/, (program) => Promise.resolve({ ...program })],
  ['an empty object', /schema is undefined/, () => ({})],
  ['another schema', /program\/9/, (program) => ({ ...program, schema: 'shardloom.program/9' })],
  ['tensors as an object', /`tensors`/, (program) => ({ ...program, tensors: {} })],
  ['no tensors at all', /`y` names the tensor `x`.*not exist/, (program) => ({ ...program, tensors: new Map() })],
  ['null items', /`items`/, (program) => ({ ...program, items: null })],
  ['a null item', /an item has no id/, (program) => ({ ...program, items: [null] })],
  ['a hole for an item', /an item has no id/, (program) => ({ ...program, items: new Array(1) })],
  ['no mesh', /`mesh`/, (program) => ({ ...program, mesh: undefined })],
  ['mesh 0', /`mesh`/, (program) => ({ ...program, mesh: 0 })],
  ['no preferences', /`preferences`/, (program) => ({ ...program, preferences: undefined })],
  [
    'a preference without dims',
    /`preferences`/,
    (program) => ({ ...program, preferences: [{ strategy: 'a', axis: 'a', class: 'token' }] }),
  ],
  ['no notes', /`notes`/, (program) => ({ ...program, notes: undefined })],
  ['an item that is neither', /`y` is neither a node nor a region/, (program) => with0(program, { type: 'x' })],
  ['a null rule', /node `y`.*rule/, (program) => with0(program, { rule: null })],
  ['a rule that cannot be read', /cannot read the rule/i, (program) => with0(program, { rule: '->->' })],
  ['undefined inputs', /node `y`.*inputs/, (program) => with0(program, { inputs: undefined })],
  ['a hole for an input', /node `y`.*inputs/, (program) => with0(program, { inputs: new Array(1) })],
  ['no inputs', /`y`.*inputs.*rule `a -> a`/, (program) => with0(program, { inputs: [] })],
  ['an unknown input', /`y` names the tensor `z`/, (program) => with0(program, { inputs: ['z'] })],
  ['an unknown output', /`y` names the tensor `z`/, (program) => with0(program, { outputs: ['z'] })],
  ['an unknown kind', /node `y`.*kind/, (program) => with0(program, { kind: 'magic' })],
  ['a communication without anything', /node `y`.*communication/, (program) => with0(program, { communication: {} })],
  ['a communication without a reason', /node `y`.*communication/, (program) => with0(program, { communication })],
  ['an incomplete partition', /node `y`.*partition/, (program) => with0(program, { partition: { splits: {} } })],
  ['per: null', /tensor `x`.*per/, (program) => tensorsOf(program, { per: null })],
  [
    'a placement without shards',
    /tensor `x`.*placement/,
    (program) => tensorsOf(program, { placement: { partial: {} } }),
  ],
  ['an unknown type', /tensor `x`.*dtype/, (program) => tensorsOf(program, { dtype: 'constructor' })],
  ['one id for all', /tensor `x`.*id/, (program) => tensorsOf(program, { id: 'other' })],
  ['a null tensor', /tensor `x`/, (program) => ({ ...program, tensors: new Map([['x', null]]) })],
  ['null ports', /region `r`.*ports/, (program) => region(program, { ports: null })],
  ['a null port', /region `r`.*ports/, (program) => region(program, { ports: [null] })],
  ['a port of no kind', /region `r`.*ports/, (program) => region(program, { ports: [{ kind: 'constructor' }] })],
  [
    'a port to nowhere',
    /`r` names the tensor `z`/,
    (program) => region(program, { ports: [{ kind: 'each', tensor: 'z' }] }),
  ],
  [
    'a carry that a body does not give',
    /port of `r`.*1 bodies/,
    (program) => region(program, { ports: [{ kind: 'carry', initial: 'x', inner: 'x', next: [], result: 'x' }] }),
  ],
  ['a choice of no body', /`select`.*`r`/, (program) => region(program, { select: [{ body: 1, count: 1 }] })],
  ['bodies without items', /region `r`.*bodies/, (program) => region(program, { bodies: [{ name: 'b' }] })],
  ['a node deep inside', /an item has no id/, (program) => region(program, { bodies: [{ name: 'b', items: [{}] }] })],
  ['endless nesting', /more than 16 deep/, (program) => ({ ...program, items: deep(100_000) })],
  ['a revoked proxy', /reading it fails/, revoked],
  [
    'a proxy of the tensors',
    /reading it fails/,
    (program) => ({ ...program, tensors: new Proxy(program.tensors, {}) }),
  ],
  [
    'a getter that throws',
    /reading it fails: no mesh today/,
    (program) => ({
      ...program,
      get mesh() {
        throw new Error('no mesh today')
      },
    }),
  ],
]

describe('a pass that returns what is no program is named at once', () => {
  it.each(garbage)('%s', (_, message, make) => {
    const seen: string[] = []
    const instrument: Instrument = { after: (pass) => seen.push(pass.name) }
    const error = thrown(() => runPasses(drawn, [returns(make), ...corePasses], context, [instrument]))
    expect(error).toMatchObject({ code: 'PASS_RESULT', subject: 'mine/garbage' })
    expect(error.message).toContain('What the pass `mine/garbage` returned is no program: ')
    expect(error.message).toMatch(message)
    expect(error.message).not.toContain('Cannot read properties')
    expect(error.help).toContain('edit(program).commit()')
    expect(seen).toEqual([])
  })
})

/** Every way to spoil one field of a value that JSON holds. */
function* spoilt(value: object): Generator<object> {
  for (const [key, old] of Object.entries(value))
    for (const junk of [undefined, -1, {}, [null]]) if (junk !== old) yield { ...value, [key]: junk }
}

const isProgram = (program: unknown) => {
  try {
    runPasses(plan.program, [returns(() => program)], { operators: plan.operators, warn: () => {} })
    return true
  } catch (error) {
    expect(error).toMatchObject({ code: 'PASS_RESULT' })
    return false
  }
}

describe('what a pass may return', () => {
  it('is any program that changed in whole or in part, and a proxy that keeps to the rules', () => {
    const { program } = plan
    expect(isProgram(structuredClone(program))).toBe(true)
    expect(isProgram({ ...program, name: 'other' })).toBe(true)
    expect(isProgram(new Proxy(program, {}))).toBe(true)
  })

  it('is not a program with a required field of any item or tensor spoilt', () => {
    const { program } = plan
    const nodes: OperatorNode[] = []
    const regions: Region[] = []
    const collect = (items: readonly Item[]) => {
      for (const item of items) {
        if (item.type === 'node') nodes.push(item)
        else regions.push(item)
        if (item.type === 'region') for (const { items } of item.bodies) collect(items)
      }
    }
    collect(program.items)
    const free = ['fusion', 'differentiates', 'recompute', 'updates', 'attributes', 'after', 'density']
    let tried = 0
    const refuse = (old: object, make: (changed: object) => unknown, optional: readonly string[]) => {
      for (const changed of spoilt(old)) {
        const key = Object.keys(old).find((each) => Reflect.get(changed, each) !== Reflect.get(old, each)) ?? ''
        if (optional.includes(key) || (key === 'partition' && Reflect.get(changed, key) === undefined)) continue
        if (key === 'communication' && Reflect.get(changed, key) === undefined) continue
        tried++
        expect(isProgram(make(changed)), `${key}: ${JSON.stringify(Reflect.get(changed, key))}`).toBe(false)
      }
    }
    const append = (item: object) => ({ ...program, items: [...program.items, item] })
    for (const each of [nodes[0], nodes.find((node) => node.communication)]) refuse(each ?? {}, append, free)
    for (const each of regions.slice(0, 2)) refuse(each, append, [])
    const first: Tensor | undefined = program.tensors.values().next().value
    const replaced = (changed: object) => ({
      ...program,
      tensors: new Map([...program.tensors]).set(first?.id ?? '', changed as Tensor),
    }) // spoilt on purpose
    refuse(first ?? {}, replaced, ['placement', 'versionOf', 'body', 'growth', 'density'])
    expect(tried).toBeGreaterThan(60)
  })
})
