import { resolveCluster } from '@shardloom/cluster'
import { describe, expect, it } from 'vitest'
import { planned } from '../../core/test/planned.js'
import { breakdown, machineOf, memory, simulate, simulateRolled, type Timeline, ticksPerSecond } from '../src/index.js'

/** Seconds in which each stream of a rank is busy, and when its last node ends. */
function streamsOf({ graph, times, streamOf }: Timeline, rank: number) {
  const busy: Record<string, number> = {}
  let finish = 0
  for (let node = 0; node < graph.nodeCount; node++) {
    const stream = streamOf(node)
    if (graph.rankOf(node) !== rank || stream === 'none') continue
    const [start, end] = [times.start[node] ?? 0, times.end[node] ?? 0]
    busy[stream] = (busy[stream] ?? 0) + (end - start) / ticksPerSecond
    finish = Math.max(finish, end / ticksPerSecond)
  }
  return { busy: Object.fromEntries(Object.entries(busy).filter(([, seconds]) => seconds > 0)), finish }
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
      const timeline = simulate(program, operators, machine)
      const step = simulateRolled(program, operators, machine)
      expect(step).toBeDefined()
      if (!step) return
      expect(step.seconds).toBeCloseTo(timeline.seconds, 12)
      const stages = breakdown(timeline, program.mesh)
      const memories = memory(program, operators, timeline)
      step.ranks.forEach((rank, index) => {
        const whole = { ...stages[index], ...streamsOf(timeline, rank.rank) }
        const { activations, ...own } = rank
        const numbers = (value: unknown): unknown =>
          typeof value === 'number'
            ? Number(value.toPrecision(10))
            : typeof value === 'object' && value !== null
              ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, numbers(each)]))
              : value
        expect(numbers(own)).toEqual(numbers(whole))
        expect(activations.bytes).toBe(memories[index]?.parts.activations)
        expect(activations.atSeconds).toBeCloseTo(memories[index]?.atSeconds ?? 0, 12)
      })
    },
  )
})
