import { expectEquivalent } from 'shardloom/testing'
import { describe, expect, test } from 'vitest'
import { mixed, uniform } from './models.js'

const spec = (model: object, phase: string, parallel: object, batch: number, more: object = {}) =>
  ({ model, phase, batch, seq: 4, parallel, ...more }) as never // inline models are checked by the schema
const training = (model: object, parallel: object, batch: number, options: object = {}) =>
  spec(model, 'training', parallel, batch, { options })

const executed = (proof: Awaited<ReturnType<typeof expectEquivalent>>, op: string) =>
  proof.executed.find((each) => each.op === op)?.count ?? 0

describe('a pipeline computes what one device computes, in the order of its schedule', () => {
  test.each([
    ['gpipe', 2, 4, 4, {}],
    ['1f1b', 4, 4, 6, {}],
    ['1f1b', 3, 5, 4, {}],
    ['interleaved1f1b', 2, 5, 4, { virtual: 2 }],
    ['interleaved1f1b', 3, 6, 6, { virtual: 2 }],
    ['loopedbfs', 2, 6, 4, { virtual: 3 }],
    ['zbh1', 4, 4, 6, {}],
    ['zbh2', 3, 4, 7, {}],
    ['interleaved-zb1p', 2, 4, 4, { virtual: 2 }],
    ['zbv', 3, 6, 6, {}],
    ['vhalf', 3, 6, 6, {}],
    ['vmin', 3, 6, 6, {}],
    ['dualpipev', 3, 7, 6, {}],
  ])('%s over %i ranks, %i layers', async (schedule, pp, layers, batch, more) => {
    const proof = await expectEquivalent(training(uniform(layers), { pp }, batch, { schedule, ...more }))
    expect(proof.worst.error).toBeLessThan(1e-9)
    expect(executed(proof, 'send')).toBe(executed(proof, 'recv'))
  })

  test('dualpipe', async () => {
    const proof = await expectEquivalent(training(uniform(4), { pp: 4 }, 8, { schedule: 'dualpipe' }))
    expect(proof.worst.error).toBeLessThan(1e-9)
  })

  test('each border is crossed once per microbatch and direction', async () => {
    const proof = await expectEquivalent(training(uniform(6), { pp: 3 }, 4, { schedule: '1f1b' }))
    expect(executed(proof, 'send')).toBe(2 * 2 * 4)
  })

  test('tied embeddings', async () => {
    await expectEquivalent(training(uniform(4, { tiedEmbeddings: true }), { pp: 2 }, 4))
    await expectEquivalent(training(uniform(6, { tiedEmbeddings: true }), { pp: 3, dp: 2 }, 4))
    await expectEquivalent(training(uniform(6, { tiedEmbeddings: true }), { pp: 3 }, 6, { schedule: 'zbv' }))
    await expectEquivalent(training(uniform(4, { tiedEmbeddings: true }), { pp: 2 }, 4, { schedule: 'dualpipe' }))
  })

  test('with tensor and data parallelism, two kinds of layers', async () => {
    await expectEquivalent(training(uniform(4), { pp: 2, tp: 2 }, 4))
    await expectEquivalent(training(mixed(5), { pp: 3, tp: 2, dp: 2 }, 8, { schedule: 'zbh1' }))
    await expectEquivalent(training(mixed(4), { pp: 2, dp: 3 }, 12, { schedule: 'dualpipev' }))
  })

  test('uneven stages: lists, with nothing but the embedding or the head, and by cost', async () => {
    await expectEquivalent(training(uniform(5), { pp: 3 }, 3, { pp: { layers: [1, 3, 1] } }))
    await expectEquivalent(training(uniform(3), { pp: 3 }, 3, { pp: { layers: [0, 3, 0] } }))
    await expectEquivalent(training(uniform(7, { vocab: 64 }), { pp: 3 }, 3, { pp: { balance: 'cost' } }))
  })

  test.each(['prefill', 'decode'])('%s', async (phase) => {
    for (const parallel of [{ pp: 2 }, { pp: 3, tp: 2 }, { pp: 2, dp: 2 }])
      await expectEquivalent(spec(uniform(4), phase, parallel, 4, phase === 'decode' ? { steps: 3 } : {}))
    await expectEquivalent(spec(mixed(4), phase, { pp: 4 }, 4, phase === 'decode' ? { steps: 3 } : {}))
  })
})
