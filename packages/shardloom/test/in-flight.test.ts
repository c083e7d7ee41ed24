import { describe, expect, it, test } from 'vitest'
import { plan, type SpecInput, summarise } from '../src/index.js'

const peaks = async (spec: Partial<SpecInput>, ranks = 4) => {
  const planned = await plan({ model: 'gpt2', seq: 64, ...spec })
  return Array.from({ length: ranks }, (_, rank) => {
    const { activations } = summarise(planned, { rank })
    if (!activations) throw new Error('nothing is saved')
    return activations
  })
}

describe('microbatches in flight', () => {
  it('are min(m, p − r) with 1F1B, each with all that a microbatch leaves (Narayanan et al. 2021, section 2.2)', async () => {
    for (const batch of [2, 8]) {
      const each = await peaks({ batch, parallel: { pp: 4 } })
      expect(each.map(({ peak }) => peak.inFlight)).toEqual([4, 3, 2, 1].map((most) => Math.min(batch, most)))
      for (const { peak, bytes } of each) expect(peak.bytes).toBe(peak.inFlight * bytes)
    }
  })

  it('are all of them with GPipe, and one without a pipeline', async () => {
    const gpipe = await peaks({ batch: 8, parallel: { pp: 4 }, options: { schedule: 'gpipe' } })
    for (const { peak, bytes } of gpipe) expect(peak).toEqual({ inFlight: 8, chunks: 1, bytes: 8 * bytes })
    const [one] = await peaks({ batch: 8 }, 1)
    expect(one?.peak).toEqual({ inFlight: 1, chunks: 1, bytes: one?.bytes })
  })

  it('count chunk by chunk where a rank has several: (v − 1) p + 2 (p − 1 − r) + 1 when interleaved', async () => {
    const each = await peaks({
      batch: 8,
      parallel: { pp: 4 },
      options: { virtual: 2, pp: { layers: [2, 2, 1, 1, 2, 2, 1, 1] } },
    })
    expect(each.map(({ peak }) => peak.inFlight)).toEqual([11, 9, 7, 5])
    expect(each.map(({ peak }) => peak.chunks)).toEqual([2, 2, 2, 2])
  })

  it('are held until W: p on every rank with ZB-H1 (Qi et al. 2023, section 2.3), p + 1 with DualPipe', async () => {
    const zero = await peaks({ batch: 8, parallel: { pp: 4 }, options: { schedule: 'zbh1' } })
    expect(zero.map(({ peak }) => peak.inFlight)).toEqual([4, 4, 4, 4])
    const dual = await peaks({ batch: 16, parallel: { pp: 4 }, options: { schedule: 'dualpipe' } })
    expect(dual.map(({ peak }) => peak.inFlight)).toEqual([5, 5, 5, 5])
  })

  it('of a middle rank with chunks alike are as many bytes as chunks', async () => {
    const each = await peaks({ batch: 8, parallel: { pp: 2 }, options: { virtual: 3 } }, 2)
    const layers = ({ layers }: (typeof each)[number]) =>
      layers.reduce((sum, { count, bytes }) => sum + count * bytes, 0)
    for (const one of each) {
      const { bytes, inFlight, chunks } = one.peak
      expect(bytes).toBeGreaterThanOrEqual((inFlight * layers(one)) / chunks)
      expect(bytes).toBeLessThanOrEqual((inFlight * layers(one)) / chunks + inFlight * one.outsideBytes)
    }
  })
})

test('what a microbatch leaves in a layer does not depend on the direction that it takes, nor that there are two', async () => {
  const spec = { model: 'gpt2', batch: 8, seq: 64, parallel: { pp: 4 } } as const
  const layers = async (schedule: string) =>
    summarise(await plan({ ...spec, options: { schedule } as never }), { rank: 1 }).activations // one of the schedules
  const [one, two] = [await layers('1f1b'), await layers('dualpipe')]
  // Half of the depth in each chunk of DualPipe is as much as a stage of 1F1B, once for each direction.
  expect(two?.layers.map(({ bytes }) => bytes)).toEqual(one?.layers.map(({ bytes }) => bytes))
  expect(two?.saved.map(({ tensor }) => tensor)).toEqual(one?.saved.map(({ tensor }) => tensor))
})

test('what is gathered for the whole step stays, though backward looks nothing up in it', async () => {
  const spec = { model: 'llama-3.1-8b', batch: 8, seq: 64 } as const
  const step = { zero: 3, dp: { gather: 'step' }, recompute: 'full' } as const
  const whole = summarise(await plan({ ...spec, parallel: {} })).model.parameters
  const all = summarise(await plan({ ...spec, parallel: { dp: 4 }, options: step })).activations
  expect(all?.gatheredBytes).toBe(2 * whole)
  // A quarter of 32 layers, and the table of 128256 tokens on the first stage, the head and a gain on the last (16 bits).
  const layer = 2 * (4096 * 4096 * 2 + 2 * 4096 * 1024 + 3 * 4096 * 14336 + 2 * 4096)
  const [table, gain] = [2 * 128256 * 4096, 2 * 4096]
  const stages = await plan({ ...spec, parallel: { pp: 4, dp: 2 }, options: step })
  const held = [0, 2, 6].map((rank) => summarise(stages, { rank }).activations?.gatheredBytes)
  expect(held).toEqual([8 * layer + table, 8 * layer, 8 * layer + table + gain])
})

test('gathered parameters are no activations: they are there once, whole, for however many microbatches', async () => {
  const spec = { model: 'gpt2', batch: 8, seq: 64, parallel: { dp: 2 } } as const
  const kept = async (dp: { gather?: 'keep' | 'step' }) =>
    summarise(await plan({ ...spec, options: { zero: 3, dp } })).activations
  const [use, keep, step] = [await kept({}), await kept({ gather: 'keep' }), await kept({ gather: 'step' })]
  expect(use?.gatheredBytes).toBe(0)
  expect(keep?.bytes).toBe(use?.bytes)
  expect(step?.bytes).toBe(use?.bytes)
  expect(step?.peak).toEqual(use?.peak)
  // In 16 bits: all weights but the tables of tokens and positions, which backward looks nothing up in; the head is the former.
  const whole = summarise(await plan({ ...spec, parallel: {}, batch: 4 })).perRank.parameterBytes
  expect(keep?.gatheredBytes).toBeLessThanOrEqual(whole)
  expect(keep?.gatheredBytes).toBeGreaterThan(0.9 * whole)
  expect(step?.gatheredBytes).toBe(whole)
})

test('plan names what its numbers depend on where it is at work', async () => {
  const base = { model: 'tiny', batch: 8, seq: 64 } as const
  const plain = summarise(await plan(base)).conventions
  for (const name of ['gather', 'positions', 'contextAttention', 'sequenceParallel', 'overlap', 'reduce', 'interleave'])
    expect(plain).not.toHaveProperty(name)
  expect(plain.reduceDtype).toBe('fp32')
  const parallel = { dp: 2, cp: 2, tp: 2 }
  const dp = { gather: 'step', reduce: 'step', reduceDtype: 'bf16' } as const
  const options = { zero: 3, dp, sequenceParallel: true, sp: { attention: 'ring' } } as const
  expect(summarise(await plan({ ...base, parallel, options })).conventions).toMatchObject({
    gather: 'step',
    reduce: 'step',
    reduceDtype: 'bf16',
    sequenceParallel: true,
    contextAttention: 'ring',
    positions: 'zigzag',
  })
})
