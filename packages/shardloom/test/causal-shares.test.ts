import { nodesOf } from '@shardloom/core'
import { meterOf } from '@shardloom/simulator'
import { describe, expect, it, test } from 'vitest'
import { plan, type SpecInput, summarise } from '../src/index.js'

const attentionOf = async (spec: Partial<SpecInput>, ranks: number) => {
  const planned = await plan({ model: 'tiny', batch: 2, seq: 64, ...spec })
  return Array.from({ length: ranks }, (_, rank) => summarise(planned, { rank }).perRank.flopsByClass.attention)
}
const sum = (list: readonly number[]) => list.reduce((total, each) => total + each, 0)

/** Of n consecutive runs the r-th has (2r + 1)/n² of the pairs of a causal mask: (r + 1)² − r² of n². */
describe.each(['gather', 'ring'] as const)('causal attention over ranks, counted halved: %s', (attention) => {
  it.each(['training', 'prefill'] as const)(
    'in %s each rank of consecutive runs counts its own pairs',
    async (phase) => {
      const spec: Partial<SpecInput> = {
        phase,
        options: { causal: 'halved', sp: { attention, positions: 'contiguous' } },
      }
      const [one = 0] = await attentionOf({ phase, options: { causal: 'halved' } }, 1)
      for (const cp of [2, 4, 8]) {
        const each = await attentionOf({ ...spec, parallel: { cp } }, cp)
        expect(each).toEqual(each.map((_, rank) => (one * (2 * rank + 1)) / cp ** 2))
        expect(sum(each)).toBe(one)
      }
    },
  )

  it('zigzag is equal on every rank', async () => {
    const [one = 0] = await attentionOf({ options: { causal: 'halved' } }, 1)
    const each = await attentionOf({ parallel: { cp: 4 }, options: { causal: 'halved', sp: { attention } } }, 4)
    expect(each).toEqual([one / 4, one / 4, one / 4, one / 4])
  })

  it('counted whole, every rank counts every pair of its queries', async () => {
    const sp = { attention, positions: 'contiguous' as const }
    const each = await attentionOf({ parallel: { cp: 4 }, options: { sp } }, 4)
    expect(new Set(each).size).toBe(1)
  })
})

test.each([
  ['contiguous', [8, 0, 0, 0], [8, 16, 16, 16]],
  ['zigzag', [8, 8, 8, 8], [8, 8, 8, 8]],
] as const)(
  'a step of a %s ring is computed in half, in full, or not at all, by rank',
  async (positions, first, last) => {
    const options = { causal: 'halved', sp: { attention: 'ring', positions } } as const
    const { program, operators } = await plan({ model: 'tiny', batch: 1, seq: 16, parallel: { cp: 4 }, options })
    const score = nodesOf(program.items).find(({ id }) => id.endsWith('forward/layer/attention/ring/pass/score'))
    if (!score) throw new Error('the ring has no scores')
    // Two FLOPs for each pair, element and head of `tiny`: 64 in all.
    const pairs = (rank: number) => {
      const meter = meterOf(program, operators, rank)
      return [0, 1, 2, 3].map((step) => Number(meter.node(score, step).flops) / (2 * 64))
    }
    expect(pairs(0)).toEqual(first)
    expect(pairs(3)).toEqual(last)
  },
)

test('chunks of a prompt: the runs of each chunk differ by the same pairs', async () => {
  const prefill = { chunk: 16 }
  const base = { phase: 'prefill' as const, options: { causal: 'halved' as const, prefill } }
  const [one = 0] = await attentionOf(base, 1)
  const sp = { positions: 'contiguous' as const }
  const each = await attentionOf({ ...base, parallel: { cp: 4 }, options: { ...base.options, sp } }, 4)
  // Chunk c and run r of four queries each begin at 16c + 4r: Σ over c of (16c + 4r + 4)² − (16c + 4r)² of 64².
  const pairs = [0, 1, 2, 3].map((r) => sum([0, 1, 2, 3].map((c) => (16 * c + 4 * r + 4) ** 2 - (16 * c + 4 * r) ** 2)))
  expect(each).toEqual(pairs.map((count) => (one * count) / 64 ** 2))
})

test.each([
  { dp: 2, cp: 4 },
  { cp: 4, pp: 2 },
])('plan says which ranks of %j do least and most', async (parallel) => {
  const spec = { model: 'tiny', batch: 2, seq: 64, parallel }
  const options = { causal: 'halved', sp: { positions: 'contiguous' } } as const
  const planned = await plan({ ...spec, options })
  const ranks = Array.from({ length: 8 }, (_, rank) => summarise(planned, { rank }).perRank.flops)
  const { flopsPerRank } = summarise(planned).allRanks
  expect(flopsPerRank).toMatchObject({ least: Math.min(...ranks), most: Math.max(...ranks) })
  expect(ranks[flopsPerRank?.mostRank ?? 0]).toBe(flopsPerRank?.most)
  expect(summarise(await plan({ ...spec, options: { causal: 'halved' } })).allRanks.flopsPerRank).toBeUndefined()
})
