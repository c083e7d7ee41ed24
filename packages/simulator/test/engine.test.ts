import { resolveAccelerator, resolveCluster } from '@shardloom/cluster'
import { nodesOf } from '@shardloom/core'
import { findPreset, type ModelArchitecture } from '@shardloom/models'
import { describe, expect, it } from 'vitest'
import { planned } from '../../core/test/planned.js'
import {
  type Engine,
  efficiencyOf,
  engineFrom,
  engines,
  findEngine,
  kernelNames,
  machineOf,
  nodeTimes,
  simulate,
} from '../src/index.js'
import { unitsReached } from '../src/routing.js'

const cluster = resolveCluster('dgx-h100')
const cases = [
  ['gpt-22b', { tp: 4, dp: 2 }],
  ['llama-3.1-8b', { tp: 2 }],
  ['mixtral-8x7b', { dp: 8, ep: 8 }],
] as const
const named = Object.entries<Engine>(engines)

const secondsOf = (model: string, batch: number, degrees: Record<string, number>, engine: Engine, eight: boolean) => {
  const { program, operators } = planned(model, { phase: 'training', batch, seq: 1024 }, degrees, {})
  const machine = machineOf(cluster, program.mesh, engine, eight ? 'fp8' : undefined)
  const { times } = nodeTimes(program, operators, machine, 0)
  return { times, program, step: () => simulate(program, operators, machine).seconds }
}

describe.each(cases)('the kernels of %s', (model, degrees) => {
  it.each(named)('under %s never take less for twice the batch, in 16 bits and in 8', (_, engine) => {
    for (const eight of [false, true]) {
      const small = secondsOf(model, 8, degrees, engine, eight).times
      const large = secondsOf(model, 16, degrees, engine, eight).times
      expect([...large.keys()]).toEqual([...small.keys()])
      for (const [id, { seconds }] of small) expect(large.get(id)?.seconds(0), id).toBeGreaterThanOrEqual(seconds(0))
    }
  })

  it('make a longer step where communication blocks, a shorter one where matmuls hide it', () => {
    const step = (changes: Partial<Engine>) => secondsOf(model, 8, degrees, engineFrom(changes), false).step()
    const axes = Object.keys(degrees)
    expect(step({ blocking: axes })).toBeGreaterThanOrEqual(step({}))
    expect(step({ blocking: axes, fused: Object.fromEntries(axes.map((axis) => [axis, 0.5])) })).toBeLessThan(
      step({ blocking: axes }),
    )
  })
})

it('all-to-alls beside another microbatch take nothing from products, and hide behind no more of them than there are', () => {
  const timesOf = (changes: Partial<Engine>) => {
    const { program, operators } = planned(
      'mixtral-8x7b',
      { phase: 'training', batch: 8, seq: 1024 },
      { dp: 8, ep: 8 },
      {},
    )
    const machine = machineOf(cluster, program.mesh, engineFrom(changes))
    const times = [...nodeTimes(program, operators, machine, 0).times]
    const sum = (op: RegExp) => times.reduce((total, [id, { seconds }]) => total + (op.test(id) ? seconds(0) : 0), 0)
    return { exchanges: sum(/all-to-all/), all: times.reduce((total, [, { seconds }]) => total + seconds(0), 0) }
  }
  const [alone, beside] = [timesOf({}), timesOf({ fused: { ep: 0.9 } })]
  expect(beside.exchanges).toBeGreaterThanOrEqual(0.1 * alone.exchanges * (1 - 1e-9))
  expect(beside.exchanges).toBeLessThan(alone.exchanges)
  expect(alone.all - beside.all).toBeCloseTo(alone.exchanges - beside.exchanges, 9)
})

it.each(cases.slice(0, 2))(
  'the kernels of %s take less compiled than fused, and fused than one by one',
  (model, degrees) => {
    const computing = (kernels: Engine['kernels']) =>
      [...secondsOf(model, 8, degrees, engineFrom({ kernels }), false).times.values()]
        .filter(({ stream }) => stream === 'compute')
        .reduce((sum, { seconds }) => sum + seconds(0), 0)
    expect(computing('compiled')).toBeLessThanOrEqual(computing('fused'))
    expect(computing('fused')).toBeLessThan(computing('eager'))
  },
)

describe('constants of an accelerator that was made from another', () => {
  const constantsOf = (changes: object) =>
    efficiencyOf(resolveAccelerator({ accelerator: 'h100-sxm', name: 'mine', ...changes }))
  const { values } = efficiencyOf(resolveAccelerator('h100-sxm'))

  it('are those of that one, whatever it is called', () => {
    expect(constantsOf({})).toMatchObject({ values, fitted: true })
    expect(constantsOf({ powerWatts: 500 })).toMatchObject({ values, fitted: true })
    expect(constantsOf({ powerWatts: 500, memoryBytes: 96e9 }).source).toMatch(
      /h100-sxm, from which this one differs in `memoryBytes`, `powerWatts`$/,
    )
  })

  it('carry over, unmeasured, where what they are shares of differs', () => {
    const changed = constantsOf({ memoryBandwidth: 2.4e12, powerWatts: 500 })
    expect(changed).toMatchObject({ values, fitted: false })
    expect(changed.source).toContain('differs in `memoryBandwidth`:')
  })
})

it.each([1, 2, 8, 64])(
  'experts of %i decoded sequences take no less than what they read over the bandwidth of the device',
  (batch) => {
    const { program, operators } = planned('mixtral-8x7b', { phase: 'decode', batch, seq: 1024 }, { tp: 2 }, {})
    const machine = machineOf(cluster, program.mesh, engineFrom({}))
    const { times } = nodeTimes(program, operators, machine, 0)
    // Of 8 experts 8 (1 − (1 − 2/8)^T) are reached by T tokens (Feller 1968, section IV.2), of which a rank has half of each matrix.
    const read = 8 * (1 - 0.75 ** batch) * ((4096 * 14336) / 2) * 2
    const of = (name: string) => times.get(`decode/layer/moe/experts/${name}`)?.seconds(0) ?? 0
    for (const seconds of [of('gate') + of('up'), of('down')].map((each, at) => each / (at === 0 ? 2 : 1)))
      expect(seconds).toBeGreaterThanOrEqual(read / cluster.accelerator.memoryBandwidth)
  },
)

it('a node that traffic names moves so many times its bytes, other kernels what they did', () => {
  const timesOf = (traffic: Record<string, number>) =>
    secondsOf('gpt-oss-120b', 8, { dp: 8, ep: 8 }, engineFrom({ traffic }), false)
  const [once, often] = [timesOf({}), timesOf({ 'experts/down_bias': 7 })]
  const added = new Map(
    [...often.times].map(([id, { seconds }]) => [id, seconds(0) - (once.times.get(id)?.seconds(0) ?? 0)]),
  )
  const { memory } = machineOf(cluster, once.program.mesh, engineFrom({})).rates('bf16')
  // On each of eight ranks as many tokens as it has, to four experts: 8 · 1024 · 4 / 8 rows of 2,880 of two bytes, read and written; and its 16 biases.
  const more = (6 * 2 * (2 * 4096 * 2880 + 16 * 2880)) / memory
  for (const [id, seconds] of added)
    expect(seconds, id).toBeCloseTo(/^forward.*experts\/down_bias$/.test(id) ? more : 0, 9)
  expect([...added.keys()].filter((id) => /^forward.*experts\/down_bias$/.test(id))).toHaveLength(2)
})

it('a node that traffic names is in no kernel of others', () => {
  const { program, operators } = planned('gpt-22b', { phase: 'training', batch: 8, seq: 512 }, { tp: 2 }, {})
  const names = (apart: readonly string[]) => [...kernelNames(program, operators, { style: 'fused', apart }).values()]
  const joined = names([]).filter((name) => name.includes('up_bias'))
  expect(joined.length).toBeGreaterThan(0)
  expect(names(['ffn/up_bias']).filter((name) => name.startsWith('forward') && name.includes('up_bias'))).toEqual([])
})

it('kernels of several nodes are called after all of them', () => {
  const { program, operators } = planned('llama-3.1-8b', { phase: 'training', batch: 8, seq: 512 }, { tp: 2 }, {})
  const names = [...kernelNames(program, operators, { style: 'fused' }).values()]
  expect(names).toContain('forward/layer/ffn/gate+up')
  expect(names).toContain('forward/layer/attention/q+k+v')
  expect([...kernelNames(program, operators, { style: 'eager' }).values()]).not.toContain('forward/layer/ffn/gate+up')
})

describe('fused kernels', () => {
  const engine = engineFrom({ efficiency: { kernelSeconds: 1e-12 } })
  const { program, times } = secondsOf('gpt-22b', 8, { tp: 1 }, engine, false)
  const bandwidth = machineOf(cluster, program.mesh, engine).rates('bf16').memory
  const elements = 8 * 1024 * 6144
  const bytesOf = (id: string) => {
    expect(nodesOf(program.items).map((node) => node.id)).toContain(id)
    return ((times.get(id)?.seconds(0) ?? 0) * bandwidth) / elements
  }

  it('of dropout and residual read two tensors and write one of two bytes, and a mask of one (Korthikanti et al. 2022, section 4.1)', () => {
    expect(bytesOf('forward/layer/ffn/residual')).toBeCloseTo(7, 2)
  })

  it('of dropout backward read and write two bytes, and read the mask', () => {
    expect(bytesOf('backward/layer/ffn/down_bias.bias')).toBeCloseTo(5, 2)
  })

  it('of a norm backward read its input, its gradient and that of the residual, and write one', () => {
    expect(bytesOf('backward/layer/x.sum')).toBeCloseTo(8, 2)
  })
})

describe('a host that is not ahead', () => {
  const host = { operator: 1e-3, product: 2e-3 }
  const times = (changes: Partial<Engine>) =>
    secondsOf('mixtral-8x7b', 8, { dp: 2, ep: 2 }, engineFrom(changes), false).times
  const of = (id: string, changes: Partial<Engine>) => times(changes).get(id)?.seconds(0) ?? 0

  it('issues one kernel at a time, products of experts one by one', () => {
    // Four of the eight experts are on a rank; gate and up are one product.
    expect(of('forward/layer/moe/experts/up', { host })).toBeGreaterThanOrEqual(4 * host.product)
    expect(of('forward/layer/moe/norm', { host })).toBe(host.operator)
    for (const [id, { stream, seconds }] of times({ host }))
      if (stream === 'compute') expect(seconds(0), id).toBeGreaterThanOrEqual(of(id, {}))
  })
})

describe('a dispatcher that sends a token once to each node', () => {
  const secondsTo = (model: string | ModelArchitecture, dispatch: Engine['dispatch'], ep = 16) => {
    const build = { phase: 'training', batch: 2 * ep, seq: 4096 } as const
    const { program, operators } = planned(model, build, { dp: ep, ep }, {})
    const machine = machineOf(cluster, program.mesh, engineFrom({ dispatch }))
    const { times } = nodeTimes(program, operators, machine, 0)
    const [id = ''] = [...times.keys()].filter((each) => /moe\/dispatch\/all-to-all/.test(each))
    return times.get(id)?.seconds(0) ?? 0
  }
  it('sends 2 (1 − 2⁻⁸) copies to two nodes in the place of eight', () => {
    const ratio = secondsTo('qwen3-235b-a22b', 'per-node') / secondsTo('qwen3-235b-a22b', 'per-expert')
    // Bytes over the network decide; launch, filling and the links inside of a node are there too.
    expect(ratio).toBeGreaterThan((2 * (1 - 0.5 ** 8)) / 8)
    expect(ratio).toBeLessThan(0.5)
  })

  it('sends no token of DeepSeek-V3 to more than 4 of 8 nodes, since its router chooses in 4 of 8 groups (section 2.1.2)', () => {
    const model = findPreset('deepseek-v3')
    const layers = Object.entries(model.layers).map(([name, layer]) => {
      if (layer.ffn.kind !== 'moe') return [name, layer] as const
      expect(layer.ffn.groups).toEqual({ count: 8, topK: 4 })
      const { groups: _, ...ffn } = layer.ffn
      return [name, { ...layer, ffn }] as const
    })
    const unlimited = { ...model, layers: Object.fromEntries(layers) }
    const [own, other] = [model, unlimited].map((each) => secondsTo(each, 'per-node', 64)) as [number, number]
    // On the network 8 experts go to 8 (1 − C(224, 8) / C(256, 8)) = 5.3 nodes in the mean, and from 4 groups to 3.6.
    expect(own / other).toBeGreaterThan(3.6 / 5.4)
    expect(own / other).toBeLessThan(0.75)
    expect(secondsTo(model, 'per-expert', 64)).toBe(secondsTo(unlimited, 'per-expert', 64))
  })

  it('reaches as many units as there are in the mean over all choices', () => {
    const subsets = (of: readonly number[], size: number): number[][] => {
      const [first, ...rest] = of
      if (size === 0) return [[]]
      if (first === undefined) return []
      return [...subsets(rest, size - 1).map((set) => [first, ...set]), ...subsets(rest, size)]
    }
    const upTo = (count: number) => Array.from({ length: count }, (_, index) => index)
    for (const [experts, groups, chosen, copies] of [
      [12, 4, 2, 3],
      [8, 4, 2, 4],
      [16, 8, 3, 2],
      [8, 1, 1, 3],
    ] as const) {
      const choices = subsets(upTo(groups), chosen).flatMap((some) =>
        subsets(
          upTo(experts).filter((expert) => some.includes(Math.floor((expert * groups) / experts))),
          copies,
        ),
      )
      for (const units of [1, 2, 4, ...(experts % 8 === 0 ? [8] : [12])]) {
        const reached = choices.map((set) => new Set(set.map((expert) => Math.floor((expert * units) / experts))).size)
        const mean = reached.reduce((sum, each) => sum + each, 0) / reached.length
        expect(unitsReached({ copies, experts, groups, chosen }, units)).toBeCloseTo(mean, 12)
      }
    }
  })
})

describe('an engine', () => {
  it('is found by its name, says where it is from, and is refused when nobody knows it', () => {
    for (const [name, engine] of named) {
      expect(findEngine(name).name).toBe(name)
      expect(engine.source.length).toBeGreaterThan(20)
    }
    expect(() => findEngine('megatron-2O24')).toThrowError(
      expect.objectContaining({ code: 'UNKNOWN_ENGINE', help: 'Did you mean `megatron-2024`?' }),
    )
  })
})

describe('an accelerator with a peak in one type', () => {
  const chip = (peak: Record<string, number>) =>
    resolveCluster({
      accelerator: {
        name: 'own',
        peak,
        memoryBytes: 80e9,
        memoryBandwidth: 2e12,
        scaleUp: { bandwidth: 200e9, latency: 2e-6 },
      },
    })
  const run = (peak: Record<string, number>) => {
    const { program, operators } = planned('llama-3.1-8b', { phase: 'training', batch: 8, seq: 1024 }, {})
    return simulate(program, operators, machineOf(chip(peak), program.mesh, engines.usual)).seconds
  }

  it('runs kernels that only move bytes in any type, and names the product that needs another', () => {
    // Gradients, optimizer and loss are in fp32, and multiply no matrices.
    expect(run({ bf16: 400e12 })).toBe(run({ bf16: 400e12, fp32: 1 }))
    expect(() => run({ fp8: 400e12 })).toThrow(/in bf16 is known of `own`, and `\S+` multiplies in it/)
  })
})

describe('products in eight bits', () => {
  const timesOf = (changes: Partial<Engine>, eight = true) =>
    secondsOf('mixtral-8x7b', 8, { dp: 8, ep: 8 }, engineFrom(changes), eight).times
  const ending = (times: ReturnType<typeof timesOf>, end: string) =>
    [...times].filter(([id]) => id.startsWith('forward/') && id.endsWith(end)).map(([, { seconds }]) => seconds(0))

  it('cast the tokens of experts once for both weights of their first layer, as one grouped product does', () => {
    const [without, twice] = [timesOf({ castBytes: 0 }), timesOf({ castBytes: 8 })]
    const first = (times: ReturnType<typeof timesOf>) =>
      (['experts/gate', 'experts/up'] as const).map((end) => ending(times, end)[0] ?? 0)
    const [gate = 0, up = 0] = first(twice).map((seconds, index) => seconds - (first(without)[index] ?? 0))
    expect(gate).toBeGreaterThan(0)
    expect(up).toBe(0)
  })

  it('with scales of blocks take as much longer as their rate is lower, others do not', () => {
    const block = 6.812 / 7.161 // Transformer Engine, GEMM profiling: a layer's products on a B300 with one scale per tensor and in MXFP8
    const [tensor, blocks] = [timesOf({ castBytes: 0 }), timesOf({ castBytes: 0, castRate: block })]
    const ratios = ending(blocks, 'experts/gate').map(
      (seconds, at) => seconds / (ending(tensor, 'experts/gate')[at] ?? 1),
    )
    for (const ratio of ratios) {
      expect(ratio).toBeGreaterThan(1)
      expect(ratio).toBeLessThanOrEqual(1 / block + 1e-9)
    }
    const plain = timesOf({}, false)
    for (const [id, { seconds }] of timesOf({ castRate: block }, false))
      expect(seconds(0)).toBe(plain.get(id)?.seconds(0))
  })
})

describe("the name of an engine of one's own", () => {
  it('says what was changed of which, and nothing of what stayed', () => {
    const { dispatch } = findEngine('torchtitan')
    expect(engineFrom({}).name).toBe('usual')
    expect(engineFrom({ preset: 'torchtitan', dispatch }).name).toBe('torchtitan')
    expect(engineFrom({ dispatch: 'per-node' }).name).toBe('usual with dispatch per-node')
    expect(engineFrom({ preset: 'torchtitan', blocking: [], dispatch: 'per-node' }).name).toBe(
      'torchtitan with no blocking, dispatch per-node',
    )
    expect(engineFrom({ blocking: ['tp', 'dp'], fused: { ep: 0.5 } }).name).toBe('usual with blocking tp·dp, fused ep')
  })
})
