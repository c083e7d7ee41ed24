import { isShardloomError } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import type { Activation, BuildOptions, Layer, ModelArchitecture } from '@shardloom/models'
import { dataParallel } from '@shardloom/strategy-dp'
import { tensorParallel } from '@shardloom/strategy-tp'
import { compareRuns, runReference } from '@shardloom/testing'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type PlannedOptions, planned } from '../../packages/core/test/planned.js'
import { layerOf, modelOf } from './architectures.js'
import { again, context, sequence, ulysses } from './strategies.js'
import { tally } from './tally.js'

const sometimes = fc.boolean()
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined })

const groupedAttention = fc
  .record({
    kvHeads: fc.constantFrom(1, 2, 3),
    group: fc.constantFrom(1, 2, 3),
    headDim: fc.constantFrom(2, 4),
    qkv: sometimes,
    out: sometimes,
    rotary: sometimes,
    qkNorm: optional(fc.constantFrom('head' as const, 'whole' as const)),
    window: optional(fc.constantFrom(2, 3)),
    sinks: sometimes,
  })
  .map(({ kvHeads, group, headDim, qkv, out, rotary, qkNorm, window, sinks }): Layer['attention'] => ({
    kind: 'grouped',
    heads: kvHeads * group,
    kvHeads,
    headDim,
    bias: { qkv, out },
    rotary,
    sinks,
    ...(qkNorm && { qkNorm }),
    ...(window && { window }),
  }))

const latentAttention = fc
  .record({ heads: fc.constantFrom(2, 3, 4), queryRank: optional(fc.constant(5)) })
  .map(({ heads, queryRank }): Layer['attention'] => ({
    kind: 'latent',
    heads,
    kvRank: 3,
    nopeDim: 2,
    ropeDim: 2,
    valueDim: 3,
    ...(queryRank && { queryRank }),
  }))

const activation = fc.constantFrom<Activation>('swiglu', 'geglu', 'gelu', 'relu')

const denseFfn = fc
  .record({ intermediate: fc.constantFrom(4, 6, 7), activation, bias: sometimes })
  .map((ffn): Layer['ffn'] => ({ kind: 'dense', ...ffn }))

const mixture = fc
  .record({
    experts: fc.constantFrom(3, 4),
    topK: fc.constantFrom(1, 2),
    intermediate: fc.constantFrom(4, 5),
    activation,
    bias: sometimes,
    routerBias: sometimes,
    correctionBias: sometimes,
    shared: optional(fc.record({ count: fc.constant(1), intermediate: fc.constantFrom(3, 4), gate: sometimes })),
  })
  .map(({ shared, ...moe }): Layer['ffn'] => ({ kind: 'moe', ...moe, ...(shared && { shared }) }))

const layer = fc
  .record({
    attention: fc.oneof({ weight: 3, arbitrary: groupedAttention }, { weight: 1, arbitrary: latentAttention }),
    ffn: fc.oneof(denseFfn, mixture),
    residual: fc.constantFrom<Layer['residual']>('sequential', 'parallel'),
    norms: fc.constantFrom<Layer['norms']>('pre', 'post', 'sandwich', 'shared'),
  })
  // One norm for both branches stands before branches in parallel only.
  .map(({ attention, ffn, ...rest }) =>
    layerOf(attention, ffn, rest.norms === 'shared' ? { ...rest, residual: 'parallel' } : rest),
  )

const model = fc
  .record({
    layers: fc.array(layer, { minLength: 1, maxLength: 2 }),
    hidden: fc.constantFrom(4, 5),
    vocab: fc.constantFrom(6, 7),
    tiedEmbeddings: sometimes,
    headBias: sometimes,
    learned: sometimes,
    layerNorm: sometimes,
    repeat: fc.constantFrom(1, 2),
  })
  .map(({ layers, hidden, vocab, tiedEmbeddings, headBias, learned, layerNorm, repeat }): ModelArchitecture => {
    const named = Object.fromEntries(layers.map((each, index) => [index === 0 ? 'layer' : 'other-layer', each]))
    const runs = Object.keys(named).map((name) => ({ layer: name, count: 1 }))
    return modelOf('random', named, {
      hidden,
      vocab,
      tiedEmbeddings,
      headBias,
      norm: layerNorm ? { kind: 'layer', bias: true } : { kind: 'rms', bias: false },
      order: { runs, repeat },
      ...(learned && { learnedPositions: 8 }),
    })
  })

const build = fc
  .record({
    phase: fc.constantFrom<BuildOptions['phase']>('training', 'training', 'prefill', 'decode'),
    batch: fc.constantFrom(2, 3, 4),
    seq: fc.constantFrom(3, 4),
    microbatches: fc.constantFrom(1, 2),
    steps: fc.constantFrom(2, 3),
    attention: fc.constantFrom('flash' as const, 'materialised' as const),
  })
  .map(
    ({ phase, microbatches, steps, ...rest }): BuildOptions => ({
      phase,
      ...rest,
      ...(phase === 'training' && { microbatches }),
      ...(phase === 'decode' && { steps }),
    }),
  )

const modules = fc.subarray(['attention', 'ffn', 'moe', 'embedding', 'head'], { minLength: 1 })
const strategy = fc
  .record({
    dp: fc.constantFrom(1, 2, 3),
    tp: fc.constantFrom(1, 2, 3, 4),
    third: fc.constantFrom('none', 'none', 'ulysses', 'again', 'sequence', 'cp'),
    keyValueGradients: fc.constantFrom('reduce' as const, 'defer' as const, 'gather' as const),
    tpWhere: optional(modules),
    dpWhere: optional(modules),
    dpOutside: sometimes,
  })
  .map(({ dp, tp, third, keyValueGradients, tpWhere, dpWhere, dpOutside }) => {
    const extra = { none: [], again: [again], sequence: [sequence], cp: [context], ulysses: [ulysses] }[third] ?? []
    const axes = [
      ['dp', dp],
      ['tp', tp],
      ...(third === 'again' || third === 'cp' || third === 'ulysses' ? [[third, 2] as const] : []),
    ] as const
    const options: PlannedOptions = {
      uneven: 'ragged',
      plugins: (list) => [
        ...list.filter(({ name }) => name !== 'dp' && name !== 'tp'),
        dataParallel(dpWhere ? { where: { module: dpWhere } } : {}),
        tensorParallel({ keyValueGradients, ...(tpWhere && { where: { module: tpWhere } }) }),
        ...extra,
      ],
    }
    const degrees = Object.fromEntries(dpOutside ? axes : [...axes].reverse())
    return { degrees, options, text: JSON.stringify({ degrees, third, keyValueGradients, tpWhere, dpWhere }) }
  })

test('whatever can be planned is one device', () => {
  let refused = 0
  let proven = 0
  const plan = (...given: Parameters<typeof planned>) => {
    try {
      return planned(...given)
    } catch (error) {
      // Two axes on one dim in two orders have no conversion without a hidden gather: the plan says so.
      if (isShardloomError(error) && error.code === 'ORDER_CONFLICT') return undefined
      throw error
    }
  }
  fc.assert(
    fc.property(model, build, strategy, (architecture, options, { degrees, options: how, text }) => {
      const many = plan(architecture, options, degrees, how)
      if (!many) {
        refused++
        return
      }
      const one = planned(architecture, options, {})
      const result = compareRuns(runReference(one.program, one.operators), many.program, many.operators)
      expect(result.difference?.message, text).toBeUndefined()
      const violations = verifyProgram(many.program, many.operators).flatMap((rule) => rule.violations)
      expect(violations, text).toEqual([])
      proven++
      tally({
        specs: 1,
        tensors: result.compared,
        executed: Object.fromEntries(result.executed),
        worst: result.worst.error,
      })
    }),
    { seed: 20261, numRuns: 250 },
  )
  expect(proven).toBeGreaterThan(10 * refused)
})
