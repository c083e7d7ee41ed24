import { nodesOf } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import type { BuildOptions, ModelArchitecture } from '@shardloom/models'
import { communicationTable, measure } from '@shardloom/simulator'
import { compareRuns } from '@shardloom/testing'
import { describe, expect, test } from 'vitest'
import { planned } from '../../packages/core/test/planned.js'
import { architectures, dense, experts, grouped, layerOf, modelOf } from './architectures.js'
import { type Degrees, phases, referenceOf } from './prove.js'

/** Plans layers in halves, runs them and expects what one device computes; what they make is whole at their ends alone. */
function proveHalves(model: ModelArchitecture, build: BuildOptions, degrees: Degrees, interleave: 'moe' | 'all') {
  const plan = planned(model, build, degrees, { models: { interleave } })
  const { difference, compared, worst } = compareRuns(referenceOf(model, build), plan.program, plan.operators)
  expect(difference?.message).toBeUndefined()
  expect(compared).toBeGreaterThan(5)
  expect(worst.error).toBeLessThan(1e-9)
  for (const rule of verifyProgram(plan.program, plan.operators)) expect(rule.violations).toEqual([])
  return plan
}

describe.each(architectures.map((model) => [model.name, model] as const))('%s in halves', (_, model) => {
  test.each([
    ['training', { ...phases.training, batch: 12 }, { tp: 3 }],
    ['prefill', { ...phases.prefill, batch: 12 }, { dp: 3, tp: 2 }],
    ['decode', { ...phases.decode, batch: 8 }, { dp: 2, tp: 2 }],
  ] as const)('%s is one device', (_name, build, degrees) => {
    const { program, operators } = proveHalves(model, build, degrees, 'all')
    const whole = planned(model, build, degrees).program
    expect(measure(program, operators).flops).toBe(measure(whole, operators).flops)
    const sent = (each: typeof program) =>
      communicationTable(each, operators).reduce((sum, row) => sum + row.count * row.bytesPerRank, 0)
    expect(sent(program)).toBeCloseTo(sent(whole), 6)
  })
})

describe('layers with experts in halves', () => {
  const model = modelOf('mixed', { dense: layerOf(grouped, dense), moe: layerOf(grouped, experts) })

  test.each([
    ['training', { ...phases.training, batch: 16 }, { dp: 2, tp: 2, expertDp: 1, ep: 4 }],
    ['prefill', { ...phases.prefill, batch: 12 }, { dp: 2, expertDp: 1, ep: 2 }],
    ['decode', { ...phases.decode, batch: 16 }, { dp: 4, expertDp: 1, ep: 4 }],
  ] as const)('%s alone: each exchange of tokens is two, one behind the other half', (_name, build, degrees) => {
    const { program } = proveHalves(model, build, degrees, 'moe')
    const nodes = nodesOf(program.items)
    expect(nodes.some(({ id }) => /\/dense\/.*half[12]$/.test(id))).toBe(false)
    const exchanges = (list: typeof nodes) => list.filter(({ op }) => op === 'all-to-all').length
    const whole = planned(model, build, degrees).program
    expect(exchanges(nodes)).toBe(2 * exchanges(nodesOf(whole.items)))
    // A half's operators wait for those of the other half before them, in every stage between communications.
    const waits = nodes.filter(({ after }) => after !== undefined)
    expect(waits.length).toBeGreaterThan(4)
    expect(waits.some(({ id }) => id.endsWith('half2'))).toBe(true)
    const other = waits.filter(({ id, after }) => String(after?.[0]).slice(-1) !== id.slice(-1))
    expect(other).toEqual(waits)
  })

  test('stand beside sharded parameters, recomputation and offload', () => {
    for (const more of [
      { dp: { zero: 3, prefetch: 0 } },
      { models: { recompute: 'full' } },
      { models: { offload: { prefetch: 0 } } },
    ] as const) {
      const build = { ...phases.training, batch: 16 }
      const options = { ...more, models: { interleave: 'all', ...('models' in more && more.models) } } as const
      const { program, operators } = planned(model, build, { dp: 2, tp: 2 }, options)
      expect(compareRuns(referenceOf(model, build), program, operators).difference?.message).toBeUndefined()
      for (const rule of verifyProgram(program, operators)) expect(rule.violations).toEqual([])
    }
  })

  test('need an even number of sequences, and experts', () => {
    const plan = (batch: number, interleave: 'moe' | 'all', of = model) =>
      planned(of, { ...phases.prefill, batch }, { dp: 2 }, { models: { interleave } })
    expect(() => plan(6, 'all')).toThrow(/in halves: a rank has 3 of dim `batch`/)
    const plain = modelOf('plain', { layer: layerOf(grouped, dense) })
    expect(() => plan(4, 'moe', plain)).toThrow(/^`interleave: moe` changes nothing: no layer has experts/)
  })
})
