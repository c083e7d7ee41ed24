import { expect, test } from 'vitest'
import { plan, summarise } from '../src/index.js'
import { expectEquivalent } from '../src/testing.js'

const spec = { model: 'tiny', batch: 8, seq: 16 } as const

test.each([
  [{ dp: 2, pp: 2 }, { zero: 1 }],
  [
    { dp: 2, pp: 2 },
    { zero: 1, schedule: 'zbh1' },
  ],
  [{ dp: 2, pp: 2 }, { zero: 2 }],
  [{ dp: 2, pp: 2 }, { zero: 3 }],
  [{ dp: 4, dpReplicate: 2 }, { zero: 3 }],
  [{ dp: 2, cp: 2 }, { zero: 3 }],
  [{ dp: 2, ulysses: 2 }, { zero: 2 }],
  [
    { dp: 2, tp: 2 },
    { zero: 3, sequenceParallel: true },
  ],
  [
    { dp: 2, pp: 2 },
    { zero: 2, schedule: 'zbh1', dp: { bucket: 4000 } },
  ],
  [
    { dp: 2, tp: 2 },
    { zero: 3, dp: { gather: 'keep' as const } },
  ],
  [
    { dp: 2, pp: 2 },
    { zero: 3, schedule: 'zbh1', dp: { prefetch: 0 }, offload: { prefetch: 0 }, barriers: true },
  ],
])('%j %j is one device', async (parallel, options) => {
  const proof = await expectEquivalent({ ...spec, parallel, options })
  expect(proof.executed.map(({ op }) => op)).toContain('reduce-scatter')
})

test('a large spec with hybrid sharding is proven by a small one that has replicas and shards too', async () => {
  const parallel = { dp: 64, dpReplicate: 8, tp: 8 }
  const proof = await expectEquivalent({ model: 'llama-3.1-70b', batch: 128, parallel, options: { zero: 3 } })
  expect(proof.unlike).toEqual([])
  expect(proof.shrunk.map(({ name }) => name)).toEqual(expect.arrayContaining(['dp', 'dpReplicate']))
})

test('what is fetched several layers ahead is proven with as many layers', async () => {
  const spec = { model: 'llama-3.1-70b', batch: 16, parallel: { dp: 8 } }
  const { unlike, shrunk } = await expectEquivalent({ ...spec, options: { zero: 3, dp: { prefetch: 3 } } })
  expect(unlike).toEqual([])
  expect(shrunk).toContainEqual({ name: 'layers', from: 80, to: 5 })
})

test('a rank of Llama 3.1 70B stores 6 + 12/d bytes of each parameter with ZeRO-1, and 18 without', async () => {
  const stored = async (zero: number) => {
    const { perRank } = summarise(
      await plan({ model: 'llama-3.1-70b', batch: 8, parallel: { dp: 8 }, options: { zero } }),
    )
    return (perRank.parameterBytes + perRank.gradientBytes + perRank.optimizerBytes) / 70_553_706_496
  }
  expect(await stored(0)).toBe(18)
  expect(await stored(1)).toBe(6 + 12 / 8)
  expect(await stored(3)).toBe(18 / 8)
})
