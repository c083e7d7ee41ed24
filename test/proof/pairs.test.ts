import { nodesOf } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import { compareRuns, runReference } from '@shardloom/testing'
import { describe, expect, test } from 'vitest'
import { loadSpec, planLoaded, planOneDevice } from '../../packages/shardloom/src/plan.js'
import { dense, experts, grouped, layerOf, modelOf } from './architectures.js'
import { tally } from './tally.js'

const small = { ...grouped, heads: 4, headDim: 2 }
const four = { order: { runs: [{ layer: 'layer', count: 4 }] } }
const model = modelOf('four layers', { layer: layerOf(small, { ...dense, intermediate: 8 }) }, four)
const mixture = modelOf('four layers of experts', { layer: layerOf(small, { ...experts, intermediate: 4 }) }, four)
const ring = { sp: { attention: 'ring' } }
const halves = { interleave: 'all' }
const parts = { tp: { overlap: 2 } }

/** Equal to one device, and sound by every rule, those about the lists of a pipeline's ranks too; the operators that ran. */
async function proveVerified(parallel: object, options: object, more: object = {}): Promise<Set<string>> {
  const spec = { model, batch: 8, microbatch: 2, seq: 8, parallel, options, ...more }
  const loaded = await loadSpec(spec as never) // checked by the schema
  const { program, operators, rules } = planLoaded(loaded)
  for (const { violations } of verifyProgram(program, operators, rules)) expect(violations).toEqual([])
  const result = compareRuns(runReference(planOneDevice(loaded), operators), program, operators)
  expect(result.difference?.message).toBeUndefined()
  expect(result.compared).toBeGreaterThan(200)
  expect(result.worst.error).toBeLessThan(1e-9)
  const { compared: tensors, executed, worst } = result
  tally({ specs: 1, tensors, executed: Object.fromEntries(executed), worst: worst.error })
  return new Set(nodesOf(program.items).map(({ op }) => op))
}

describe('a ring beside', () => {
  test.each([
    ['scores computed again', { cp: 2 }, { attention: 'materialised', recompute: 'selective' }],
    ['layers computed again', { cp: 2, tp: 2 }, { attention: 'materialised', recompute: 'full' }],
    ['a kernel computed again, and offload', { cp: 2 }, { recompute: 'full', offload: { prefetch: 0 } }],
    ['layers computed again, keys gathered over `ulysses`', { cp: 2, ulysses: 2, tp: 2 }, { recompute: 'full' }],
    ['ZeRO-1', { dp: 2, cp: 2 }, { zero: 1 }],
    ['ZeRO-2 in buckets', { dp: 2, cp: 2 }, { zero: 2, dp: { bucket: 64 } }],
    ['ZeRO-3 with a bounded prefetch', { dp: 2, cp: 2 }, { zero: 3, dp: { prefetch: 1 } }],
    ['matmuls in parts, the sequence on tensor ranks', { cp: 2, tp: 2 }, { ...parts, sequenceParallel: true }],
    ['halves of the batch', { cp: 2 }, halves],
  ])('%s', async (_, parallel, options) => {
    expect(await proveVerified(parallel, { ...ring, ...options })).toContain('merge_blocks')
  })
})

test('halves of the batch in layers beside matmuls in parts, where operators are whole', async () => {
  const made = await proveVerified({ tp: 2 }, { ...halves, ...parts })
  expect([...made]).toEqual(expect.arrayContaining(['join_halves', 'concatenate']))
})

describe('stages beside', () => {
  const all = { ...parts, ...halves, ...ring }
  test.each([
    ['matmuls in parts', 'zbh1', { tp: 2 }, parts, ['concatenate']],
    ['halves of the batch', '1f1b', {}, halves, ['join_halves']],
    ['a ring', '1f1b', { cp: 2 }, ring, ['merge_blocks']],
    ['all of them', 'zbh1', { cp: 2, tp: 2 }, all, ['join_halves', 'merge_blocks']],
    ['all of them', 'dualpipev', { cp: 2, tp: 2 }, all, ['join_halves', 'merge_blocks']],
    ['a ring and matmuls in parts', 'dualpipe', { cp: 2, tp: 2 }, { ...parts, ...ring }, ['concatenate']],
    ['halves of the batch in layers computed again', 'dualpipe', {}, { ...halves, recompute: 'full' }, ['join_halves']],
  ])('%s: %s', async (_, schedule, parallel, options, operators) => {
    const made = await proveVerified({ pp: 2, ...parallel }, { schedule, ...options })
    expect([...made]).toEqual(expect.arrayContaining(['send', 'recv', ...operators]))
  })

  test('experts on other ranks, their layers in halves', async () => {
    const options = { interleave: 'moe', schedule: 'dualpipev' }
    const made = await proveVerified({ pp: 2, dp: 2, ep: 2 }, options, { model: mixture, batch: 16 })
    expect([...made]).toEqual(expect.arrayContaining(['send', 'recv', 'join_halves', 'all-to-all']))
  })
})
