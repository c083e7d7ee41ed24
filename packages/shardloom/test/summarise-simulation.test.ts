import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { nodesOf } from '@shardloom/core'
import { describe, expect, it, test } from 'vitest'
import { loadSpec, type SpecInput, simulateLoaded, summariseSimulation } from '../src/index.js'

const simulated = async (spec: SpecInput) => simulateLoaded(await loadSpec(spec))
const stages: SpecInput = { model: 'gpt2', cluster: 'dgx-a100', batch: 16, seq: 256, parallel: { pp: 4 } }

describe('a summary', () => {
  it('has a critical path whose kinds of work add up to the step, and words for the largest', async () => {
    const { criticalKinds, stepSeconds, bottleneck, bubble } = summariseSimulation(await simulated(stages))
    expect(criticalKinds.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 9)
    expect(criticalKinds.reduce((sum, { seconds }) => sum + seconds, 0)).toBeCloseTo(stepSeconds, 9)
    expect(bottleneck[0]).toContain(criticalKinds[0]?.kind)
    expect(bottleneck.join(' ')).toContain(`${(100 * bubble.global).toFixed(1)}\u00a0%`)
  })

  it('counts what both directions of DualPipe do under one name each, communication as that', async () => {
    const spec = {
      model: 'mixtral-8x7b',
      cluster: 'dgx-h100',
      batch: 64,
      seq: 1024,
      parallel: { pp: 4, dp: 2, ep: 2 },
      options: { schedule: 'dualpipe' },
    } as const
    const simulation = await simulated(spec)
    const { criticalPath, criticalKinds, whatIf, memory } = summariseSimulation(simulation, { whatIf: true })
    const program = simulation.timed.program
    const ids = new Set(nodesOf(program.items).map(({ id }) => id))
    expect(criticalPath.filter(({ node }) => !ids.has(node))).toEqual([])
    const alive = memory.perStage.flatMap((stage) => stage.alive.map(({ tensor }) => tensor))
    expect(alive.filter((tensor) => !program.tensors.has(tensor))).toEqual([])
    // Amdahl: no change saves more than what it removes takes of the critical path, and this one removes all of it.
    const shareOf = (kind: RegExp) => criticalKinds.find((each) => kind.test(each.kind))?.share ?? 0
    const saved = whatIf.find(({ change }) => change === 'without communication over ep')?.difference ?? 0
    expect(-saved).toBeLessThanOrEqual(shareOf(/^all-to-all over ep$/) + 1e-9)
    expect(-saved).toBeGreaterThan(0.01)
  })

  it('says what is kept free, whence, and what does not fit', async () => {
    const usual = summariseSimulation(await simulated(stages))
    // aiconfigurator, systems/*.yaml: 3.5 GiB, and 392 MiB for NCCL among four ranks.
    expect(usual.memory.reserveBytes).toBe(3.5 * 2 ** 30 + 392 * 2 ** 20)
    const room = usual.memory.capacityBytes - usual.memory.peakBytes
    for (const [reserveBytes, fits] of [
      [room, true],
      [room + 1, false],
    ] as const) {
      const { memory, conventions, bottleneck } = summariseSimulation(await simulated({ ...stages, reserveBytes }))
      expect([memory.fits, conventions.reserve]).toEqual([fits, 'the spec'])
      expect(bottleneck.some((sentence) => sentence.startsWith('It does not fit'))).toBe(!fits)
    }
  })

  it('says that ranks wait for the host where all have as much to do, and none for another', async () => {
    const spec = { model: 'llama-3.1-8b', cluster: 'dgx-h100', batch: 8, seq: 2048, parallel: { dp: 4 } }
    const offloaded = await simulated({ ...spec, options: { zero: 3, offload: 'activations' } })
    const { bottleneck, bubble, stages: ranks } = summariseSimulation(offloaded)
    expect([new Set(ranks.map(({ finish }) => finish)).size, bubble.global > 0.1]).toEqual([1, true])
    expect(bottleneck.join(' ')).toMatch(/wait for .*copies to and from the host/)
    const kept = await simulated({ ...stages, parallel: { pp: 4 } })
    expect(summariseSimulation(kept).bottleneck.join(' ')).not.toContain('host')
  })

  it('counts energy at rated power while ranks are busy (NVIDIA 2020, A100 datasheet: 400 W)', async () => {
    const { stages: ranks, energyJoules } = summariseSimulation(await simulated(stages))
    const busy = ranks.reduce(
      (sum, { computing, exposed }) => sum + computing + Object.values(exposed).reduce((all, each) => all + each, 0),
      0,
    )
    expect(energyJoules).toBeCloseTo(400 * busy, 6)
  })
})

describe('what if', () => {
  it('matrix units twice as fast save at most half of what their kinds of work take', async () => {
    const spec = { model: 'llama-3.1-8b', cluster: 'dgx-h100', batch: 16, seq: 8192, parallel: { tp: 4, dp: 2 } }
    const { criticalKinds, whatIf, bottleneck } = summariseSimulation(await simulated(spec), { whatIf: true })
    const onUnits = criticalKinds.filter(({ kind }) => /matrix products|attention|head|again/.test(kind))
    const saved = -(whatIf.find(({ change }) => change.startsWith('matrix units'))?.difference ?? 0)
    expect(saved).toBeGreaterThan(0.2)
    expect(saved).toBeLessThanOrEqual(onUnits.reduce((sum, { share }) => sum + share, 0) / 2)
    expect(bottleneck[0]).toContain('matrix products')
  })

  it.each(['mi300x-node', 'atlas-900-a2'])(
    'links twice as fast save at most half of the communication over them, and much of it where messages are large: %s, a full mesh',
    async (cluster) => {
      const spec = { model: 'llama-3.1-8b', cluster, batch: 8, seq: 8192, parallel: { tp: 8 } }
      const { criticalKinds, whatIf } = summariseSimulation(await simulated(spec), { whatIf: true })
      const communication = criticalKinds.reduce(
        (sum, { kind, share }) => sum + (/ over tp$/.test(kind) ? share : 0),
        0,
      )
      const saved = -(whatIf.find(({ change }) => change === 'links of level `node` twice as fast')?.difference ?? 0)
      expect(saved).toBeGreaterThan(communication / 4)
      expect(saved).toBeLessThanOrEqual(communication / 2 + 1e-3)
    },
  )

  it('both kinds of links twice as fast halve a collective over both at most, of which each alone saves less', async () => {
    const spec = { model: 'llama-3.1-8b', cluster: 'l40s-pcie', batch: 16, seq: 4096, parallel: { tp: 16 } }
    const { criticalKinds, whatIf } = summariseSimulation(await simulated(spec), { whatIf: true })
    const communication = criticalKinds.reduce((sum, { kind, share }) => sum + (/ over tp/.test(kind) ? share : 0), 0)
    const savedBy = (links: string) =>
      -(whatIf.find(({ change }) => change === `links of ${links} twice as fast`)?.difference ?? 0)
    const all = savedBy('all levels')
    for (const level of ['switch', 'node', 'network']) expect(savedBy(`level \`${level}\``)).toBeLessThanOrEqual(all)
    expect(all).toBeGreaterThan(communication / 4)
    expect(all).toBeLessThanOrEqual(communication / 2 + 1e-3)
  })

  it('without communication over ranks of dp and cp together is without that, and over cp alone with it', async () => {
    const spec = { model: 'llama-3.1-8b', cluster: 'dgx-h100', batch: 64, seq: 8192, parallel: { dp: 2, cp: 4 } }
    const shared = { ...spec, options: { zero: 3 } } as const
    const {
      exposedCommunicationSeconds: exposed,
      stepSeconds,
      whatIf,
    } = summariseSimulation(await simulated(shared), { whatIf: true })
    const without = (axis: string) =>
      -(whatIf.find(({ change }) => change === `without communication over ${axis}`)?.difference ?? 0)
    // What runs beside it, and so slows it, is faster without it too.
    for (const [axis, seconds] of Object.entries(exposed))
      expect(without(axis), axis).toBeGreaterThan((0.9 * seconds) / stepSeconds)
    expect(without('cp')).toBeLessThan((exposed['cp'] ?? 0) / stepSeconds + 0.03)
    expect(without('dp·cp')).toBeGreaterThan(0)
  })

  it('refuses what no kernel takes, whatever constant is absurd', async () => {
    const slow = { accelerator: { accelerator: 'h100-sxm', peak: { bf16: 1e-300 } } }
    await expect(simulated({ model: 'llama-3.1-8b', cluster: slow, batch: 8, seq: 64 })).rejects.toMatchObject({
      code: 'NODE_TIME',
      message: expect.not.stringContaining('Infinity'),
    })
    const levels = [
      { name: 'node', fanOut: 8, bandwidth: 1e-300, latency: 1e-6 },
      { name: 'network', bandwidth: 5e10, latency: 5e-6 },
    ]
    const cluster = { accelerator: 'h100-sxm', nodes: 2, perNode: 8, levels }
    await expect(
      simulated({ model: 'llama-3.1-8b', cluster, batch: 8, seq: 64, parallel: { tp: 4 } } as SpecInput), // levels of one's own
    ).rejects.toMatchObject({ code: 'NODE_TIME', message: expect.stringContaining('all-reduce') })
  })

  const large: SpecInput = {
    model: 'llama-3.1-70b',
    cluster: 'dgx-h100',
    batch: 64,
    seq: 8192,
    parallel: { dp: 64 },
    options: { zero: 3 },
  }

  it('first tries the plans that could make a step fit, and says which do, as simulating them by themselves does', async () => {
    const { memory, whatIf, bottleneck } = summariseSimulation(await simulated(large), { whatIf: true })
    expect(memory.fits).toBe(false)
    const full = summariseSimulation(await simulated({ ...large, options: { zero: 3, recompute: 'full' } }))
    const away = summariseSimulation(await simulated({ ...large, options: { zero: 3, offload: 'activations' } }))
    // With flash attention there are no scores to compute again: refused, so left out. It has ZeRO 3 already, and no tp.
    const plans = whatIf.filter(({ of }) => of === 'plan')
    expect(new Set(plans.map(({ change }) => change))).toEqual(
      new Set(['with `recompute: full`', 'with `offload: activations`']),
    )
    for (const [change, alone] of [
      ['with `recompute: full`', full],
      ['with `offload: activations`', away],
    ] as const)
      expect(plans.find((each) => each.change === change)).toMatchObject({
        stepSeconds: alone.stepSeconds,
        peakBytes: alone.memory.peakBytes,
        fits: true,
      })
    // Of those that fit the fastest is named: copies to the host run beside what computing again would add to.
    expect(away.stepSeconds).toBeLessThan(full.stepSeconds)
    expect(bottleneck.at(-1)).toMatch(/^It fits with `offload: activations`/)
    expect(bottleneck.join(' ')).not.toContain('matrix units')
  })

  it('of a step that fits gives memory back for time, and names a plan before a machine that is not there', async () => {
    const roomy = { ...large, options: { zero: 3, recompute: 'full' } } as const
    const { whatIf, memory, bottleneck } = summariseSimulation(await simulated({ ...roomy, model: 'llama-3.1-8b' }), {
      whatIf: true,
    })
    expect(memory.fits).toBe(true)
    const plans = new Map(whatIf.filter(({ of }) => of === 'plan').map((each) => [each.change, each]))
    expect([...plans.keys()]).toEqual(['with `recompute: none`', 'with `zero: 1`'])
    // Korthikanti et al. 2022, section 5: full recomputation adds 30 to 40 % to the time of a step.
    expect(plans.get('with `recompute: none`')?.difference).toBeLessThan(-0.1)
    expect(bottleneck.at(-1)).toMatch(/^Of the changes of the plan tried, this helps most: with `recompute: none`/)
  })

  it('is what simulating the change by itself says', async () => {
    const { whatIf, stepSeconds } = summariseSimulation(await simulated(stages), { whatIf: true })
    const found = new Map(whatIf.map((each) => [each.change, each]))
    const options = { schedule: 'zbh1' } as const
    const zeroBubble = summariseSimulation(await simulated({ ...stages, options }))
    expect(found.get('with ZB-H1')).toMatchObject({
      stepSeconds: zeroBubble.stepSeconds,
      peakBytes: zeroBubble.memory.peakBytes,
    })
    for (const { difference, stepSeconds: other } of whatIf) expect(difference).toBeCloseTo(other / stepSeconds - 1, 12)
    for (const [change, { difference }] of found) if (!change.startsWith('with ')) expect(difference).toBeLessThan(1e-9)
    expect([...found.keys()]).toContain('without communication over pp')
    // What it has already is no change.
    expect(found.has('with 1F1B')).toBe(false)
  })
})

describe('what if two at once', () => {
  const schedules: Readonly<Record<string, SpecInput['options']>> = {
    'with interleaved 1F1B, 2 chunks': { schedule: 'interleaved1f1b', virtual: 2 },
    'with ZB-H1': { schedule: 'zbh1' },
    'with ZB-V': { schedule: 'zbv' },
    'with DualPipe-V': { schedule: 'dualpipev' },
  }
  const pairOf = async (spec: SpecInput) => {
    const { whatIf, whatIfPair, bottleneck, stepSeconds } = summariseSimulation(await simulated(spec), { whatIf: true })
    const singles = whatIf.filter(({ change }) => whatIfPair?.changes.includes(change))
    return { whatIf, pair: whatIfPair, bottleneck, stepSeconds, singles }
  }
  const piped: SpecInput = {
    model: 'llama-3.1-8b',
    cluster: 'dgx-h100',
    batch: 64,
    seq: 4096,
    parallel: { tp: 2, pp: 4 },
  }

  it('are those that fit and help most, as simulating them by themselves does', async () => {
    const { pair, bottleneck, singles, stepSeconds } = await pairOf({ ...piped, options: { recompute: 'full' } })
    const [first, second = ''] = pair?.changes ?? []
    expect(first).toBe('with `recompute: none`')
    const { step } = await simulated({ ...piped, options: schedules[second] ?? {} })
    expect(pair?.stepSeconds).toBe(step.seconds)
    expect(pair?.difference).toBeCloseTo(step.seconds / stepSeconds - 1, 12)
    expect(singles).toHaveLength(2)
    for (const { difference } of singles) expect(pair?.difference).toBeLessThan(difference)
    expect(pair?.sum).toBeCloseTo(
      singles.reduce((sum, { difference }) => sum + difference, 0),
      12,
    )
    expect(bottleneck.at(-1)).toContain(`Both at once, ${first} and ${second}: −`)
  })

  it('make a step fit that one of them makes fit, and the other fast', async () => {
    const spec: SpecInput = { ...piped, model: 'llama-3.1-70b', seq: 8192, parallel: { tp: 8, pp: 4, dp: 2 } }
    const { pair, bottleneck, singles } = await pairOf(spec)
    expect(singles.map(({ fits }) => fits).sort()).toEqual([false, true])
    expect(pair?.fits).toBe(true)
    for (const { difference, fits } of singles) if (fits) expect(pair?.difference).toBeLessThan(difference)
    expect(bottleneck.at(-1)).toMatch(/^It fits with .* and with .* at once, in /)
  })

  // Less to wait for is no more to wait for: hardware has no order of its own to upset.
  it.each([
    ['tp 8', { tp: 8 }],
    ['tp 2', { tp: 2 }],
  ] as const)('of faster hardware are no slower than the better of them, on %s', async (_, parallel) => {
    const { pair, singles } = await pairOf({ ...piped, phase: 'decode', batch: 32, parallel })
    expect(pair?.of).toBe('machine')
    for (const { difference } of singles) expect(pair?.difference).toBeLessThanOrEqual(difference)
    // Nothing is more than twice as fast.
    expect(pair?.difference).toBeGreaterThanOrEqual(-0.5)
  })

  it('are none where there is one change alone, or where one undoes the other', async () => {
    const dp = { tp: 4, dp: 2 }
    const one = await pairOf({ model: 'llama-3.1-8b', cluster: 'dgx-h100', batch: 16, seq: 8192, parallel: dp })
    expect(one.whatIf.filter(({ of, difference }) => of === 'plan' && difference <= -0.01)).toHaveLength(1)
    expect(one.pair).toBeUndefined()
    const { pair, whatIf } = await pairOf({ ...piped, parallel: { pp: 4 } })
    const helpful = whatIf.filter(({ of, difference }) => of === 'plan' && difference <= -0.01)
    expect(helpful.length).toBeGreaterThan(1)
    expect(pair).toBeUndefined()
  })
})

const folder = process.env['SHARDLOOM_REFERENCE']

test.skipIf(!folder)('MFU counts the model FLOPs of the paper that it names', async () => {
  const text = readFileSync(join(folder ?? '', 'reference', 'memory-formulas.json'), 'utf8')
  const reference = JSON.parse(text).models['megatron-22B']
  const { L, h, a, s, V } = reference.inputs
  const spec: SpecInput = {
    model: { model_type: 'gpt2', n_embd: h, n_head: a, n_layer: L, n_positions: s, vocab_size: V },
    cluster: 'dgx-a100',
    batch: 4,
    microbatch: 4,
    seq: s,
    parallel: { tp: 8 },
  }
  for (const [causal, flops] of [
    ['whole', reference.korthikanti_model_flops],
    ['halved', reference.megatron_num_floating_point_operations],
  ] as const) {
    const { mfu, stepSeconds, conventions } = summariseSimulation(await simulated({ ...spec, options: { causal } }))
    const counted = (mfu * stepSeconds * 8 * conventions.peak) / flops
    // Norms and element-wise operators the papers leave out.
    expect(counted).toBeCloseTo(1, 9)
  }
})

describe('figures of a step with a slow rank', () => {
  const spec: SpecInput = { model: 'tiny', cluster: 'dgx-h100', batch: 16, seq: 64, parallel: { tp: 2, dp: 4, pp: 2 } }
  const figuresWith = async (slowdown: Readonly<Record<number, number>>) => {
    const simulation = simulateLoaded(await loadSpec(spec), { engine: { slowdown } })
    const { bubble, exposedCommunicationSeconds, energyJoules = 0, stages } = summariseSimulation(simulation)
    return { values: [...Object.values(bubble), ...Object.values(exposedCommunicationSeconds), energyJoules], stages }
  }
  const expectLike = (one: readonly number[], other: readonly number[], error: number) => {
    expect(one.length).toBe(other.length)
    one.forEach((each, index) => {
      expect(Math.abs(each - (other[index] ?? 0))).toBeLessThan(error * Math.max(each, 1e-9))
    })
  }

  it.each([0, 3, 13])('are those of all ranks, run one by one, where rank %i is slow', async (rank) => {
    const few = await figuresWith({ [rank]: 1.5 })
    const each = Object.fromEntries(Array.from({ length: 16 }, (_, index) => [index, index === rank ? 1.5 : 1 + 1e-9]))
    const whole = await figuresWith(each)
    expect(whole.stages.length).toBe(16)
    expect(few.stages.length).toBeLessThan(16)
    expectLike(few.values, whole.values, 1e-6)
  })

  it('tend to those without one as it gets as fast as the others', async () => {
    expectLike((await figuresWith({ 3: 1.000001 })).values, (await figuresWith({})).values, 1e-4)
  })
})
