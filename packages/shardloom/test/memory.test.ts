import { describe, expect, test } from 'vitest'
import { plan, type SpecInput, summarise } from '../src/index.js'
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
