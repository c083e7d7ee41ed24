import { describe, expect, test } from 'vitest'
import { plan, type SpecInput } from '../src/index.js'
import { expectEquivalent } from '../src/testing.js'

describe('parameters gathered once per step, and gradients reduced in a type of their own, in hybrids', () => {
  const specs: readonly Partial<SpecInput>[] = [
    { parallel: { dp: 2, pp: 2 }, options: { zero: 3, dp: { gather: 'step', reduce: 'step' } } },
    { parallel: { dp: 2, pp: 2 }, options: { zero: 3, schedule: 'dualpipe', dp: { gather: 'step' } } },
    {
      parallel: { dp: 2, tp: 2 },
      options: { zero: 3, sequenceParallel: true, recompute: 'full', dp: { gather: 'step', reduceDtype: 'bf16' } },
    },
    { model: 'tiny-moe', parallel: { dp: 4, ep: 2 }, options: { zero: 3, dp: { gather: 'step' } } },
  ]
  test.each(specs)('%j is one device', async (spec) => {
    const input = { model: 'tiny', batch: 16, seq: 8, ...spec }
    expect((await expectEquivalent(input)).proven).toBe(true)
    const { program } = await plan(input)
    const again = [...program.tensors.values()].filter(
      ({ role, versionOf, per }) => role === 'parameter' && versionOf !== undefined && per.includes('microbatch'),
    )
    expect(again).toEqual([])
  })
})
