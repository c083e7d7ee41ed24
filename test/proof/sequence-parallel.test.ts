import { sequenceParallel } from '@shardloom/strategy-sp'
import { describe, expect, test } from 'vitest'
import { architectures, dense, experts, grouped, layerOf, modelOf, odd } from './architectures.js'
import { covered } from './covering.js'
import { communicated, type Degrees, phases, prove } from './prove.js'
import { and } from './strategies.js'

const builds = [
  ['training', { ...phases.training, batch: 2, seq: 12 }],
  ['prefill', { ...phases.prefill, batch: 2, seq: 12 }],
] as const
const own = and(sequenceParallel())
const onTensorRanks = and(sequenceParallel({ tensorRanks: true }))
const named = (list: readonly Degrees[]) => list.map((each) => [JSON.stringify(each), each] as const)

describe.each(architectures.map((model, place) => [model.name, model, place] as const))('%s', (_, model, place) => {
  describe.each(builds)('%s', (phase, build) => {
    const some = (list: readonly Degrees[]) => covered(3, named(list), place, phase === 'training' ? 0 : 1)
    test.each(some([{ tp: 3 }, { tp: 4 }, { tp: 2, dp: 2 }, { tp: 2, cp: 3 }]))(
      'the sequence on tensor ranks, %s',
      (_name, degrees) => {
        const proven = communicated(prove(model, build, degrees, onTensorRanks))
        expect(proven['all-gather']).toBeGreaterThan(0)
        expect(proven['reduce-scatter']).toBeGreaterThan(0)
      },
    )

    test.each(some([{ cp: 3 }, { cp: 4 }, { dp: 2, cp: 2 }, { tp: 3, cp: 2 }]))(
      'context parallel, %s',
      (_name, degrees) => {
        expect(communicated(prove(model, build, degrees, own))['all-gather']).toBeGreaterThan(0)
      },
    )

    test.each(
      some([
        { ulysses: 3 },
        { ulysses: 4 },
        { ulysses: 3, tp: 2 },
        { tp: 2, dp: 2, ulysses: 2 },
        { ulysses: 2, cp: 3 },
      ]),
    )('Ulysses, %s', (_name, degrees) => {
      expect(communicated(prove(model, build, degrees, own))['all-to-all']).toBeGreaterThan(0)
    })

    test('all of them at once', () => {
      prove(model, build, { dp: 2, cp: 2, ulysses: 3, tp: 2 }, onTensorRanks)
    })
  })
})

describe('more ranks than KV heads', () => {
  const models = [
    modelOf(
      'two KV heads',
      { layer: layerOf({ ...grouped, heads: 16, bias: { qkv: true, out: true } }, { ...dense, intermediate: 8 }) },
      { vocab: 16 },
    ),
    modelOf(
      'one KV head',
      { layer: layerOf({ ...grouped, heads: 8, kvHeads: 1, qkNorm: 'head' }, { ...experts, intermediate: 8 }) },
      { vocab: 16 },
    ),
  ]
  describe.each(models.map((model) => [model.name, model] as const))('%s', (_, model) => {
    test.each(builds)('%s', (_phase, build) => {
      const each = { ...build, seq: 8 }
      for (const degrees of [{ ulysses: 4 }, { ulysses: 2, tp: 2 }, { ulysses: 2, tp: 4 }, { tp: 2, ulysses: 4 }])
        prove(model, each, degrees, own)
      for (const degrees of [{ tp: 4 }, { tp: 8 }, { ulysses: 2, tp: 4 }, { cp: 2, tp: 4 }])
        prove(model, each, degrees, onTensorRanks)
    })
  })
})

describe.each(odd.map((model) => [model.name, model] as const))('%s, sequences of shares that differ', (_, model) => {
  test.each(named([{ cp: 3 }, { ulysses: 3 }, { dp: 2, cp: 4 }, { ulysses: 2, tp: 2 }, { cp: 2, ulysses: 2 }]))(
    '%s',
    (_name, degrees) => {
      prove(model, { phase: 'training', batch: 3, seq: 7 }, degrees, { uneven: 'ragged', ...own })
      prove(model, { phase: 'prefill', batch: 3, seq: 7 }, degrees, { uneven: 'ragged', ...own })
    },
  )
  test('on tensor ranks', () => {
    prove(model, { phase: 'training', batch: 3, seq: 7 }, { dp: 2, tp: 3 }, { uneven: 'ragged', ...onTensorRanks })
  })
})
