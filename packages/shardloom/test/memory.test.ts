import { describe, expect, test } from 'vitest'
import {
  loadSpec,
  plan,
  planLoaded,
  type SpecInput,
  simulateLoaded,
  summarise,
  summariseSimulation,
} from '../src/index.js'
import { expectEquivalent } from '../src/testing.js'

const attention = 'materialised' as const

describe('what backward computes again or fetches, in hybrids', () => {
  const specs: readonly Partial<SpecInput>[] = [
    { parallel: { tp: 2, pp: 2 }, options: { attention, recompute: 'full' } },
    { parallel: { tp: 2, pp: 2 }, options: { attention, recompute: 'selective', schedule: 'zbh1' } },
    { parallel: { dp: 2, tp: 2 }, options: { attention, recompute: 'full', zero: 3 } },
    { parallel: { dp: 2, pp: 2 }, options: { attention, offload: 'activations', schedule: 'zbh1' } },
    {
      model: 'tiny-moe',
      parallel: { dp: 4, ep: 2 },
      options: { attention, offload: 'activations', recompute: 'full' },
    },
    {
      parallel: { dp: 2, tp: 2 },
      options: {
        attention,
        recompute: { full: { layers: 0 }, selective: { layers: 1 } },
        offload: { where: { layers: '1' }, prefetch: 2 },
        zero: 2,
      },
    },
  ]
  test.each(specs)('%j is one device that keeps everything', async (spec) => {
    const proof = await expectEquivalent({ model: 'tiny', batch: 8, seq: 8, ...spec })
    expect(proof.proven).toBe(true)
  })
})

test('what waits in host memory is no longer in that of the rank', async () => {
  const [kept, away] = await Promise.all(
    (['none', 'activations'] as const).map(async (offload) => {
      const { activations } = summarise(
        await plan({ model: 'gpt2', batch: 1, seq: 64, options: { attention, offload } }),
      )
      return activations
    }),
  )
  expect(kept?.hostBytes).toBe(0)
  expect(away?.bytes).toBe(kept?.outsideBytes)
  expect(away?.hostBytes).toBe((kept?.bytes ?? 0) - (kept?.outsideBytes ?? 0))
})

test('of a pipeline in the order 1F1B as many microbatches wait in host memory as stages are left', async () => {
  // Narayanan et al. 2019 (PipeDream): stage i of p has p − i microbatches in flight.
  const input = { model: 'gpt2', batch: 8, seq: 64, parallel: { pp: 4 }, cluster: 'dgx-h100' }
  const loaded = await loadSpec({ ...input, options: { attention, offload: 'activations' } })
  const { memory } = summariseSimulation(simulateLoaded(loaded))
  expect(memory.perStage.map(({ host }) => (host?.peakBytes ?? 0) / (host?.bytes ?? 0))).toEqual([4, 3, 2, 1])
  for (const { rank, host } of memory.perStage) {
    const { activations } = summarise(planLoaded(loaded), { rank })
    expect(host).toEqual({ bytes: activations?.hostBytes, peakBytes: activations?.hostPeakBytes })
  }
  const kept = summariseSimulation(simulateLoaded(await loadSpec(input))).memory.perStage
  expect(kept.filter((stage) => 'host' in stage)).toEqual([])
})

test('a rank of a pipeline keeps what its own layers save; where it enters a stage, the layer keeps what was received', async () => {
  const planned = await plan({ model: 'gpt2', batch: 4, seq: 64, parallel: { pp: 4 }, options: { attention } })
  const alone = summarise(await plan({ model: 'gpt2', batch: 1, seq: 64, options: { attention } })).activations
  const each = [0, 1, 2, 3].map((rank) => summarise(planned, { rank }).activations)
  for (const kept of each) {
    expect(kept?.layers.reduce((sum, { count }) => sum + count, 0)).toBe(3)
    for (const { bytes } of kept?.layers ?? []) expect(bytes).toBe(alone?.layers[0]?.bytes)
  }
  expect(each.reduce((sum, kept) => sum + (kept?.outsideBytes ?? 0), 0)).toBe(alone?.outsideBytes)
})

describe('a config of GPT-2 keeps what Korthikanti et al. 2022, table 2, say of a layer', () => {
  const [heads, hidden, seq, batch] = [12, 48, 24, 3]
  const config = {
    model_type: 'gpt2',
    n_embd: hidden,
    n_head: heads,
    n_layer: 2,
    n_positions: seq,
    vocab_size: 96,
    embd_pdrop: 0.1,
    attn_pdrop: 0.1,
    resid_pdrop: 0.1,
  }
  /** Bytes per element of the residual stream: those of a layer, divided by sbh. */
  async function kept(model: typeof config, tp: number, sequenceParallel = false): Promise<number | undefined> {
    const options = { attention, sequenceParallel }
    const spec: SpecInput = { model, batch, microbatch: batch, seq, parallel: { tp }, options }
    const layer = summarise(await plan(spec)).activations?.layers[0]
    return layer && layer.bytes / (seq * batch * hidden)
  }
  const scores = (heads * seq) / hidden

  test.each([2, 3, 4])('over %d ranks', async (t) => {
    expect(await kept(config, t)).toBe(10 + 24 / t + (5 * scores) / t)
    expect(await kept(config, t, true)).toBe((34 + 5 * scores) / t)
  })

  test('each rate has masks of its own: a byte per element, and probabilities once more behind theirs', async () => {
    const all = (await kept(config, 1)) ?? 0
    expect(all).toBe(34 + 5 * scores)
    expect(await kept({ ...config, embd_pdrop: 0 }, 1)).toBe(all)
    expect(await kept({ ...config, resid_pdrop: 0 }, 1)).toBe(all - 2)
    expect(await kept({ ...config, attn_pdrop: 0 }, 1)).toBe(all - 3 * scores)
  })

  test('the same rates in our own format; an unknown kind is refused', async () => {
    const { architecture } = await plan({ model: config, batch, seq })
    const dropout = { embedding: 0.1, attention: 0.1, residual: 0.1 }
    expect(architecture).toMatchObject({ dropout })
    for (const each of [0.1, dropout]) {
      const layer = summarise(
        await plan({
          model: { ...architecture, dropout: each },
          batch,
          microbatch: batch,
          seq,
          options: { attention },
        }),
      ).activations?.layers[0]
      expect((layer?.bytes ?? 0) / (seq * batch * hidden)).toBe(34 + 5 * scores)
    }
    await expect(plan({ model: { ...architecture, dropout: { residuals: 0.1 } }, batch, seq })).rejects.toThrow(
      /`dropout.*residual/,
    )
    await expect(plan({ model: { ...architecture, dropout: 1 }, batch, seq })).rejects.toThrow(/a share of at least 0/)
  })
})
