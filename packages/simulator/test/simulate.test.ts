import { resolveCluster } from '@shardloom/cluster'
import type { OperatorNode, Program } from '@shardloom/core'
import { unroll } from '@shardloom/core/unroll'
import { findPreset } from '@shardloom/models'
import { describe, expect, it } from 'vitest'
import { planned } from '../../core/test/planned.js'
import {
  breakdown,
  criticalPath,
  machineOf,
  representatives,
  runEvents,
  runStep,
  simulate,
  usualEngine,
} from '../src/index.js'

const training = { phase: 'training', batch: 8, seq: 512, microbatches: 8 } as const

/** A pipeline in which one node of each layer takes `forward` ticks and one of its backward `backward`, and nothing else takes time. */
function uniform(program: Program, forward: number, backward: number) {
  const graph = unroll(program, { ranks: representatives(program) })
  const costOf = (id: string) =>
    /^forward\/layer.*\/ffn\/down$/.test(id) ? forward : /^backward\/layer.*\/ffn\/down\.input$/.test(id) ? backward : 0
  const costs = graph.templates.map(({ id }) => costOf(id))
  const ticks = Float64Array.from(graph.template, (template) => costs[template] ?? 0)
  const lane = Int32Array.from(ticks, (cost, node) => (cost > 0 ? graph.ranks.indexOf(graph.rankOf(node)) : -1))
  const times = runEvents({ ...graph, ticks, lane, ranks: graph.ranks.length, streams: 1, contention: 0 })
  return { graph, times }
}

describe('a pipeline of like stages', () => {
  const cases = [
    ['gpipe', 4, 8],
    ['1f1b', 4, 8],
    ['1f1b', 2, 4],
    ['zbh1', 4, 8],
  ] as const

  it.each(cases)('%s on %i ranks takes as long as its schedule says', (schedule, pp, microbatches) => {
    const { program } = planned(
      'gpt2',
      { ...training, microbatches, batch: microbatches },
      { pp },
      { pp: { schedule } },
    )
    const layers = 12 / pp
    const { times } = uniform(program, 1, 2)
    // (m + p − 1)(F + B) (Narayanan et al. 2021, section 2.2); with W by itself, no node of I is shorter than here.
    expect(times.ran).toBe(times.start.length)
    if (schedule !== 'zbh1') expect(times.makespan).toBe((microbatches + pp - 1) * 3 * layers)
    else expect(times.makespan).toBeLessThanOrEqual((microbatches + pp - 1) * 3 * layers)
  })
})

describe('a step in time', () => {
  const cases = [
    ['llama-3.1-8b', { phase: 'training', batch: 8, seq: 2048 }, { dp: 2, tp: 4 }, {}],
    [
      'llama-3.1-8b',
      { phase: 'training', batch: 8, seq: 2048, microbatches: 4 },
      { pp: 4, tp: 2 },
      { pp: { schedule: '1f1b' } },
    ],
    ['llama-3.1-8b', { phase: 'training', batch: 8, seq: 2048 }, { dp: 8 }, { dp: { zero: 3, prefetch: 1 } }],
    ['mixtral-8x7b', { phase: 'prefill', batch: 8, seq: 1024 }, { dp: 4, ep: 4 }, {}],
    ['llama-3.1-8b', { phase: 'decode', batch: 8, seq: 1024, steps: 3 }, { tp: 8 }, {}],
  ] as const
  const runs = cases.map(([model, build, degrees, options]) => {
    const { program, operators } = planned(model, build, degrees, options)
    const machine = machineOf(resolveCluster('dgx-h100'), program.mesh)
    return { program, operators, machine, timeline: simulate(program, operators, machine) }
  })
  const named = runs.map((run, index) => [JSON.stringify(cases[index]?.slice(0, 3)), run] as const)

  it.each(named)(
    '%s: nothing begins before what it depends on has ended, and no stream runs two nodes at once',
    (_, { timeline }) => {
      const { graph, times, streams } = timeline
      const last = new Map<string, number>()
      const order = Array.from({ length: graph.nodeCount }, (_, node) => node).sort(
        (a, b) => (times.start[a] ?? 0) - (times.start[b] ?? 0) || (times.end[a] ?? 0) - (times.end[b] ?? 0),
      )
      for (const node of order) {
        const stream = timeline.streamOf(node)
        if (stream === 'none') continue
        const key = `${graph.rankOf(node)} ${stream}`
        expect(times.start[node]).toBeGreaterThanOrEqual(last.get(key) ?? 0)
        last.set(key, times.end[node] ?? 0)
      }
      expect(streams).toContain('compute')
      for (let node = 0; node < graph.nodeCount; node++) expect(times.end[node]).toBeLessThanOrEqual(times.makespan)
    },
  )

  it.each(named)(
    '%s: computing, exposed communication and waiting add up to the step on every rank',
    (_, { timeline, program }) => {
      for (const { computing, exposed, waiting } of breakdown(timeline, program.mesh)) {
        const all = computing + waiting + Object.values(exposed).reduce((sum, seconds) => sum + seconds, 0)
        expect(all).toBeCloseTo(timeline.seconds, 9)
      }
    },
  )

  it.each(named)('%s: the critical path is as long as the step', (_, { timeline }) => {
    const sum = criticalPath(timeline).reduce((total, { seconds }) => total + seconds, 0)
    expect(sum).toBeCloseTo(timeline.seconds, 9)
  })

  it.each(named)('%s: a faster machine is never slower, and without communication only computing is left', (_, run) => {
    const { program, operators, machine, timeline } = run
    const cluster = machine.cluster
    const accelerator = { ...cluster.accelerator, memoryBandwidth: 2 * cluster.accelerator.memoryBandwidth }
    const faster = simulate(program, operators, machineOf({ ...cluster, accelerator }, program.mesh))
    expect(faster.seconds).toBeLessThanOrEqual(timeline.seconds)
    const axes = program.mesh.axes.map(({ name }) => name)
    const free = simulate(program, operators, machineOf(cluster, program.mesh, { ...usualEngine, free: axes }))
    expect(free.seconds).toBeLessThanOrEqual(timeline.seconds)
    const computing = breakdown(free, program.mesh).map((rank) => rank.computing)
    if (!program.pipeline) expect(computing[0]).toBeCloseTo(free.seconds, 9)
  })
})

describe('names of axes', () => {
  it.each([2, 4])('the exchange of tokens goes by ep and gradients by dp, at dp 4 and ep %i', (ep) => {
    const build = { phase: 'training', batch: 16, seq: 4096, microbatches: 2 } as const
    const { program, operators } = planned('mixtral-8x7b', build, { dp: 4, ep })
    const machine = machineOf(resolveCluster('dgx-h100'), program.mesh)
    const timeline = simulate(program, operators, machine)
    const streamsOf = (chosen: (node: OperatorNode) => boolean) => {
      const { graph } = timeline
      const nodes = [...graph.template.keys()].filter((node) => {
        const template = graph.templates[graph.template[node] ?? 0]
        return template?.communication && chosen(template)
      })
      return new Set(nodes.map(timeline.streamOf))
    }
    expect([...streamsOf(({ op }) => op === 'all-to-all')]).toEqual(['ep links'])
    const gradients = streamsOf(({ id }) => id.startsWith('optimizer/gradient/'))
    expect(gradients).toContain('dp state links')
    expect(gradients).not.toContain('ep links')
    for (const ranks of [breakdown(timeline, program.mesh), runStep(program, operators, machine).ranks])
      for (const { exposed } of ranks) {
        expect(exposed['ep']).toBeGreaterThan(0)
        // Gradients have backward to hide behind; tokens have not.
        expect(exposed['ep']).toBeGreaterThan(exposed['dp'] ?? 0)
      }
  })
})

describe('reductions of gradients', () => {
  it('behind the step are hidden as well as those in its only microbatch', () => {
    const [step, microbatch] = (['step', 'microbatch'] as const).map((reduce) => {
      const build = { phase: 'training', batch: 32, seq: 1024, microbatches: 1 } as const
      const { program, operators } = planned('llama-3.1-8b', build, { dp: 8 }, { dp: { zero: 0, reduce } })
      const [rank] = runStep(program, operators, machineOf(resolveCluster('dgx-h100'), program.mesh)).ranks
      return { exposed: rank?.exposed['dp'] ?? 0, busy: rank?.busy['dp state links'] ?? 0 }
    })
    expect(step).toEqual(microbatch)
    // What cannot be hidden is the reductions of what backward comes to last, the embedding: 128,256 × 4,096 of 8.03e9 parameters.
    const last = (128256 * 4096) / 8.03e9
    expect((step?.exposed ?? 0) / (step?.busy ?? 1)).toBeLessThan(1.05 * last)
  })

  it.each([
    ['1f1b', { zero: 2 }],
    ['interleaved1f1b', { zero: 2 }],
    ['zbv', { zero: 2 }],
    ['1f1b', { zero: 0, reduce: 'microbatch' }],
  ] as const)('pile up over no microbatches, however slow the links are: %s, %j', (schedule, dp) => {
    const model = { ...findPreset('llama-3.1-8b'), order: { runs: [{ layer: 'layer', count: 4 }] } }
    const [few, many] = [8, 16].map((microbatches) => {
      const build = { phase: 'training', batch: 2, seq: 128, microbatches } as const
      const pp = { schedule, ...(schedule === 'interleaved1f1b' && { virtual: 2 }) } as object
      const { program, operators } = planned(model, build, { pp: 2, dp: 2 }, { pp, dp })
      return runStep(program, operators, machineOf(resolveCluster('l40s-pcie'), program.mesh)).ranks.map((rank) => {
        // The links are too slow for what is computed beside them.
        expect(rank.busy['dp state links']).toBeGreaterThan(rank.computing)
        return rank.memory.peakBytes
      })
    })
    // FSDP2 has one reduction in flight when it makes the gradients of the next layer.
    expect(many).toEqual(few)
  })
})
