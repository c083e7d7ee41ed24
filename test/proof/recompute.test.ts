import { type Item, nodesOf } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import type { BuildOptions, Recompute } from '@shardloom/models'
import { communicationTable, replication, savedTensors } from '@shardloom/simulator'
import { describe, expect, test } from 'vitest'
import { type PlannedOptions, planned } from '../../packages/core/test/planned.js'
import { architectures, dense, experts, grouped, latent, layerOf, modelOf } from './architectures.js'
import { type Degrees, phases, prove } from './prove.js'
import { and, context, splitting, ulysses } from './strategies.js'

/** Sequence parallelism as Megatron-LM has it, biases of row-parallel layers included. */
const sequence = splitting('sequence', {
  axis: 'tp',
  class: 'token',
  dims: ['seq'],
  where: {
    name: ['tokens', 'positions', 'sum', 'norm', 'post_norm', 'residual', 'out_bias', 'down_bias', 'out_dropout'],
  },
})
const named = architectures.map((model) => [model.name, model] as const)
const materialised = { ...phases.training, attention: 'materialised' } as const
const again = (recompute: Recompute, more: PlannedOptions = {}): PlannedOptions => ({ models: { recompute }, ...more })

function proveVerified(...[model, build, degrees, options]: Parameters<typeof prove>): void {
  const { program, operators } = prove(model, build, degrees, options)
  for (const rule of verifyProgram(program, operators)) expect(rule.violations).toEqual([])
}

describe.each(named)('%s, computed again in backward, is one device that keeps everything', (_, model) => {
  const build = { ...materialised, batch: 2, seq: 6 }

  test('tensor and data parallel', () => {
    proveVerified(model, build, { tp: 3 }, again('selective'))
    proveVerified(model, build, { dp: 2, tp: 4 }, again('full'))
    proveVerified(model, { ...phases.training, batch: 3 }, { dp: 3, tp: 2 }, again({ full: {}, tail: 'kept' }))
  })

  test.each(['selective', 'full'] as const)('%s, sequences split', (recompute) => {
    proveVerified(model, build, { dp: 2, tp: 3 }, again(recompute, and(sequence)))
    proveVerified(model, build, { cp: 3, tp: 2 }, again(recompute, and(context)))
    proveVerified(model, build, { dp: 2, ulysses: 2 }, again(recompute, and(ulysses)))
  })
})

test('every kind of layer, and every layer, may compute something else again', () => {
  const model = modelOf('mixed', { dense: layerOf(grouped, dense), moe: layerOf(latent, experts) })
  const build = { ...materialised, layerBoundaries: [1] }
  proveVerified(model, build, { tp: 2 }, again({ full: { layers: 0 }, selective: { layers: '1' } }))
  proveVerified(model, build, { tp: 2 }, again({ full: { module: ['ffn', 'moe/experts'] } }))
  const one = planned(model, build, {}, again({ full: { layers: 0 }, selective: { layers: '1' } }))
  const copies = nodesOf(one.program.items).filter(({ recompute }) => recompute)
  expect(copies.filter(({ id }) => id.startsWith('backward/moe-1/')).map(({ id }) => id)).toEqual([
    'backward/moe-1/attention/score',
    'backward/moe-1/attention/softmax',
  ])
  expect(copies.filter(({ id }) => id.startsWith('backward/dense-0/')).length).toBeGreaterThan(10)
})

describe('operators computed again', () => {
  const model = modelOf('plain', {
    layer: layerOf({ ...grouped, kvHeads: 12, rotary: false }, { ...dense, activation: 'gelu' }),
  })
  const build = { phase: 'training', batch: 4, seq: 6, microbatches: 3, attention: 'materialised' } as const
  const flopsOf = (recompute: Recompute, more: BuildOptions = build, degrees: Degrees = {}) => {
    const { program, operators } = planned(model, more, degrees, again(recompute))
    return { ...replication(program, operators), forward: forwardFlops(planned(model, more, {}, again('none'))) }
  }
  /** FLOPs of the forward nodes in layers: all, those of the attention core, and those whose results backward never reads. */
  function forwardFlops({ program, operators }: ReturnType<typeof planned>) {
    const only = (keep: (id: string) => boolean) => {
      const bare = (items: typeof program.items): typeof program.items =>
        items.flatMap((item): Item[] => {
          if (item.type === 'node') return item.segment === 'forward' && keep(item.id) ? [item] : []
          return [{ ...item, bodies: item.bodies.map((body) => ({ ...body, items: bare(body.items) })) }]
        })
      return replication({ ...program, items: bare(program.items) }, operators).flops
    }
    return {
      layers: only((id) => id.startsWith('forward/layer/')),
      core: only((id) => /attention\/(score|softmax)$/.test(id)),
      tail: only((id) => /ffn\/(down|residual)$/.test(id)),
    }
  }

  test('add one forward of the layers, less the end that nobody reads, or the core of attention, to the unit', () => {
    const none = flopsOf('none')
    expect(none.recomputedFlops).toBe(0n)
    const { layers, core, tail } = none.forward
    expect(core * tail).toBeGreaterThan(0n)
    for (const [recompute, added] of [
      ['selective', core],
      ['full', layers - tail],
      [{ full: {}, tail: 'kept' }, layers],
      [{ full: { module: 'ffn' } }, ffnFlops()],
    ] as const) {
      const more = flopsOf(recompute)
      expect(more.recomputedFlops, JSON.stringify(recompute)).toBe(added)
      expect(more.flops - none.flops, JSON.stringify(recompute)).toBe(added)
    }
  })

  /** norm, up, activation: what the residual after `down` needs is not read by backward. Per token 7·8 + 2·8·12 + 5·12. */
  function ffnFlops(): bigint {
    return 2n * 3n * 4n * 6n * BigInt(4 * 8 + 2 * 8 * 12 + 5 * 12)
  }

  test('on many ranks FLOPs are those of one device, what ranks repeat, and what backward repeats, which counts once', () => {
    for (const degrees of [{ tp: 2 }, { dp: 2, tp: 3 }, { dp: 4 }]) {
      const none = flopsOf('none', build, degrees)
      const once = none.flops - none.replicatedFlops
      for (const recompute of ['selective', 'full'] as const) {
        const { flops, replicatedFlops, recomputedFlops } = flopsOf(recompute, build, degrees)
        expect(recomputedFlops).toBe(flopsOf(recompute).recomputedFlops)
        expect(flops).toBe(once + replicatedFlops + recomputedFlops)
      }
    }
  })

  test('with flash attention the kernel of backward computes scores again in any case', () => {
    const flash = { ...build, attention: 'flash' } as const
    const [none, full] = [flopsOf('none', flash), flopsOf({ full: {}, tail: 'kept' }, flash)]
    expect(none.recomputedFlops).toBe(none.forward.core)
    expect(full.recomputedFlops - none.recomputedFlops).toBe(none.forward.layers)
    expect(full.flops - none.flops).toBe(none.forward.layers)
  })
})

describe('communication done again', () => {
  const model = modelOf('plain', { layer: layerOf({ ...grouped, kvHeads: 12 }, { ...dense, activation: 'gelu' }) })
  const mixture = modelOf('mixture', { layer: layerOf({ ...grouped, kvHeads: 12 }, experts) })
  const build = { phase: 'training', batch: 4, seq: 12, attention: 'materialised' } as const
  /** Collectives of one layer in backward. */
  const backward = (
    recompute: Recompute,
    architecture = model,
    degrees: Degrees = { tp: 2 },
    more: PlannedOptions = {},
  ) => {
    const { program, operators } = planned(architecture, build, degrees, again(recompute, more))
    const counts: Record<string, number> = {}
    for (const { op, count, segment, region } of communicationTable(program, operators))
      if (segment === 'backward' && region === 'microbatch/layer') counts[op] = (counts[op] ?? 0) + count / 2
    return counts
  }
  // ALGEBRA §7, repeated communication.
  test.each([
    ['none', { 'all-reduce': 2 }, { 'all-gather': 4, 'reduce-scatter': 2 }],
    ['selective', { 'all-reduce': 2 }, { 'all-gather': 4, 'reduce-scatter': 2 }],
    // h and h2 are gathered once more and a scattered; the weight gradients then find h and h2 gathered.
    ['full', { 'all-reduce': 3 }, { 'all-gather': 4, 'reduce-scatter': 3 }],
    [{ full: {}, tail: 'kept' }, { 'all-reduce': 4 }, { 'all-gather': 4, 'reduce-scatter': 4 }],
  ] as const)('%j: with tensor parallelism, and with sequence parallelism', (recompute, tp, sp) => {
    expect(backward(recompute)).toEqual(tp)
    expect(backward(recompute, model, { tp: 2 }, and(sequence))).toEqual(sp)
  })

  test('experts: tokens go to them and back once more', () => {
    const xp = splitting(
      'xp',
      { class: 'experts', dims: ['experts'], where: { module: 'moe/experts' } },
      { class: 'token', dims: ['batch'] },
    )
    const [none, full] = (['none', 'full'] as const).map((each) => backward(each, mixture, { xp: 2 }, and(xp)))
    expect(none?.['all-to-all']).toBe(2)
    expect(full?.['all-to-all']).toBe(4)
  })
})

describe('an option that would change nothing is refused', () => {
  const model = modelOf('plain', { layer: layerOf(grouped, dense) })
  const error = (recompute: Recompute, build: Parameters<typeof planned>[1] = materialised) => {
    try {
      planned(model, build, {}, again(recompute))
    } catch (caught) {
      return caught
    }
    return undefined
  }
  test.each([
    ['selective', phases.training, '`recompute: selective` changes nothing: attention runs as one kernel, which keeps'],
    ['full', phases.prefill, '`recompute` changes nothing: only training has a backward.'],
    [{}, materialised, '`recompute` changes nothing: it selects nothing.'],
    [
      { full: { name: 'nobody' } },
      materialised,
      '`recompute: full` changes nothing: it selects no operator of a layer.',
    ],
    [{ full: { name: 'out' } }, materialised, '`recompute: full` changes nothing: backward reads no result'],
    [{ full: {}, selective: { name: 'q' } }, materialised, '`recompute: selective` changes nothing: it selects no'],
  ] as const)('%j', (recompute, build, message) => {
    expect(error(recompute, build)).toMatchObject({ code: 'RECOMPUTE', subject: 'recompute' })
    expect(String(error(recompute, build))).toContain(message)
  })

  test('each choice is another graph that keeps less', () => {
    const seen = new Set<string>()
    const kept = (['none', 'selective', 'full'] as const).map((recompute) => {
      const { program, operators } = planned(model, materialised, { tp: 2 }, again(recompute))
      seen.add(JSON.stringify(program.items))
      return savedTensors(program, operators).reduce((sum, { bytes }) => sum + bytes, 0)
    })
    expect(seen.size).toBe(3)
    expect(kept).toEqual([...kept].sort((a, b) => b - a))
    expect(new Set(kept).size).toBe(3)
  })
})
