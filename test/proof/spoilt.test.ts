import { mutationReport, mutations, runReference } from '@shardloom/testing'
import { describe, expect, test } from 'vitest'
import { planServing, verifyPlan } from '../../packages/shardloom/src/index.js'
import { loadSpec, planLoaded, planOneDevice } from '../../packages/shardloom/src/plan.js'
import { dense, experts, grouped, layerOf, modelOf } from './architectures.js'
import { tally } from './tally.js'

const small = { ...grouped, heads: 2, headDim: 2, kvHeads: 2 }
const layers = (count: number) => ({ order: { runs: [{ layer: 'layer', count }] } })
const plain = (count: number) =>
  modelOf(`dense, ${count}`, { layer: layerOf(small, { ...dense, intermediate: 4 }) }, layers(count))
const mixture = modelOf('experts', { layer: layerOf(small, { ...experts, intermediate: 4 }) }, layers(1))
const of = (model: object, parallel: object, options: object = {}, more: object = {}) => {
  return { model, batch: 4, microbatch: 2, seq: 4, parallel, options, ...more }
}

const specs: Readonly<Record<string, object>> = {
  'tokens sent to their experts': of(mixture, { dp: 2, ep: 2 }),
  'tokens gathered for their experts': of(mixture, { dp: 2, ep: 2 }, { ep: { dispatch: 'all-gather' } }),
  'experts on tensor ranks, which split the sequence': of(mixture, { tp: 2, ep: 2 }, { sequenceParallel: true }),
  'experts and their width': of(mixture, { dp: 2, tp: 2, ep: 2, expertTp: 2 }),
  'ZeRO-2, microbatch by microbatch': of(plain(1), { dp: 2 }, { zero: 2 }, { microbatch: 1 }),
  'matmuls in parts': of(plain(1), { tp: 2 }, { tp: { overlap: 2 }, sequenceParallel: true }),
  'halves of a batch': of(mixture, { dp: 2, ep: 2 }, { interleave: 'moe' }),
  'interleaved chunks': of(plain(4), { pp: 2 }, { schedule: 'interleaved1f1b', virtual: 2 }, { microbatch: 2 }),
  'halves of a batch in stages': of(plain(2), { pp: 2 }, { interleave: 'all' }, { microbatch: 2 }),
}

describe('every way to spoil communication is caught without running it', () => {
  test.each(Object.entries(specs))('%s', async (_, spec) => {
    const loaded = await loadSpec(spec as never) // checked by the schema
    const { program, operators } = planLoaded(loaded)
    const report = mutationReport(runReference(planOneDevice(loaded), operators), program, operators)
    const { byKind, harmless: _harmless, missed, ...counts } = report
    tally({ mutations: counts })
    expect(counts.made).toBeGreaterThan(15)
    expect(missed).toEqual([])
    expect(counts.verifier).toBe(counts.made)
    expect(byKind.dropped.interpreter).toBe(byKind.dropped.made)
  })

  test('what passes between pools of serving', async () => {
    const options = { serving: { prefill: { parallel: { tp: 2 } }, decode: { parallel: { dp: 2 } } } }
    const served = await planServing({ ...of(plain(2), {}, options), phase: 'serving' } as never) // as above
    let made = 0
    for (const side of ['prefill', 'decode'] as const)
      for (const { program, node, kind, change } of mutations(served[side].program)) {
        made++
        const { rules } = verifyPlan({ ...served, [side]: { ...served[side], program } })
        const violations = rules.flatMap((rule) => rule.violations)
        expect(violations.length, `${side}: ${node} ${kind} ${change}`).toBeGreaterThan(0)
      }
    expect(made).toBeGreaterThan(10)
  })
})
