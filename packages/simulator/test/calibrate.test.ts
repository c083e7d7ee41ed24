import { resolveCluster } from '@shardloom/cluster'
import { describe, expect, it } from 'vitest'
import { planned } from '../../core/test/planned.js'
import { calibrate, type Efficiency, efficiencyOf, machineOf, simulate, usualEngine } from '../src/index.js'

const start = efficiencyOf({ name: 'a100-80-sxm' }).values
const cluster = resolveCluster('dgx-a100')
const cases = [
  ['gpt2', { phase: 'training', batch: 8, seq: 512 }, {}],
  ['gpt2', { phase: 'training', batch: 64, seq: 1024 }, {}],
  ['llama-3.1-8b', { phase: 'prefill', batch: 16, seq: 2048 }, {}],
  ['llama-3.1-8b', { phase: 'training', batch: 1, seq: 4096 }, { tp: 8 }],
  ['llama-3.1-8b', { phase: 'prefill', batch: 4, seq: 2048 }, { tp: 4 }],
  ['llama-3.1-8b', { phase: 'decode', batch: 1, seq: 512, steps: 1 }, {}],
] as const
const predictors = cases.map(([model, build, degrees]) => {
  const { program, operators } = planned(model, build, degrees, {})
  return (efficiency: Efficiency) =>
    simulate(program, operators, machineOf(cluster, program.mesh, { ...usualEngine, efficiency })).seconds
})
const measuredWith = (truth: Efficiency) => predictors.map((predict) => ({ seconds: predict(truth), predict }))

describe('a calibration', () => {
  const truth: Efficiency = { ...start, matmul: 0.7, memory: 0.62 }

  it('finds the constants with which times were made, and what they do not tell stays', () => {
    const { values, settled, after } = calibrate(start, measuredWith(truth))
    expect(Math.abs(values.matmul / truth.matmul - 1)).toBeLessThan(0.05)
    // Element-wise kernels alone tell it, beside what they are launched with.
    expect(Math.abs(values.memory / truth.memory - 1)).toBeLessThan(0.1)
    for (const error of after) expect(Math.abs(error)).toBeLessThan(0.01)
    expect(values.matmul8).toBeCloseTo(start.matmul8, 9)
    expect(settled.matmul8).toBeCloseTo(0, 9)
    expect(values.batched).toBeCloseTo(start.batched, 9)
    expect(settled.matmul).toBeGreaterThan(0.8)
  })

  it('leaves constants alone that predict what was measured', () => {
    const { values } = calibrate(start, measuredWith(start))
    for (const [name, value] of Object.entries(values))
      expect(value, name).toBeCloseTo(start[name as keyof Efficiency], 6)
  })

  it('is not led astray by one measurement that is twice as long', () => {
    const list = measuredWith(truth).map((each, index) => (index === 4 ? { ...each, seconds: 2 * each.seconds } : each))
    const { values } = calibrate(start, list)
    expect(Math.abs(values.matmul / truth.matmul - 1)).toBeLessThan(0.1)
  })

  it('says which constants end at the most that they can be, and that measurements settled them', () => {
    // Sooner than the weights of a step of decode can be read.
    const fast = measuredWith({ ...start, reading: 1 }).map((each) => ({ ...each, seconds: 0.93 * each.seconds }))
    const { values, settled, bounded } = calibrate(start, fast.slice(-1))
    expect([values.reading, bounded]).toEqual([1, ['reading']])
    expect(settled.reading).toBeGreaterThan(0.5)
    expect(calibrate(start, measuredWith(truth)).bounded).toEqual([])
  })

  it('refuses what is no time', () => {
    expect(() => calibrate(start, [])).toThrowError(expect.objectContaining({ code: 'CALIBRATE' }))
    expect(() => calibrate(start, [{ seconds: 0, predict: () => 1 }])).toThrowError(
      expect.objectContaining({ code: 'CALIBRATE' }),
    )
  })
})
