import { nodesOf } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import type { Offload } from '@shardloom/models'
import { measure, savedTensors } from '@shardloom/simulator'
import { describe, expect, test } from 'vitest'
import { type PlannedOptions, planned } from '../../packages/core/test/planned.js'
import { architectures, dense, experts, grouped, latent, layerOf, modelOf } from './architectures.js'
import { phases, prove } from './prove.js'
import { and, context, sequence, ulysses } from './strategies.js'

const away = (offload: Offload, more: PlannedOptions = {}): PlannedOptions => ({ models: { offload }, ...more })
const build = { ...phases.training, batch: 2, seq: 6, attention: 'materialised' } as const

describe.each(architectures.map((model) => [model.name, model] as const))('%s, saved in host memory', (_, model) => {
  test('is one device that keeps everything', () => {
    for (const [degrees, options] of [
      [{ tp: 3 }, away('activations')],
      [{ dp: 2, tp: 4 }, { models: { offload: { prefetch: 2 }, recompute: 'full' } }],
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

  test('a reload waits for the operator that stands so far before its first reader', () => {
    const reach = (prefetch: number) => {
      const { program } = plan({ prefetch })
      const body = nodesOf(program.items).filter(
        ({ id }) => id.startsWith('backward/dense/') || id.startsWith('backward/moe/'),
      )
      const place = new Map(body.map(({ id }, index) => [id, index]))
      const reloads = body.filter(({ op }) => op === 'reload')
      expect(reloads.length).toBeGreaterThan(10)
      return reloads.map((node) => {
        const reader = body.findIndex(({ inputs }) => inputs.includes(node.outputs[0] ?? ''))
        const [wait] = node.after ?? []
        const between = body.slice((place.get(wait ?? '') ?? -1) + 1, reader).filter(({ op }) => op !== 'reload')
        return { between: between.length, waits: wait !== undefined }
      })
    }
    for (const distance of [0, 1, 3]) {
      const waiting = reach(distance).filter(({ waits }) => waits)
      expect(waiting.length).toBeGreaterThan(5)
      for (const { between } of waiting) expect(between).toBe(distance)
    }
    const { measured } = plan({ prefetch: 3 })
    expect(measured.edges.temporal).toBeGreaterThan(plan('activations').measured.edges.temporal)
  })

  test('that would change nothing is refused', () => {
    for (const [offload, phase] of [
      ['activations', phases.prefill],
      [{ where: { name: 'nobody' } }, build],
    ] as const)
      expect(() => planned(model, phase, {}, away(offload))).toThrow(/^`offload` changes nothing: /)
  })
})
