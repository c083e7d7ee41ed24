import { isShardloomError } from '@shardloom/core'
import { describe, expect, test } from 'vitest'
import { plan } from '../src/plan.js'
import type { SpecInput } from '../src/spec-schema.js'
import { summarise } from '../src/summarise.js'
import { prove } from '../src/testing.js'

async function refusal(spec: Omit<SpecInput, 'model'>, model = 'mixtral-8x7b'): Promise<string> {
  try {
    await plan({ model, batch: 24, seq: 64, ...spec })
  } catch (error) {
    if (isShardloomError(error)) return `${error.code} ${error.message} ${error.help}`
  }
  return ''
}

describe('the law of degrees: dp · cp · ulysses · tp = expertDp · ep · expertTp', () => {
  test('expertDp follows, and the mesh shows both factorisations', async () => {
    const { mesh, world } = summarise(
      await plan({ model: 'mixtral-8x7b', batch: 8, parallel: { dp: 8, tp: 2, ep: 4 } }),
    )
    expect(mesh).toMatchObject({ dp: 8, tp: 2, expertDp: 4, ep: 4, expertTp: 1 })
    expect(world).toBe(16)
  })
  test('degrees that do not multiply are refused with those that work', async () => {
    expect(await refusal({ parallel: { dp: 4, tp: 2, ep: 3 } })).toBe(
      'MESH_FACTORS Cannot lay ep 3 over the ranks of dp 4 · tp 2: 3 does not divide 8 (dp · cp · ulysses · tp = expertDp · ep · expertTp). Use ep 1, 2, 4 or 8.',
    )
  })
  test('borders that do not nest are refused with degrees whose borders do', async () => {
    expect(await refusal({ parallel: { dp: 3, tp: 2, ep: 3 } })).toBe(
      'MESH_FACTORS Cannot lay ep 3 over the ranks of dp 3 · tp 2: their borders do not nest. Use ep 1, 2 or 6; or expertTp 2.',
    )
    expect(await refusal({ parallel: { dp: 3, tp: 2, ep: 6 }, options: { uneven: 'ragged' } })).toBe('')
    expect(await refusal({ parallel: { dp: 3, tp: 2, ep: 3, expertTp: 2 }, options: { uneven: 'ragged' } })).toBe('')
  })
  test('expertDp follows, so that it is no key of a spec', async () => {
    expect(await refusal({ parallel: { dp: 4, ep: 2, expertDp: 2 } })).toMatch(/^SPEC_KEY /)
  })
})

test('an option of experts without ranks for them is named', async () => {
  const { warnings } = await plan({ model: 'mixtral-8x7b', batch: 4, options: { ep: { dispatch: 'all-gather' } } })
  expect(warnings).toContain('`ep.dispatch` changes nothing: `ep` and `expertTp` are 1')
})

describe('proofs of large plans, by a small plan that is the large one but for its sizes', () => {
  const specs: readonly SpecInput[] = [
    { model: 'deepseek-v3', batch: 256, parallel: { dp: 64, ep: 32 } },
    { model: 'deepseek-v3', batch: 64, phase: 'prefill', parallel: { dp: 8, tp: 4, ep: 32 } },
    { model: 'deepseek-v3', batch: 288, phase: 'decode', seq: 256, steps: 4, parallel: { dp: 72, tp: 2, ep: 16 } },
    { model: 'mixtral-8x7b', batch: 64, parallel: { dp: 16, tp: 4, ep: 8, expertTp: 4 } },
    { model: 'mixtral-8x7b', batch: 64, parallel: { dp: 64, ep: 8 }, options: { ep: { dispatch: 'all-gather' } } },
    { model: 'qwen3-235b-a22b', batch: 64, parallel: { dp: 16, tp: 8, ep: 128 } },
    { model: 'gpt-oss-120b', batch: 64, parallel: { dp: 16, tp: 2, ep: 8, expertTp: 2 } },
    { model: 'mixtral-8x7b', batch: 64, parallel: { dp: 32, ep: 8, expertTp: 2 } },
    { model: 'mixtral-8x7b', batch: 64, parallel: { dp: 16, tp: 4, ep: 8, expertTp: 8 } },
    {
      model: 'mixtral-8x7b',
      batch: 32,
      parallel: { dp: 4, tp: 4, ep: 8, expertTp: 2 },
      options: { sequenceParallel: true },
    },
    {
      model: 'mixtral-8x7b',
      batch: 8,
      parallel: { dp: 2, cp: 2, tp: 4, ep: 8, expertTp: 2 },
      options: { sequenceParallel: true },
    },
    {
      model: 'mixtral-8x7b',
      batch: 8,
      parallel: { dp: 2, cp: 4, ep: 4, expertTp: 2 },
      options: { sp: { attention: 'ring' } },
    },
  ]
  test.each(specs.map((spec) => [`${spec.model} ${JSON.stringify(spec.parallel)}`, spec] as const))(
    '%s',
    async (_, spec) => {
      const proof = await prove(spec)
      expect(proof.difference?.message).toBeUndefined()
      expect(proof.unlike).toEqual([])
      expect(proof.proven).toBe(true)
      expect(proof.worst.error).toBeLessThan(1e-9)
      expect(proof.ranks).toBeLessThanOrEqual(64)
    },
  )
})

describe('a plan that drops tokens', () => {
  const spec = { model: 'mixtral-8x7b', batch: 4, seq: 8, parallel: { dp: 2, ep: 2 } } as const
  test('is not said to compute what one device computes', async () => {
    await expect(prove({ ...spec, options: { ep: { capacityFactor: 1.25 } } })).rejects.toMatchObject({
      code: 'DROPS_TOKENS',
      help: 'Leave it out, or use 4 or more, with which every token has room: all else of the plan is the same.',
    })
  })
  test('is proven where every token has room', async () => {
    expect((await prove({ ...spec, options: { ep: { capacityFactor: 4 } } })).proven).toBe(true)
  })
})
