import { resolveCluster } from '@shardloom/cluster'
import { ShardloomError } from '@shardloom/core'
import { findPreset } from '@shardloom/models'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { planned } from '../../core/test/planned.js'
import { machineOf, simulate, simulateRolled, stepOf, usualEngine } from '../src/index.js'

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
  [llama, training(16, 8), { pp: 4, dp: 2 }, { pp: { schedule: '1f1b' }, dp: { zero: 3 } }],
  [
    llama,
    training(16, 8),
    { pp: 4, dp: 2 },
    { pp: { schedule: 'interleaved1f1b', virtual: 2 }, dp: { zero: 3, prefetch: 1 } },
  ],
  [llama, training(16, 8), { pp: 4, dp: 2 }, { pp: { schedule: 'interleaved1f1b', virtual: 2 }, dp: { zero: 1 } }],
  [llama, training(32, 4), { dp: 8 }, { dp: { zero: 3, prefetch: 1 } }],
  [llama, training(32, 4), { dp: 4, tp: 2 }, { dp: { zero: 2 } }],
  [llama, { ...training(32, 4), loss: 'materialised' }, { dp: 4, tp: 2 }, { dp: { zero: 2 } }],
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

  it('is none where two actions take turns', () => {
    const { program, operators } = planned(llama, training(16, 16), { pp: 4 }, { pp: { schedule: 'dualpipe' } })
    expect(simulateRolled(program, operators, machineOf(resolveCluster('dgx-h100'), program.mesh))).toBeUndefined()
  })

  const few = ['llama-3.1-8b', 'mixtral-8x7b'].map((name) => ({
    ...findPreset(name),
    order: { runs: [{ layer: 'layer', count: 8 }] },
  }))
  const mixture = fc.record({
    model: fc.constantFrom(...few),
    schedule: fc.constantFrom('gpipe', '1f1b', 'interleaved1f1b', 'zbh1', 'zbv', 'dualpipe', 'dualpipev'),
    virtual: fc.constantFrom(1, 2),
    pp: fc.constantFrom(1, 2, 4),
    tp: fc.constantFrom(1, 2),
    dp: fc.constantFrom(1, 2),
    zero: fc.constantFrom(0, 1, 2, 3),
    prefetch: fc.constantFrom(undefined, 0, 1, 2),
    gather: fc.constantFrom(undefined, 'use', 'keep', 'step'),
    microbatches: fc.integer({ min: 3, max: 9 }),
    cluster: fc.constantFrom('dgx-a100', 'dgx-h100', 'l40s-pcie'),
    blocking: fc.subarray(['tp', 'pp', 'dp']),
    fused: fc.subarray(['tp', 'dp']),
    slow: fc.constantFrom(1, 1.25),
  })

  it('is that in which all nodes run, for any mixture of strategies, schedules and engines', () => {
    let compared = 0
    fc.assert(
      fc.property(mixture, ({ model, schedule, virtual, pp, tp, dp, zero, prefetch, gather, ...rest }) => {
        const { microbatches, cluster, blocking, fused, slow } = rest
        const build = { phase: 'training', batch: dp * microbatches, seq: 256, microbatches } as const
        const degrees = { ...(pp > 1 && { pp }), ...(dp > 1 && { dp }), ...(tp > 1 && { tp }) }
        const gathered = zero === 3 && { ...(prefetch !== undefined && { prefetch }), ...(gather && { gather }) }
        let made: ReturnType<typeof planned>
        try {
          const pipelined = { schedule, ...(schedule === 'interleaved1f1b' && { virtual }) }
          // JSON of options: no types say which of them go together.
          const options = { pp: pipelined, dp: { ...(dp > 1 && { zero }), ...(dp > 1 && gathered) } } as object
          made = planned(model, build, degrees, options)
        } catch (error) {
          if (error instanceof ShardloomError) return
          throw error
        }
        const { program, operators } = made
        const engine = {
          ...usualEngine,
          blocking,
          fused: Object.fromEntries(fused.map((axis) => [axis, 1])),
          slowdown: slow === 1 ? {} : { [program.mesh.world - 1]: slow },
        }
        const machine = machineOf(resolveCluster(cluster), program.mesh, engine)
        const step = simulateRolled(program, operators, machine)
        if (!step) return
        compared++
        expect(rounded(step)).toEqual(rounded(stepOf(simulate(program, operators, machine), program, operators)))
      }),
      { numRuns: 60, seed: 5 },
    )
    expect(compared).toBeGreaterThan(20)
  })
})
