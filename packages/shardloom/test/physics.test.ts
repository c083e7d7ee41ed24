import { loadSpec, type SpecInput, simulateLoaded, summariseSimulation } from 'shardloom'
import { describe, expect, test } from 'vitest'

const run = async (spec: SpecInput) => {
  const simulation = simulateLoaded(await loadSpec(spec))
  return { step: simulation.step, summary: summariseSimulation(simulation, { whatIf: false }) }
}
const llama = { model: 'llama-3.1-8b', batch: 2, seq: 8192 } as const

describe('bounds that no software beats', () => {
  test('communication inside of matmuls still goes over its links', async () => {
    const cluster = {
      accelerator: 'h100-sxm',
      levels: [{ name: 'node', fanOut: 8, bandwidth: 5e9, latency: 0 }],
    }
    const parallel = { tp: 8 }
    const options = { sequenceParallel: true, engine: 'megatron-2024' }
    const { step, summary } = await run({ ...llama, cluster, parallel, options })
    // Forward and backward gather and scatter 8,192 tokens of 4,096 in two bytes four times a layer, of which a rank sends 7/8: no
    // more runs beside them than the matmuls take.
    const sent = 32 * 8 * ((8192 * 4096 * 2 * 7) / 8) * 2
    const computing = Math.max(...step.ranks.map((rank) => rank.computing))
    expect(step.seconds).toBeGreaterThan(sent / 5e9 - computing)
    expect(summary.mfu).toBeLessThan(1)
  })

  test('products in eight bits are shares of what eight bits can do', async () => {
    const spec = { model: 'gpt3-175b', batch: 16, microbatch: 16, seq: 2048, options: { linearDtype: 'fp8' } } as const
    for (const accelerator of ['h100-sxm', 'b200-sxm']) {
      const { summary } = await run({ ...spec, cluster: { accelerator } })
      expect(summary.hfu).toBeLessThan(1)
      // 989 and 2,250 TFLOP/s in 16 bits, twice as much in eight.
      expect(summary.conventions.peak).toBeGreaterThan(1.9e15)
    }
  })

  test('ranks that share the sequences of a prefill are no more than so many times as fast', async () => {
    const prefill = { ...llama, phase: 'prefill', batch: 1, cluster: { accelerator: 'h100-sxm', nodes: 1 } } as const
    const alone = (await run(prefill)).step.seconds
    for (const cp of [2, 4]) {
      const { seconds } = (await run({ ...prefill, parallel: { cp } })).step
      expect(seconds).toBeLessThan(alone)
      expect(seconds).toBeGreaterThan(alone / cp)
    }
  })

  test('however positions are dealt out, ranks together do the same work, and take the energy for it', async () => {
    const watts = 700 // H100 SXM
    const work = async (positions: 'zigzag' | 'contiguous', attention: 'ring' | 'gather') => {
      const spec = { ...llama, seq: 65_536, cluster: 'dgx-h100', parallel: { cp: 8 } }
      const { summary } = await run({ ...spec, options: { sp: { positions, attention } } })
      expect(summary.energyJoules).toBeLessThanOrEqual(8 * watts * summary.stepSeconds)
      return summary
    }
    const even = await work('zigzag', 'gather')
    for (const attention of ['ring', 'gather'] as const) {
      const uneven = await work('contiguous', attention)
      // Of 8 ranks the last has 15/64 of the pairs instead of 1/8.
      expect(uneven.stepSeconds).toBeGreaterThan(1.2 * even.stepSeconds)
      expect((uneven.energyJoules ?? 0) / (even.energyJoules ?? 0)).toBeCloseTo(1, 1)
    }
  })

  // Liu et al. 2023: each rank holds the block that it computes on and the one that it receives.
  test('a ring holds no more than ranks that gather all keys and values of a layer', async () => {
    const peak = async (attention: 'ring' | 'gather') => {
      const spec = { ...llama, batch: 1, seq: 131_072, cluster: 'dgx-h100', parallel: { cp: 8 } }
      return (await run({ ...spec, options: { sp: { attention } } })).summary.memory.peakBytes
    }
    expect(await peak('ring')).toBeLessThanOrEqual(await peak('gather'))
  })

  test('a replica of all ranks, with as many sequences, makes no step shorter', async () => {
    const [one = 0, two = 0] = await Promise.all(
      [1, 2].map(async (dp) => {
        const parallel = { tp: 2, cp: 8, pp: 4, dp }
        const cluster = { preset: 'l40s-pcie', nodes: 8 * dp }
        const options = { zero: 0, sequenceParallel: true } as const
        const spec = { model: 'llama-3.1-8b', batch: 16 * dp, microbatch: 1, seq: 16384, cluster, parallel, options }
        return (await run(spec)).step.seconds
      }),
    )
    // Alone its gradients are reduced over the ranks of ring attention, which waits for none of them.
    expect(one).toBeLessThanOrEqual(two)
  })

  test('a KV cache is as large in several microbatches as in one', async () => {
    const decode = { ...llama, phase: 'decode', batch: 8, cluster: { accelerator: 'h100-sxm', nodes: 1 } } as const
    // Keys and values of 8 sequences of 8,192 tokens: 32 layers, 8 heads of 128 dims, two bytes.
    const bytes = 8 * 8192 * 32 * 2 * 8 * 128 * 2
    for (const [parallel, microbatch] of [
      [{}, 8],
      [{}, 2],
      [{ pp: 2 }, 2],
      [{ pp: 2, tp: 2 }, 4],
    ] as const) {
      const { step } = await run({ ...decode, parallel, microbatch })
      const { pp = 1, tp = 1 }: { pp?: number; tp?: number } = parallel
      for (const rank of step.ranks) expect(rank.memory.parts.cache).toBe(bytes / pp / tp)
    }
  })

  // The same kernel on the same operands (Dao et al. 2022 time forward alone).
  test.each([['gather'], ['ring']] as const)(
    'attention that runs again takes as long as before: %s',
    async (attention) => {
      const options = { recompute: 'full', zero: 3, sp: { attention } } as const
      const spec = { ...llama, batch: 8, seq: 131072, cluster: 'dgx-h100', parallel: { cp: 8 }, options } as const
      const { summary } = await run(spec)
      const last = attention === 'ring' ? 'ring/pass/merge' : 'context'
      const [first, again] = ['forward', 'backward'].map(
        (segment) =>
          summary.criticalPath.find(({ node }) => node === `${segment}/layer/attention/${last}`)?.seconds ?? 0,
      )
      expect(first).toBeGreaterThan(1)
      // But for what is communicated beside it.
      expect(Math.abs(Number(again) / Number(first) - 1)).toBeLessThan(0.01)
      // Of a layer that runs again its input alone is kept (Chen et al. 2016): 131,072 / 8 tokens of 4,096 in two bytes.
      const kept =
        summary.memory.perStage[0]?.alive.filter(({ part, count }) => part === 'activations' && count === 32) ?? []
      expect(kept.map(({ tensor }) => tensor)).toEqual(['forward/layers/x'])
      expect(kept[0]?.bytes).toBe(32 * (131072 / 8) * 4096 * 2)
    },
  )

  test('what no token fills of buffers of experts is no work of the model', async () => {
    const parallel = { dp: 8, ep: 8 }
    const spec = { model: 'mixtral-8x7b', batch: 64, seq: 4096, cluster: 'dgx-h100', parallel } as const
    const at = async (capacityFactor: number) => {
      const { summary } = await run({ ...spec, options: { ep: { capacityFactor } } })
      return { model: summary.mfu * summary.stepSeconds, hardware: summary.hfu * summary.stepSeconds }
    }
    const [tight, double, half] = await Promise.all([at(1), at(2), at(0.5)])
    expect(double.model / tight.model).toBeCloseTo(1, 6)
    expect(double.hardware).toBeGreaterThan(1.5 * tight.hardware)
    // Half of what tokens send is dropped.
    expect(half.model).toBeLessThan(0.7 * tight.model)
  })

  test('tokens that are cached already are none that a prefill reads', async () => {
    const spec = { ...llama, phase: 'prefill', batch: 1, cluster: 'dgx-h100' } as const
    const { summary } = await run({ ...spec, options: { prefill: { cached: 8191 } } })
    expect(summary.tokensPerSecond * summary.stepSeconds).toBeCloseTo(1, 9)
  })

  test('a chip with slower links is never faster', async () => {
    const seconds = async (accelerator: string, parallel = {}) =>
      (await run({ ...llama, batch: 8, seq: 2048, cluster: { accelerator, nodes: 1 }, parallel })).step.seconds
    expect(await seconds('h800-sxm')).toBe(await seconds('h100-sxm'))
    expect(await seconds('h800-sxm', { tp: 8 })).toBeGreaterThan(await seconds('h100-sxm', { tp: 8 }))
  })

  test('software of 2021, which overlaps nothing, is on no chip faster than software that does', async () => {
    for (const cluster of ['dgx-a100', 'dgx-h100', 'dgx-b200']) {
      const spec = { ...llama, cluster, parallel: { tp: 2 } }
      const old = await run({ ...spec, options: { engine: 'megatron-2021' } })
      expect(old.step.seconds).toBeGreaterThan((await run(spec)).step.seconds)
    }
  })

  test('a token goes to each of its experts at most once, however it is sent', async () => {
    // Eight experts on eight ranks: each of the two of a token is on a rank of its own, so that nothing is saved.
    const spec = { model: 'mixtral-8x7b', batch: 8, seq: 4096, cluster: 'dgx-h100', parallel: { dp: 8, ep: 8 } }
    const perExpert = await run({ ...spec, options: { engine: { dispatch: 'per-expert' } } })
    const perNode = await run({ ...spec, options: { engine: { dispatch: 'per-node' } } })
    expect(perNode.step.seconds).toBeCloseTo(perExpert.step.seconds, 9)
  })
})
