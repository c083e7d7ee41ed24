import { resolveCluster } from '@shardloom/cluster'
import { machineOf, memory, simulate } from '@shardloom/simulator'
import { describe, expect, it } from 'vitest'
import { planned } from '../../core/test/planned.js'
import { chromeTrace } from '../src/chrome-trace.js'

interface TraceEvent {
  readonly ph: string
  readonly name: string
  readonly cat: string
  readonly pid: number
  readonly tid: number
  readonly ts: number
  readonly dur: number
  readonly id: number
  readonly args: Readonly<Record<string, string | number>>
}

const cases = [
  [{ phase: 'training', batch: 8, seq: 512, microbatches: 8 }, { pp: 4, tp: 2 }, { pp: { schedule: '1f1b' } }],
  [{ phase: 'training', batch: 8, seq: 512, microbatches: 8 }, { pp: 4 }, { pp: { schedule: 'dualpipe' } }],
  [{ phase: 'decode', batch: 8, seq: 512, steps: 2 }, { tp: 4 }, {}],
] as const

describe.each(cases)('a trace of %j on %j', (build, degrees, options) => {
  const { program, operators } = planned('gpt2', build, degrees, { ...options, uneven: 'ragged' })
  const timeline = simulate(program, operators, machineOf(resolveCluster('dgx-h100'), program.mesh))
  const stages = build.phase === 'training' ? memory(program, operators, timeline) : []
  const text = [...chromeTrace(timeline, program, { memory: stages })].join('')
  const { traceEvents: events }: { traceEvents: TraceEvent[] } = JSON.parse(text)
  const slices = events.filter(({ ph }) => ph === 'X')

  it('has a slice for every node that takes a stream, and for every recv, in microseconds', () => {
    const { graph, times } = timeline
    let expected = 0
    let longest = 0
    for (let node = 0; node < graph.nodeCount; node++) {
      const { op, communication } = graph.templates[graph.template[node] ?? 0] ?? {}
      const received = op === 'recv' && communication?.shift === undefined
      if (timeline.streamOf(node) === 'none' && !received) continue
      expected++
      longest = Math.max(longest, times.end[node] ?? 0)
    }
    expect(slices.length).toBe(expected)
    expect(Math.max(...slices.map(({ ts, dur }) => ts + dur))).toBeCloseTo(longest / 1e6, 6)
  })

  it('never has two slices at once on one thread', () => {
    const ends = new Map<string, number>()
    for (const { pid, tid, ts, dur } of slices.toSorted((a, b) => a.ts - b.ts || a.dur - b.dur)) {
      const key = `${pid} ${tid}`
      expect(ts).toBeGreaterThanOrEqual((ends.get(key) ?? 0) - 1e-6)
      ends.set(key, ts + dur)
    }
  })

  it('names every process and thread, and leads each arrow from a send to a recv', () => {
    const names = events.filter(({ name }) => name === 'thread_name').map(({ pid, tid }) => `${pid} ${tid}`)
    for (const { pid, tid } of slices) expect(names).toContain(`${pid} ${tid}`)
    const [starts, ends] = ['s', 'f'].map((kind) => events.filter(({ ph }) => ph === kind))
    expect(starts?.map(({ id }) => id)).toEqual(ends?.map(({ id }) => id))
    expect(starts?.length).toBe(slices.filter(({ args }) => /\/recv~?$/.test(String(args['node']))).length)
    const counters = events.filter(({ ph }) => ph === 'C')
    expect(counters.length).toBe(stages.reduce((sum, { curve }) => sum + curve.seconds.length, 0))
  })

  it('counts all that a rank holds, parameters and optimizer state too: at most its peak', () => {
    for (const [pid, { peakBytes }] of stages.entries()) {
      const own = events.filter((event) => event.ph === 'C' && event.pid === pid)
      const sums = own.map(({ args }) => Object.values(args).reduce<number>((sum, bytes) => sum + Number(bytes), 0))
      expect(Math.max(...sums)).toBeCloseTo(peakBytes, 3)
      expect(own[0]?.args['optimizer']).toBeGreaterThan(0)
    }
  })
})
