import { resolveCluster } from '@shardloom/cluster'
import type { Program } from '@shardloom/core'
import { describe, expect, it } from 'vitest'
import { planned } from '../../core/test/planned.js'
import { runEvents } from '../src/event-loop.js'
import { machineOf, simulate, stepOf, usualEngine } from '../src/index.js'

describe('an overlapped pair on one device', () => {
  /** Two halves of a kernel, a collective behind it, and a kernel that waits for that. */
  const half = (base: number) => [[], [base], [base + 1]]
  const edges = [...half(0), ...half(3), [2, 5]]
  const edgeStart = Uint32Array.from([0, ...edges].map((_, node) => edges.slice(0, node).flat().length))
  const work = {
    nodeCount: edges.length,
    edgeStart,
    edgeSource: Uint32Array.from(edges.flat()),
    ticks: Float64Array.from([10, 10, 10, 10, 10, 10, 10]),
    lane: Int32Array.from([0, 1, 0, 0, 1, 0, 0]),
    ranks: 1,
    streams: 2,
    contention: 0,
  }

  it('computes the one half while the other communicates', () => {
    // One behind the other each of the two takes 30, and what comes behind 10.
    expect(runEvents(work).makespan).toBe(70)
    const { makespan, start, ran } = runEvents({ ...work, pairs: [[0, 3, 6]] })
    expect([ran, makespan]).toEqual([7, 50])
    expect([...start]).toEqual([0, 10, 20, 10, 20, 30, 40])
  })

  it('ends with whichever half ends last', () => {
    const ticks = Float64Array.from([10, 50, 10, 10, 10, 10, 10])
    const { start } = runEvents({ ...work, ticks, pairs: [[0, 3, 6]] })
    // The second half waits for the link that the first one has.
    expect([start[2], start[5], start[6]]).toEqual([60, 70, 80])
  })
})

describe('the pairs of DualPipe (DeepSeek-AI 2024, section 3.2.1)', () => {
  const alone = (program: Program): Program => {
    if (!program.pipeline) return program
    const actions = program.pipeline.actions.map((list) => list.replace(/\(([^;]+);([^)]+)\)OVERLAP_F_B/g, '$1,$2'))
    return { ...program, pipeline: { ...program.pipeline, actions } }
  }
  const cases = [
    ['mixtral-8x7b', { pp: 4, dp: 2, ep: 2 }, 'dualpipe', 'ep'],
    ['mixtral-8x7b', { pp: 4, dp: 2, ep: 2 }, 'dualpipev', 'ep'],
    ['llama-3.1-8b', { pp: 4, tp: 2 }, 'dualpipev', 'tp'],
  ] as const

  it.each(cases)(
    'of %s, %j, %s hide %s, which takes as long as before, as does what is computed',
    (model, degrees, schedule, axis) => {
      const build = { phase: 'training', batch: 32, seq: 2048, microbatches: 16 } as const
      const { program, operators } = planned(model, build, degrees, { pp: { schedule } })
      const machine = machineOf(resolveCluster('dgx-h100'), program.mesh, usualEngine)
      const values = { ...machine.constants.values, contention: 0 }
      const still = { ...machine, constants: { ...machine.constants, values } }
      const run = (of: Program) => stepOf(simulate(of, operators, still), of, operators)
      const [pairs, turns] = [run(program), run(alone(program))]
      pairs.ranks.forEach((rank, index) => {
        const other = turns.ranks[index]
        expect(rank.computing).toBeCloseTo(other?.computing ?? 0, 9)
        expect(rank.busy[`${axis} links`]).toBeCloseTo(other?.busy[`${axis} links`] ?? 0, 9)
        expect(rank.exposed[axis]).toBeLessThan(0.85 * (other?.exposed[axis] ?? 0))
        const whole = Object.values(rank.exposed).reduce((sum, each) => sum + each, rank.computing + rank.waiting)
        expect(whole).toBeCloseTo(pairs.seconds, 9)
      })
      expect(pairs.seconds).toBeLessThan(turns.seconds)
    },
  )
})
