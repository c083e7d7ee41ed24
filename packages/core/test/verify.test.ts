import {
  createMesh,
  type Item,
  lookup,
  nodesOf,
  type OperatorNode,
  type OperatorTable,
  type Program,
  type Region,
  rewriteItems,
  type Tensor,
} from '@shardloom/core'
import { firstViolation, verifyProgram } from '@shardloom/core/verify'
import { describe, expect, it } from 'vitest'
import { draw, operators, plan, wish } from './draw.js'
import { planned } from './planned.js'

interface Plan {
  readonly program: Program
  readonly operators: OperatorTable
}

const training = { phase: 'training', batch: 4, seq: 16 } as const
const sizes = { batch: 4, seq: 8, hidden: 16, ffn: 32, heads: 8, dim: 2 }
const drawn = (lines: string, degrees: Record<string, number>, ...wishes: Parameters<typeof wish>[]): Plan => ({
  program: plan(
    draw(sizes, lines),
    degrees,
    wishes.map((each) => wish(...each)),
  ),
  operators,
})
const sequence = drawn(
  `
  m = norm(x): batch seq hidden! -> batch seq hidden!
  h = einsum(m, w1): batch seq hidden, hidden ffn -> batch seq ffn
  a = gelu(h): batch seq ffn -> batch seq ffn
  y = einsum(a, w2): batch seq ffn, ffn hidden -> batch seq hidden
  r = add(x, y): batch seq hidden, batch seq hidden -> batch seq hidden
  `,
  { dp: 2, tp: 2 },
  ['tp', 'ffn seq'],
  ['dp', 'batch', { class: 'token' }],
)
const plans: Record<string, Plan> = {
  'tiny, training, dp 2 × tp 2': planned('tiny', { ...training, microbatches: 2 }, { dp: 2, tp: 2 }),
  'tiny, training, more ranks than KV heads': planned('tiny', training, { dp: 2, tp: 4 }),
  'tiny, keys and values gathered': planned('tiny', training, { tp: 4 }, { tp: { keyValueGradients: 'gather' } }),
  'tiny, their gradients deferred': planned('tiny', training, { tp: 4 }, { tp: { keyValueGradients: 'defer' } }),
  'tiny-moe, training': planned('tiny-moe', training, { dp: 2, tp: 2 }),
  'tiny, prefill': planned('tiny', { ...training, phase: 'prefill' }, { tp: 4 }),
  'tiny, decode': planned('tiny', { ...training, phase: 'decode', steps: 3 }, { dp: 2, tp: 2 }),
  'deepseek-v3, training': planned('deepseek-v3', { ...training, batch: 2 }, { dp: 2, tp: 4 }),
  'drawn, sequence split': sequence,
  'drawn, all-to-all': drawn(
    `
    q = einsum(x, w1): batch seq hidden, hidden heads dim -> batch seq heads dim
    c = gelu(q): batch seq! heads dim -> batch seq! heads dim
    o = einsum(c, w2): batch seq heads dim, heads dim hidden -> batch seq hidden
    `,
    { sp: 2, cp: 2 },
    ['sp', 'seq', { class: 'token' }],
    ['sp', 'heads', { where: { name: 'c' } }],
    ['cp', 'batch', { class: 'token' }],
  ),
}

const broken = ({ program, operators }: Plan) =>
  verifyProgram(program, operators).flatMap((report) => report.violations.map(() => report.rule))

describe('planned programs pass', () => {
  for (const [name, each] of Object.entries(plans)) {
    it(name, () => {
      for (const report of verifyProgram(each.program, each.operators)) {
        expect(report.violations, report.name).toEqual([])
        // Only inference has a cache to check.
        if (report.rule !== 7) expect(report.checked, report.name).toBeGreaterThan(0)
      }
    })
  }
})

/** Replaces one node by others wherever it stands, and the tensors that the others read. */
function replace(
  program: Program,
  target: OperatorNode,
  by: readonly OperatorNode[],
  read?: readonly [string, string],
): Program {
  const renamed = (id: string) => (read && id === read[0] ? read[1] : id)
  const items = rewriteItems(program.items, (list) =>
    list.flatMap((item): Item[] => {
      if (item.id === target.id && item.type === 'node') return [...by]
      if (item.type === 'node')
        return read && item.inputs.includes(read[0]) ? [{ ...item, inputs: item.inputs.map(renamed) }] : [item]
      const ports = item.ports.map((port) => {
        if (port.kind === 'carry') return { ...port, initial: renamed(port.initial), next: port.next.map(renamed) }
        if (port.kind === 'reduce') return { ...port, inner: port.inner.map((id) => id && renamed(id)) }
        return port
      })
      return [{ ...item, ports }]
    }),
  )
  return { ...program, items }
}

const withTensor = (program: Program, tensor: Tensor): Program => ({
  ...program,
  tensors: new Map(program.tensors).set(tensor.id, tensor),
})

/** Every way to spoil one communication node, by class. */
function* mutants(program: Program, node: OperatorNode): Generator<readonly [kind: string, Program]> {
  const { communication, inputs, outputs } = node
  const [input = ''] = inputs
  const [output = ''] = outputs
  if (!communication) return
  yield ['removed', replace(program, node, [])]
  yield ['bridged', replace(program, node, [], [output, input])]
  const copy = { ...node, id: `${node.id}#copy`, outputs: [`${output}#copy`] }
  const withCopy = withTensor(program, { ...lookup(program.tensors, output), id: `${output}#copy` })
  yield ['twice, the same', replace(program, node, [node, node])]
  yield ['twice, under another name', replace(withCopy, node, [node, copy])]
  const first = { ...node, outputs: copy.outputs, id: copy.id }
  yield ['twice, one after the other', replace(withCopy, node, [first, { ...node, inputs: copy.outputs }])]
  const atoms = program.mesh.atoms.map((atom) => atom.name)
  const own = communication.atoms.join()
  for (const set of [
    ...atoms.map((atom) => [atom]),
    atoms,
    [],
    [...communication.atoms, ...communication.atoms],
    ['nobody'],
  ])
    if (set.join() !== own)
      yield ['other atoms', replace(program, node, [{ ...node, communication: { ...communication, atoms: set } }])]
  for (const op of ['all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all', 'broadcast', 'send', 'gossip'])
    if (op !== node.op) yield ['another kind', replace(program, node, [{ ...node, op }])]
  for (const field of ['from', 'to'] as const) {
    const other = field === 'from' ? communication.to : communication.from
    yield [
      `another \`${field}\``,
      replace(program, node, [{ ...node, communication: { ...communication, [field]: other } }]),
    ]
  }
  const reductions = communication.reduction
    ? (['max', 'lse'] as const).filter((each) => each !== communication.reduction)
    : ['sum' as const]
  for (const reduction of reductions)
    yield ['another reduction', replace(program, node, [{ ...node, communication: { ...communication, reduction } }])]
  const source = lookup(program.tensors, input)
  const seen = new Set<string>()
  for (const tensor of program.tensors.values()) {
    if (tensor.id === input || tensor.id === output || tensor.shape.join() !== source.shape.join()) continue
    // One of each kind will do: the placement, and whether it is another version of the same tensor.
    const kind = `${JSON.stringify(tensor.placement)} ${tensor.versionOf === source.id} ${tensor.role} ${tensor.per}`
    if (seen.has(kind)) continue
    seen.add(kind)
    yield ['rerouted', replace(program, node, [{ ...node, inputs: [tensor.id] }])]
  }
}

describe('every way to spoil a communication node is caught', () => {
  for (const [name, { program, operators }] of Object.entries(plans)) {
    it(name, () => {
      const missed: string[] = []
      const tried = new Map<string, number>()
      for (const node of nodesOf(program.items)) {
        if (!node.communication) continue
        for (const [kind, mutant] of mutants(program, node)) {
          tried.set(kind, (tried.get(kind) ?? 0) + 1)
          if (!firstViolation(mutant, operators)) missed.push(`${kind}: ${node.id}`)
        }
      }
      expect(missed).toEqual([])
      expect(tried.get('bridged')).toBe(nodesOf(program.items).filter((node) => node.communication).length)
      expect(tried.get('bridged')).toBeGreaterThan(0)
    })
  }
})

it('the first violation is that of the first rule that is broken', () => {
  const { program } = sequence
  expect(firstViolation(program, operators)).toBeUndefined()
  const turned = { ...program, phase: 'decode', items: [...program.items].reverse() } as const
  const all = verifyProgram(turned, operators).flatMap(({ violations }) => violations)
  expect(all.length).toBeGreaterThan(2)
  expect(firstViolation(turned, operators)).toEqual(all[0])
})

describe('rules', () => {
  const { program } = sequence
  const change = (id: string, by: (node: OperatorNode) => OperatorNode) => {
    const node = nodesOf(program.items).find((each) => each.id === id)
    if (!node) throw new Error(`no node ${id}`)
    return broken({ program: replace(program, node, [by(node)]), operators })
  }
  const split = (id: string, splits: Record<string, readonly string[]>) =>
    change(id, (node) => ({ ...node, partition: { partial: {}, by: {}, ...node.partition, splits } }))

  it('1: items in the wrong order, a value from nowhere, an id or a result twice', () => {
    expect(broken({ program: { ...program, items: [...program.items].reverse() }, operators })).toContain(1)
    for (let at = 1; at < program.items.length; at++) {
      const items = [...program.items]
      const [before, item] = [items[at - 1], items[at]]
      if (!before || !item || before.type === 'region' || item.type === 'region') continue
      items.splice(at - 1, 2, item, before)
      const depends = item.inputs.some((id) => before.outputs.includes(id))
      expect(broken({ program: { ...program, items }, operators }).includes(1), item.id).toBe(depends)
    }
    expect(change('a', (node) => ({ ...node, inputs: ['nobody'] }))).toContain(1)
    expect(change('a', (node) => ({ ...node, id: 'h' }))).toContain(1)
    expect(change('a', (node) => ({ ...node, outputs: ['h'] }))).toContain(1)
    expect(change('a', (node) => ({ ...node, after: ['r'] }))).toContain(1)
  })

  it('1: a body that hands on what it does not make', () => {
    const loop = draw(sizes, 'e = norm(x): batch hidden! -> batch hidden!', {
      id: 'layers',
      axis: 'layer',
      extent: 2,
      bodies: { layer: 'y = norm(r): batch hidden! -> batch hidden!' },
      carry: { initial: 'e', inner: 'r', next: ['y'], result: 'out' },
    })
    expect(broken({ program: plan(loop, {}, []), operators })).toEqual([])
    const items = loop.items.map((item) =>
      item.type === 'region'
        ? { ...item, ports: item.ports.map((port) => (port.kind === 'carry' ? { ...port, next: ['nobody'] } : port)) }
        : item,
    )
    expect(broken({ program: { ...loop, items }, operators })).toContain(1)
  })

  it('3: a split on a dim that stays whole, or that is contracted without a reduction', () => {
    expect(split('m', { hidden: ['tp'] })).toContain(3)
    const lost = plan(draw(sizes, 'y = gelu(x): batch seq -> batch'), { tp: 2 }, [])
    const items = lost.items.map((item) =>
      item.type === 'node' ? { ...item, partition: { splits: { seq: ['tp'] }, partial: {}, by: {} } } : item,
    )
    expect(broken({ program: { ...lost, items }, operators })).toContain(3)
  })

  it('3: a partial sum passed on where the operator is not linear, or read as if whole', () => {
    const sum = plan(
      draw(
        sizes,
        'y = einsum(x, w): batch ffn, ffn hidden -> batch hidden',
        'z = gelu(y): batch hidden -> batch hidden',
      ),
      { tp: 2 },
      [wish('tp', 'ffn')],
    )
    const nodes = nodesOf(sum.items)
    const [einsum, reduce, gelu] = nodes
    if (!einsum || !reduce || !gelu) throw new Error('three nodes were planned')
    const bridged = replace(sum, reduce, [], [reduce.outputs[0] ?? '', reduce.inputs[0] ?? ''])
    expect(broken({ program: bridged, operators })).toContain(3)
    const passing = { ...gelu, inputs: ['y'], partition: { splits: {}, partial: { tp: [0] }, by: {} } }
    expect(broken({ program: { ...sum, items: [einsum, passing] }, operators })).toContain(3)
  })

  it('3: a placement on record that is not the one that the node makes', () => {
    const y = lookup(program.tensors, 'a')
    const moved = withTensor(program, { ...y, placement: { shards: [[], [], []], partial: {} } })
    expect(broken({ program: moved, operators })).toContain(3)
  })

  it('5: an atom that splits one dim twice, or two dims', () => {
    expect(split('a', { ffn: ['tp', 'tp'] })).toContain(5)
    expect(split('a', { ffn: ['tp'], seq: ['tp'] })).toContain(5)
    const w = lookup(program.tensors, 'w1')
    for (const shards of [
      [['tp', 'tp'], []],
      [['tp'], ['tp']],
    ])
      expect(
        broken({ program: withTensor(program, { ...w, placement: { shards, partial: {} } }), operators }),
      ).toContain(5)
    expect(
      broken({
        program: withTensor(program, { ...w, placement: { shards: [[], []], partial: { tp: 'sum' } } }),
        operators,
      }),
    ).toContain(5)
  })

  it('8: a split that does not divide, unless shares may differ', () => {
    const three = {
      ...program,
      mesh: createMesh([
        { name: 'dp', degree: 2 },
        { name: 'tp', degree: 3 },
      ]),
    }
    expect(broken({ program: three, operators })).toContain(8)
    expect(broken({ program: { ...three, uneven: 'ragged' }, operators })).not.toContain(8)
  })

  it('of plugins stand beside ours', () => {
    const rule = {
      name: 'no-gelu',
      check: (each: Program) => ({
        checked: 1,
        violations: nodesOf(each.items)
          .filter((node) => node.op === 'gelu')
          .map((node) => ({ node: node.id, message: 'gelu', help: '' })),
      }),
    }
    const report = verifyProgram(program, operators, [rule]).find((each) => each.rule === 'no-gelu')
    expect(report?.violations.map((each) => each.node)).toEqual(['a'])
  })
})

describe('structure that no execution is needed to see', () => {
  const base = () => planned('tiny', { ...training, microbatches: 2 }, { dp: 2, tp: 2 })
  type Plain = ReturnType<typeof base>['program']
  const regions = (items: Plain['items'], change: (region: Region) => Region): Plain['items'] =>
    items.map((item) =>
      item.type === 'node'
        ? item
        : change({ ...item, bodies: item.bodies.map((body) => ({ ...body, items: regions(body.items, change) })) }),
    )
  const nodes = (items: Plain['items'], change: (node: OperatorNode) => OperatorNode): Plain['items'] =>
    items.map((item) =>
      item.type === 'node'
        ? change(item)
        : { ...item, bodies: item.bodies.map((body) => ({ ...body, items: nodes(body.items, change) })) },
    )
  const isBackward = (region: Region) => region.id === 'backward/forward/layers' || region.id === 'backward/layers'
  const broken: [string, number, (items: Plain['items']) => Plain['items']][] = [
    ['no items', 1, () => []],
    [
      'backward with fewer layers',
      1,
      (items) =>
        regions(items, (each) => (isBackward(each) ? { ...each, extent: 1, select: [{ body: 0, count: 1 }] } : each)),
    ],
    [
      'backward in forward order',
      1,
      (items) => regions(items, (each) => (isBackward(each) ? { ...each, order: 'forward' } : each)),
    ],
    [
      'a carry without order',
      1,
      (items) => regions(items, (each) => (isBackward(each) ? { ...each, order: 'parallel' } : each)),
    ],
    [
      'a linear layer called communication',
      2,
      (items) => nodes(items, (each) => (each.id.endsWith('attention/q') ? { ...each, kind: 'communication' } : each)),
    ],
    [
      'more points than there are',
      5,
      (items) => nodes(items, (each) => (each.id.endsWith('attention/q') ? { ...each, density: [5, 1] } : each)),
    ],
    [
      'a decode node in training',
      6,
      (items) =>
        nodes(items, (each) => (each.id === 'forward/layer/attention/q' ? { ...each, segment: 'decode' } : each)),
    ],
  ]
  it.each(broken)('%s breaks rule %i', (_, rule, breakIt) => {
    const { program, operators } = base()
    const reports = verifyProgram({ ...program, items: breakIt(program.items) }, operators)
    expect(reports.filter((report) => report.violations.length > 0).map((report) => report.rule)).toContain(rule)
  })

  it('a cache that nobody wrote breaks rule 7', () => {
    const { program, operators } = planned('tiny', { ...training, phase: 'decode' }, { tp: 2 })
    const inner = 'decode/cache/layer/attention/k'
    const items = nodes(program.items, (each) =>
      each.op === 'cache_read' && each.id.includes('/k') ? { ...each, inputs: [inner] } : each,
    )
    const reports = verifyProgram({ ...program, items }, operators)
    expect(reports.find((report) => report.rule === 7)?.violations).toHaveLength(1)
  })
})
