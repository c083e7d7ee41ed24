import { resolveCluster } from '@shardloom/cluster'
import { ShardloomError } from '@shardloom/core'
import { findPreset } from '@shardloom/models'
import { sequenceParallel } from '@shardloom/strategy-sp'
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
  ['mixtral-8x7b', training(32, 4), { dp: 8, ep: 4, expertTp: 2 }, {}],
  [llama, { phase: 'decode', batch: 8, seq: 1024, steps: 6 }, { tp: 8 }, {}],
  [llama, { phase: 'decode', batch: 8, seq: 1024, steps: 6, microbatches: 4 }, { pp: 4 }, {}],
  [llama, { phase: 'decode', batch: 8, seq: 1024, steps: 3, microbatches: 4 }, { tp: 2, pp: 2 }, {}],
  [llama, { phase: 'decode', batch: 8, seq: 1024, steps: 4, microbatches: 2 }, { pp: 4 }, {}],
  ['mixtral-8x7b', { phase: 'decode', batch: 16, seq: 1024, steps: 3, microbatches: 8 }, { dp: 2, ep: 2, pp: 4 }, {}],
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

  // Of a thousand steps each runs by itself: those of a year must be refused before they are laid out.
  it.each([{ pp: 4 }, { tp: 8 }])('refuses steps that are too many on %j, and says how many would do', (degrees) => {
    const build = { phase: 'decode', batch: 8, seq: 64, steps: 1_000_000, microbatches: 4 } as const
    const { microbatches: _, ...whole } = build
    const { program, operators } = planned(llama, 'pp' in degrees ? build : whole, degrees)
    const refused = () => simulateRolled(program, operators, machineOf(resolveCluster('dgx-h100'), program.mesh))
    expect(refused).toThrow(expect.objectContaining({ code: 'UNROLL_SIZE', subject: 'decode_step' }))
    expect(refused).toThrow(expect.objectContaining({ help: expect.stringMatching(/^Simulate [1-9]\d{3,} at most/) }))
  })

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

  /** A Llama with as many layers as chunks have, which split the sequence over the ranks of tp. */
  const unevenly = (layers: readonly number[], degrees: Readonly<Record<string, number>>, pp: object, zero = 1) => {
    const count = layers.reduce((sum, each) => sum + each, 0)
    const model = { ...findPreset(llama), order: { runs: [{ layer: 'layer', count }] } }
    const { dp = 1 } = degrees
    const build = { phase: 'training', batch: 8 * dp, seq: 512, microbatches: 8 } as const
    // JSON of options: no types say which of them go together.
    const options = { pp: { ...pp, layers }, ...(dp > 1 && { dp: { zero } }) } as object
    return planned(model, build, degrees, {
      ...options,
      plugins: (plugins) => [...plugins, sequenceParallel({ tensorRanks: true })],
    })
  }
  const both = (
    { program, operators }: ReturnType<typeof planned>,
    engine: Partial<typeof usualEngine> = {},
    cluster = 'dgx-h100',
  ) => {
    const machine = machineOf(resolveCluster(cluster), program.mesh, { ...usualEngine, ...engine })
    const step = simulateRolled(program, operators, machine)
    return [step, step && stepOf(simulate(program, operators, machine), program, operators)] as const
  }

  it.each([
    // The rank with the embedding is done long before what it sends has been scattered: all others wait for that.
    [{ schedule: 'zbv' }, [0, 1, 1, 1, 1, 1, 1, 0], { pp: 4, tp: 2 }],
    [{ schedule: 'zbv' }, [0, 1, 1, 1, 1, 1, 1, 1], { pp: 4, tp: 4 }],
    [{ schedule: 'zbv' }, [1, 1, 2, 2, 1, 2, 1, 0], { pp: 4, dp: 2, tp: 2 }],
    [{ schedule: 'interleaved1f1b', virtual: 2 }, [0, 1, 1, 2, 1, 1, 1, 0], { pp: 4, tp: 2 }],
    [{ schedule: '1f1b' }, [0, 2, 1, 0], { pp: 4, dp: 2, tp: 2 }],
  ])('runs equal blocks once where stages of %j have %j layers, on %j', (pp, layers, degrees) => {
    const [step, all] = both(unevenly(layers, degrees, pp))
    expect(step).toBeDefined()
    expect(rounded(step)).toEqual(rounded(all))
  })

  it('is that in which all nodes run, whichever layers stages have', () => {
    const pipeline = fc.constantFrom(
      { schedule: 'gpipe', virtual: 1 },
      { schedule: '1f1b', virtual: 1 },
      { schedule: 'interleaved1f1b', virtual: 2 },
      { schedule: 'zbh1', virtual: 1 },
      { schedule: 'zbv', virtual: 2 },
    )
    const uneven = fc.record({
      pipeline,
      pp: fc.constantFrom(2, 4),
      tp: fc.constantFrom(2, 4),
      dp: fc.constantFrom(1, 2),
      zero: fc.constantFrom(0, 1, 2, 3),
      layers: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 8, maxLength: 8 }),
      ends: fc.constantFrom<readonly number[]>([0, 0], [0, 1], [2, 0]),
      blocking: fc.subarray(['tp', 'pp']),
      cluster: fc.constantFrom('dgx-a100', 'dgx-h100'),
    })
    let compared = 0
    fc.assert(
      fc.property(uneven, ({ pipeline: { schedule, virtual }, pp, tp, dp, zero, layers, ends, blocking, cluster }) => {
        const [first = 0, last = 0] = ends
        const all = [first, ...layers.slice(0, pp * virtual - 2), last]
        if (all.every((each) => each === 0)) return
        const options = { schedule, ...(schedule === 'interleaved1f1b' && { virtual }) }
        const made = unevenly(all, { pp, ...(dp > 1 && { dp }), tp }, options, zero)
        const [step, whole] = both(made, { blocking }, cluster)
        if (!step) return
        compared++
        expect(rounded(step)).toEqual(rounded(whole))
      }),
      { numRuns: 40, seed: 3 },
    )
    expect(compared).toBeGreaterThan(25)
  })
})
