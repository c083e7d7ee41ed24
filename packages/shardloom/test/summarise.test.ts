import { describe, expect, test } from 'vitest'
import { type PlanSummary, plan, summarise } from '../src/index.js'

const spec = { model: 'llama-3.1-8b', batch: 4, seq: 4096, parallel: { tp: 2, dp: 2 } } as const

describe('the summary of a training plan', () => {
  test('has the fields of shardloom.plan/1, and JSON holds them', async () => {
    const summary = summarise(await plan(spec))
    expect(JSON.parse(JSON.stringify(summary))).toEqual(summary)
    expect(summary).toMatchObject({
      schema: 'shardloom.plan/1',
      model: { name: 'Llama 3.1 8B', parameters: 8_030_261_248, activeParameters: 8_030_261_248 },
      mesh: { dp: 2, tp: 2 },
      world: 4,
      phase: 'training',
      batch: { sequences: 4, microbatches: 2, seq: 4096, steps: 1 },
      conventions: { attention: 'flash', causal: 'whole', dtype: 'bf16', gradientDtype: 'fp32' },
      folded: false,
      rank: 0,
    })
    const { total, ...kinds } = summary.nodes
    expect(Object.values(kinds).reduce((sum, count) => sum + count)).toBe(total)
    const flops = Object.values(summary.perRank.flopsByClass).reduce((sum, count) => sum + count)
    expect(flops).toBe(summary.perRank.flops)
  })

  test('each layer has one all-reduce after attention and one after the feed-forward, and their mirrors', async () => {
    const { communication } = summarise(await plan(spec))
    const inLayers = (phase: string) =>
      communication.filter((row) => row.phase === phase && row.region === 'microbatch/layer')
    // 32 layers · 2 microbatches · 2 all-reduces; 2 sequences a microbatch, one of them on each dp rank.
    for (const phase of ['forward', 'backward']) {
      expect(inLayers(phase)).toMatchObject([
        {
          op: 'all-reduce',
          axes: ['tp'],
          groupSize: 2,
          count: 128,
          payloadBytes: 4096 * 4096 * 2,
          bytesPerRank: 4096 * 4096 * 2,
        },
      ])
    }
    expect(inLayers('forward')[0]?.reason).toBe('attention/out is partial over tp; attention/residual reads it whole')
  })

  test('data parallelism reduces the bytes of every local gradient once', async () => {
    const summary = summarise(await plan({ ...spec, parallel: { dp: 2 } }))
    const gradients = summary.communication.filter((row) => row.axes.join() === 'dp' && row.payloadBytes > 4)
    const bytes = gradients.reduce((sum, row) => sum + row.count * row.payloadBytes, 0)
    expect(bytes).toBe(summary.perRank.parameters * 4)
  })

  test('folded, the rolled program is counted', async () => {
    const planned = await plan(spec)
    const [whole, folded] = [summarise(planned), summarise(planned, { fold: true })]
    expect(folded.folded).toBe(true)
    expect(folded.nodes.total).toBeLessThan(whole.nodes.total / 10)
    expect(folded.perRank).toEqual(whole.perRank)
  })

  test('every rank of an even plan does the same; a rank that is not there is refused', async () => {
    const planned = await plan(spec)
    expect(summarise(planned, { rank: 3 })).toEqual({ ...summarise(planned), rank: 3 })
    expect(() => summarise(planned, { rank: 4 })).toThrow('There is no rank 4: the mesh has 4.')
  })
})

test('decoding reads the KV cache and writes one position of it', async () => {
  const summary: PlanSummary = summarise(await plan({ ...spec, phase: 'decode', parallel: { tp: 2 } }))
  // keys and values of 4096 positions: 4 sequences · 32 layers · 8/2 heads · 128 · 2 bytes
  const position = 2 * 4 * 32 * 4 * 128 * 2
  expect(summary.perRank.kvBytesWritten).toBe(position)
  expect(summary.perRank.kvBytesRead).toBe(position * 4096)
})
