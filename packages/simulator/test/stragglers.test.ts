import { resolveCluster } from '@shardloom/cluster'
import type { Plugin, Program } from '@shardloom/core'
import { sequenceParallel } from '@shardloom/strategy-sp'
import { describe, expect, it } from 'vitest'
import { planned } from '../../core/test/planned.js'
import { breakdown, machineOf, runStep, simulate, usualEngine } from '../src/index.js'

const withSequence = (positions: 'zigzag' | 'contiguous') => (plugins: readonly Plugin[]) => [
  ...plugins,
  sequenceParallel({ positions }),
]

const training = { phase: 'training', batch: 8, seq: 512, microbatches: 4 } as const
const { program, operators } = planned('llama-3.1-8b', training, { pp: 2, dp: 2, tp: 2 }, { pp: { schedule: '1f1b' } })

function stepWith(slowdown: Readonly<Record<number, number>>, of: Program = program, free: readonly string[] = []) {
  const machine = machineOf(resolveCluster('dgx-h100'), of.mesh, { ...usualEngine, slowdown, free })
  const timeline = simulate(of, operators, machine)
  return { timeline, machine, ranks: breakdown(timeline, of.mesh) }
}

describe('a slow rank', () => {
  const even = stepWith({})

  it('that is as fast as the others changes nothing', () => {
    expect(stepWith({ 3: 1 }).timeline.seconds).toBe(even.timeline.seconds)
    expect(stepWith({ 3: 1 }).timeline.ranks).toEqual([0, 4])
  })

  it('never makes the step faster, and the slower it is the longer that takes', () => {
    let last = even.timeline.seconds
    for (const factor of [1.1, 1.5, 2]) {
      const { seconds } = stepWith({ 3: factor }).timeline
      expect(seconds).toBeGreaterThan(last)
      last = seconds
    }
  })

  it('computes longer itself, and those that wait for it do not', () => {
    const communication = ['pp', 'dp', 'tp']
    const plain = stepWith({}, program, communication).ranks[0]?.computing ?? 0
    const { ranks } = stepWith({ 1: 2 }, program, communication)
    // Its partner waits in each layer, the other replica at the end of the step: each kind of rank is there, in both stages.
    expect(ranks.map(({ rank }) => rank)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    expect(ranks[1]?.computing).toBeCloseTo(2 * plain, 9)
    expect(ranks[0]?.computing).toBeCloseTo(plain, 9)
    // Its tensor-parallel partner waits in every layer, so that the two end their collectives together.
    expect(ranks[0]?.waiting ?? 0).toBeGreaterThan((ranks[1]?.waiting ?? 0) + 0.9 * plain)
  })

  it('is as if all were where all are slow: computing takes as many times as long', () => {
    const communication = ['pp', 'dp', 'tp']
    const all = Object.fromEntries(Array.from({ length: 8 }, (_, rank) => [rank, 3]))
    const plain = stepWith({}, program, communication).timeline.seconds
    expect(stepWith(all, program, communication).timeline.seconds).toBeCloseTo(3 * plain, 8)
  })

  it('of another replica is waited for at the end of the step alone', () => {
    const replicas = planned('gpt2', training, { dp: 4 })
    const machine = machineOf(resolveCluster('dgx-h100'), replicas.program.mesh, {
      ...usualEngine,
      slowdown: { 2: 1.5 },
    })
    const timeline = simulate(replicas.program, replicas.operators, machine)
    const step = runStep(replicas.program, replicas.operators, machine)
    expect(timeline.ranks).toEqual([0, 2])
    expect(step.seconds).toBeCloseTo(timeline.seconds, 12)
    const [fast, slow] = breakdown(timeline, replicas.program.mesh)
    expect(slow?.waiting).toBeCloseTo(0, 9)
    // The fast one reduces what both have, in pieces, while it waits.
    const idle = (fast?.waiting ?? 0) + (fast?.exposed['dp'] ?? 0)
    expect(idle).toBeGreaterThan(0.4 * (fast?.computing ?? 0))
    expect(fast?.waiting).toBeGreaterThan(0.5 * idle)
  })

  it('must be a rank of the mesh, and slow by a positive number', () => {
    expect(() => stepWith({ 8: 2 })).toThrow(expect.objectContaining({ code: 'RANK' }))
    expect(() => stepWith({ 0: 0 })).toThrow(expect.objectContaining({ code: 'SLOWDOWN' }))
  })
})

describe('uneven work', () => {
  const cluster = resolveCluster('dgx-h100')
  const secondsOf = (made: ReturnType<typeof planned>) => {
    const timeline = simulate(made.program, made.operators, machineOf(cluster, made.program.mesh))
    return { ranks: timeline.ranks, seconds: timeline.seconds }
  }

  it('of runs of positions is that of the last rank, and zigzag evens it out (Dubey et al. 2024, section 3.3.2)', () => {
    const build = { ...training, seq: 8192, attention: 'flash', causal: 'halved' } as const
    const runs = planned('llama-3.1-8b', build, { cp: 4 }, { plugins: withSequence('contiguous') })
    const zigzag = planned('llama-3.1-8b', build, { cp: 4 }, { plugins: withSequence('zigzag') })
    // Each of the ranks has other pairs.
    expect(secondsOf(runs).ranks).toEqual([0, 1, 2, 3])
    expect(secondsOf(zigzag).ranks).toEqual([0])
    expect(secondsOf(runs).seconds).toBeGreaterThan(secondsOf(zigzag).seconds)
  })

  it('of experts is that of the ranks with the most tokens; even loads change nothing', () => {
    const made = planned('mixtral-8x7b', { ...training, batch: 16 }, { dp: 4, ep: 4 })
    const loaded = (experts: readonly number[]) => ({ ...made, program: { ...made.program, loads: { experts } } })
    const plain = secondsOf(made).seconds
    expect(secondsOf(loaded([1, 1, 1, 1, 1, 1, 1, 1])).seconds).toBeCloseTo(plain, 9)
    const skewed = secondsOf(loaded([1, 1, 1, 1, 1, 1, 5, 5]))
    expect(skewed.ranks).toEqual([0, 3])
    expect(skewed.seconds).toBeGreaterThan(plain)
  })
})
