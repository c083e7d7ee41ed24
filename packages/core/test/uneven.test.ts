import {
  type Axis,
  coordinates,
  corePasses,
  createMesh,
  localSize,
  nodesOf,
  type Program,
  runPasses,
  walk,
} from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import type { BuildOptions, ModelArchitecture } from '@shardloom/models'
import { measure, meterOf } from '@shardloom/simulator'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { draw, operators, wish } from './draw.js'
import { type Planned, type PlannedOptions, planned, ranksOf } from './planned.js'

/** A model that no small degree divides. */
const odd: ModelArchitecture = {
  schema: 'shardloom.model/1',
  name: 'odd',
  family: 'llama',
  hidden: 6,
  vocab: 13,
  tiedEmbeddings: false,
  norm: { kind: 'rms', bias: false },
  layers: {
    layer: {
      attention: { kind: 'grouped', heads: 6, kvHeads: 3, headDim: 2, bias: { qkv: false, out: false }, rotary: true },
      ffn: { kind: 'dense', intermediate: 7, activation: 'swiglu', bias: false },
      residual: 'sequential',
      norms: 'pre',
    },
  },
  order: { runs: [{ layer: 'layer', count: 2 }] },
}

/** The same program on one device: no mesh, no partition. */
function alone(program: Program): Program {
  return { ...program, mesh: createMesh([]) }
}

/** FLOPs of each node over all ranks, against one device's times the ranks that repeat it. */
function expectConserved({ program, operators }: Planned): void {
  const one = meterOf(alone(program), operators)
  const meters = ranksOf(program).map((rank) => meterOf(program, operators, rank))
  let all = 0n
  walk(program.items, (node, place) => {
    if (node.communication) return
    const split = new Set(Object.values(node.partition?.splits ?? {}).flat())
    const repeated = program.mesh.atoms.reduce(
      (product, atom) => (split.has(atom.name) ? product : product * atom.degree),
      1,
    )
    const sum = meters.reduce((total, meter) => total + meter.total(node, place).flops, 0n)
    const { partition: _, ...whole } = node
    expect(sum, node.id).toBe(one.total(whole, place).flops * BigInt(repeated))
    all += sum
  })
  const measured = ranksOf(program).reduce((total, rank) => total + measure(program, operators, { rank }).flops, 0n)
  expect(measured).toBe(all)
}

/** Parameters of each rank, summed: every parameter as often as its placement repeats it. */
function expectAllParameters({ program, operators }: Planned): void {
  const total = ranksOf(program).reduce((sum, rank) => sum + measure(program, operators, { rank }).parameters, 0n)
  const depth = new Map<string, number>()
  walk(program.items, (node, { path }) => {
    for (const id of node.inputs) {
      const iterations = path.reduce((product, { region, body }) => {
        if (!program.tensors.get(id)?.per.includes(region.axis)) return product
        const period = region.select.flatMap((run) => Array.from({ length: run.count }, () => run.body))
        return (
          product *
          Array.from({ length: region.extent }, (_, index) => period[index % period.length]).filter(
            (each) => each === body,
          ).length
        )
      }, 1)
      if (!depth.has(id)) depth.set(id, iterations)
    }
  })
  let expected = 0n
  for (const tensor of program.tensors.values()) {
    const copies = depth.get(tensor.id)
    if (tensor.role !== 'parameter' || tensor.versionOf !== undefined || copies === undefined) continue
    const split = new Set(tensor.placement?.shards.flat())
    const repeated = program.mesh.atoms.reduce(
      (product, atom) => (split.has(atom.name) ? product : product * atom.degree),
      1,
    )
    expected += BigInt(tensor.shape.reduce((product, size) => product * size, 1) * copies * repeated)
  }
  expect(total).toBe(expected)
}

describe('shares', () => {
  it('sum to the size over any nested atoms, and follow the worked example', () => {
    const mesh = createMesh([
      { name: 'a', degree: 2 },
      { name: 'b', degree: 2 },
    ])
    const shares = [0, 1, 2, 3].map((rank) => localSize(5, ['a', 'b'], mesh, coordinates(mesh, rank)))
    // ALGEBRA, section 7: five over 2 × 2, nested.
    expect(shares).toEqual([2, 1, 1, 1])
    const degrees = fc.array(fc.constantFrom(2, 3, 4), { minLength: 1, maxLength: 3 })
    fc.assert(
      fc.property(degrees, fc.integer({ min: 0, max: 200 }), fc.nat(5), (list, size, order) => {
        const axes = list.map((degree, index): Axis => ({ name: `a${index}`, degree }))
        const mesh = createMesh(axes)
        const names = mesh.atoms.map((atom) => atom.name)
        const atoms = order % 2 ? names : [...names].reverse()
        let total = 0
        for (let rank = 0; rank < mesh.world; rank++) total += localSize(size, atoms, mesh, coordinates(mesh, rank))
        expect(total).toBe(size)
      }),
    )
  })
})

const builds: Record<string, BuildOptions> = {
  training: { phase: 'training', batch: 3, seq: 7, microbatches: 2 },
  prefill: { phase: 'prefill', batch: 3, seq: 7 },
  decode: { phase: 'decode', batch: 3, seq: 7, steps: 3 },
}

describe.each(Object.entries(builds))('an odd model, ragged: %s', (_, build) => {
  for (const tp of [2, 3, 4]) {
    for (const dp of [1, 2]) {
      it(`dp ${dp} × tp ${tp}`, () => {
        const plan = planned(odd, build, { dp, tp }, { uneven: 'ragged' })
        for (const report of verifyProgram(plan.program, plan.operators))
          expect(report.violations, report.name).toEqual([])
        expectConserved(plan)
        expectAllParameters(plan)
      })
    }
  }
})

it('half of the pairs of a causal mask are conserved too', () => {
  for (const tp of [2, 3, 4])
    expectConserved(
      planned(odd, { phase: 'training', batch: 3, seq: 7, causal: 'halved' }, { dp: 2, tp }, { uneven: 'ragged' }),
    )
})

describe('the law of conservation', () => {
  const options = fc.record({
    model: fc.constantFrom('tiny', 'tiny-moe'),
    phase: fc.constantFrom('training' as const, 'prefill' as const, 'decode' as const),
    dp: fc.constantFrom(1, 2, 3, 4),
    tp: fc.constantFrom(1, 2, 4),
    uneven: fc.constantFrom<NonNullable<PlannedOptions['uneven']>>('refuse', 'ragged'),
    keyValueGradients: fc.constantFrom('reduce' as const, 'defer' as const, 'gather' as const),
    causal: fc.constantFrom('whole' as const, 'halved' as const),
  })
  it('holds for every node, on random meshes', () => {
    fc.assert(
      fc.property(options, ({ model, phase, dp, tp, uneven, keyValueGradients, causal }) => {
        const plan = planned(
          model,
          { phase, batch: 12, seq: 8, causal, ...(phase === 'decode' && { steps: 2 }) },
          { dp, tp },
          { uneven, tp: { keyValueGradients } },
        )
        expectConserved(plan)
        expectAllParameters(plan)
      }),
      { numRuns: 60 },
    )
  })

  it('is against the graph of one device, node by node', () => {
    const build = { phase: 'training', batch: 4, seq: 8 } as const
    const one = planned('tiny-moe', build, {})
    const many = planned('tiny-moe', build, { dp: 2, tp: 2 })
    const ids = new Map(nodesOf(many.program.items).map((node) => [node.id, node]))
    const meter = meterOf(alone(many.program), many.operators)
    const first = meterOf(one.program, one.operators)
    for (const node of nodesOf(one.program.items)) {
      const same = ids.get(node.id)
      expect(same, node.id).toBeDefined()
      // Sums may be divided by what is partial along which atoms: their additions are the same in all.
      if (!same || many.operators.get(same.op)?.joins) continue
      const { partition: _, ...whole } = same
      expect(meter.node(whole).flops, node.id).toBe(first.node(node).flops)
    }
  })
})

it('a dim smaller than its degree leaves ranks with nothing, and nothing is lost', () => {
  const tiny = draw({ batch: 2, hidden: 4 }, 'y = einsum(x, w): batch hidden, hidden -> batch')
  const program = runPasses(
    { ...tiny, mesh: createMesh([{ name: 'dp', degree: 4 }]), preferences: [wish('dp', 'batch')], uneven: 'ragged' },
    corePasses,
    { operators, warn: () => {} },
  )
  const flops = ranksOf(program).map((rank) => measure(program, operators, { rank }).flops)
  // 2 FLOPs for each of four products per row; two ranks have a row each.
  expect(flops).toEqual([8n, 8n, 0n, 0n])
})

it('two axes split a dim unevenly wherever one axis of their product would', () => {
  const tiny = draw({ batch: 3, hidden: 4 }, 'y = einsum(x, w): batch hidden, hidden -> batch')
  const over = (...axes: readonly Axis[]) => {
    const preferences = axes.map(({ name }) => wish(name, 'batch'))
    const mesh = createMesh(axes)
    const program = runPasses({ ...tiny, mesh, preferences, uneven: 'ragged' }, corePasses, {
      operators,
      warn: () => {},
    })
    return ranksOf(program).map((rank) => measure(program, operators, { rank }).flops)
  }
  // 2 FLOPs for each of four products per row; nested, three rows are 2 and 1, then 1, 1 and 1, 0.
  expect(over({ name: 'dp', degree: 4 })).toEqual([8n, 8n, 8n, 0n])
  expect(over({ name: 'dp', degree: 2 }, { name: 'cp', degree: 2 })).toEqual([8n, 8n, 8n, 0n])
})
