import { resolveCluster } from '@shardloom/cluster'
import { describe, expect, it } from 'vitest'
import { planned } from '../../core/test/planned.js'
import { machineOf, simulate, simulateRolled, stepOf } from '../src/index.js'

/** Ten digits of every number in a value. */
function rounded(value: unknown): unknown {
  if (typeof value === 'number') return Number(value.toPrecision(10))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, rounded(each)]))
}

const llama = 'llama-3.1-8b'
const training = (batch: number, microbatches: number) =>
  ({ phase: 'training', batch, seq: 1024, microbatches }) as const
const cases = [
  [llama, training(8, 8), { pp: 4 }, { pp: { schedule: '1f1b' } }],
  [llama, training(8, 8), { pp: 4, tp: 2 }, { pp: { schedule: 'gpipe' } }],
  [llama, training(8, 8), { pp: 2, tp: 2 }, { pp: { schedule: 'interleaved1f1b', virtual: 4 } }],
  [llama, training(8, 8), { pp: 4 }, { pp: { schedule: 'zbh1' } }],
  [llama, training(16, 16), { pp: 4 }, { pp: { schedule: 'dualpipe' } }],
  [llama, training(16, 8), { pp: 4, dp: 2 }, { pp: { schedule: '1f1b' }, dp: { zero: 3 } }],
  [
    llama,
    training(16, 8),
    { pp: 4, dp: 2 },
    { pp: { schedule: 'interleaved1f1b', virtual: 2 }, dp: { zero: 3, prefetch: 1 } },
  ],
  [llama, training(32, 4), { dp: 8 }, { dp: { zero: 3, prefetch: 1 } }],
  [llama, training(32, 4), { dp: 4, tp: 2 }, { dp: { zero: 2 } }],
  ['mixtral-8x7b', training(32, 4), { dp: 4, ep: 4 }, {}],
  [llama, { phase: 'decode', batch: 8, seq: 1024, steps: 6 }, { tp: 8 }, {}],
] as const

describe('a step in which equal blocks run once', () => {
  it.each(cases.map((each) => [JSON.stringify(each), each] as const))(
    '%s is the one in which all nodes run',
    (_, [model, build, degrees, options]) => {
      const { program, operators } = planned(model, build, degrees, options)
      const machine = machineOf(resolveCluster('dgx-h100'), program.mesh)
      const step = simulateRolled(program, operators, machine)
      expect(step).toBeDefined()
      expect(rounded(step)).toEqual(rounded(stepOf(simulate(program, operators, machine), program, operators)))
    },
  )
})
