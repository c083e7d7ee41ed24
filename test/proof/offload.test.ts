import { unroll } from '@shardloom/core/unroll'
import { verifyProgram } from '@shardloom/core/verify'
import type { Offload } from '@shardloom/models'
import { measure, savedTensors } from '@shardloom/simulator'
import { describe, expect, test } from 'vitest'
import { type PlannedOptions, planned } from '../../packages/core/test/planned.js'
import { into } from '../../packages/core/test/trace.js'
import { architectures, dense, experts, grouped, latent, layerOf, modelOf } from './architectures.js'
import { phases, prove } from './prove.js'
import { and, context, sequence, ulysses } from './strategies.js'

const away = (offload: Offload, more: PlannedOptions = {}): PlannedOptions => ({ models: { offload }, ...more })
const build = { ...phases.training, batch: 2, seq: 6, attention: 'materialised' } as const

describe.each(architectures.map((model) => [model.name, model] as const))('%s, saved in host memory', (_, model) => {
  test('is one device that keeps everything', () => {
    for (const [degrees, options] of [
      [{ tp: 3 }, away('activations')],
      [{ dp: 2, tp: 4 }, { models: { offload: { prefetch: 0 }, recompute: 'full' } }],
      [{ dp: 2, tp: 3 }, away({ prefetch: 0 }, and(sequence))],
      [{ cp: 3 }, away('activations', and(context))],
      [{ ulysses: 2 }, away('activations', and(ulysses))],
    ] as const) {
      const { program, operators } = prove(model, build, degrees, options)
      for (const rule of verifyProgram(program, operators)) expect(rule.violations).toEqual([])
    }
  })
})

describe('offload', () => {
  const model = modelOf('mixed', { dense: layerOf(grouped, dense), moe: layerOf(latent, experts) })
  const plan = (offload: Offload) => {
    const { program, operators } = planned(model, build, { tp: 2 }, away(offload))
    const saved = savedTensors(program, operators).filter(({ per }) => per.includes('layer'))
    return { program, saved, measured: measure(program, operators) }
  }
  const bytes = (saved: ReturnType<typeof plan>['saved'], host: boolean) =>
    saved.reduce((sum, each) => (each.host === host ? sum + each.bytes : sum), 0)

  test('moves what layers save, once there and once back', () => {
    const [none, all] = [plan('none'), plan('activations')]
    expect(bytes(all.saved, false)).toBe(0)
    expect(bytes(all.saved, true)).toBe(bytes(none.saved, false))
    expect(none.saved.filter(({ tensor }) => tensor === 'forward/layers/x').map(({ body }) => body)).toEqual([
      'dense',
      'moe',
    ])
    const moved = BigInt(bytes(all.saved, true)) * 2n // microbatches; each kind of layer stands once
    expect(all.measured.bytesRead - none.measured.bytesRead).toBe(moved)
    expect(all.measured.bytesWritten - none.measured.bytesWritten).toBe(moved)
    expect(all.measured.kvBytesRead).toBe(0n)
    expect(all.measured.flops).toBe(none.measured.flops)
    expect(all.measured.nodes.memory).toBe(BigInt(all.saved.length * 2 * 2))
    expect(all.measured.nodes.communication).toBe(none.measured.nodes.communication)
  })

  test('of some operators alone', () => {
    const { saved } = plan({ where: { module: ['ffn', 'moe'] } })
    const hosts = saved.filter(({ host }) => host)
    expect(hosts.length).toBeGreaterThan(3)
    expect(hosts.every(({ version }) => /\/(ffn|moe)\//.test(version))).toBe(true)
    expect(saved.some(({ host, version }) => !host && version.includes('/attention/'))).toBe(true)
  })

  test('a reload waits for the layer so many ahead of its own, in whichever kind of layer that is', () => {
    const layers = 4
    const deep = {
      ...model,
      order: {
        runs: [
          { layer: 'dense', count: 1 },
          { layer: 'moe', count: layers - 1 },
        ],
      },
    }
    const deepPlan = (offload: Offload) => planned(deep, build, { tp: 2 }, away(offload))
    const free = deepPlan({ prefetch: layers })
    expect(deepPlan('activations').program.items).toEqual(deepPlan({ prefetch: 1 }).program.items)
    for (const prefetch of [0, 1, 2]) {
      const { program, operators } = deepPlan({ prefetch })
      for (const rule of verifyProgram(program, operators)) expect(rule.violations).toEqual([])
      const graph = unroll(program)
      let [held, reloads] = [0, 0]
      for (let node = 0; node < graph.nodeCount; node++) {
        if (graph.templates[graph.template[node] ?? 0]?.op !== 'reload') continue
        reloads++
        const layer = Number(/layer=(\d+)/.exec(graph.idOf(node))?.[1])
        const waits = into(graph, node).filter((edge) => edge.startsWith('temporal '))
        if (waits.length > 0) held++
        for (const wait of waits) {
          expect(wait).toContain(`layer=${layer + prefetch + 1}]`)
          expect(wait).toContain(/microbatch=\d/.exec(graph.idOf(node))?.[0])
        }
        expect(waits).toHaveLength(layer + prefetch + 1 < layers ? 1 : 0)
      }
      expect(held).toBeGreaterThan(5)
      expect(held).toBeLessThan(reloads)
      const [bound, unbound] = [measure(program, operators), measure(free.program, free.operators)]
      expect(bound.edges.temporal - unbound.edges.temporal).toBe(BigInt(held))
      expect(bound.edges.data).toBe(unbound.edges.data)
    }
  })

  test('that would change nothing is refused', () => {
    for (const [offload, phase] of [
      ['activations', phases.prefill],
      [{ where: { name: 'nobody' } }, build],
    ] as const)
      expect(() => planned(model, phase, {}, away(offload))).toThrow(/^`offload` changes nothing: /)
  })
})
