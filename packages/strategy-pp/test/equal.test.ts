import { expectEquivalent } from 'shardloom/testing'
import { describe, expect, test } from 'vitest'
import { mixed, uniform } from './models.js'

const training = (model: object, parallel: object, batch: number, options: object = {}) =>
  ({ model, phase: 'training', batch, seq: 4, parallel, options }) as never // inline models are checked by the schema

describe('a pipeline computes what one device computes', () => {
  test.each([
    ['gpipe', 2, 4, 4],
    ['1f1b', 4, 4, 6],
    ['1f1b', 3, 5, 4],
  ])('%s over %i ranks, %i layers', async (schedule, pp, layers, batch) => {
    const proof = await expectEquivalent(training(uniform(layers), { pp }, batch, { schedule }))
    expect(proof.worst.error).toBeLessThan(1e-9)
    const sends = proof.executed.find(({ op }) => op === 'send')?.count
    // Each border is crossed once per microbatch and direction.
    expect(sends).toBe(2 * (pp - 1) * batch)
  })
})
