import { describe, expect, test } from 'vitest'
import { architectures, dense, experts, grouped, latent, layerOf, modelOf, odd } from './architectures.js'
import { covered } from './covering.js'
import { communicated, type Degrees, phases, prove } from './prove.js'
import { again, and } from './strategies.js'

const degrees: readonly Degrees[] = [
  { tp: 2 },
  { tp: 3 },
  { tp: 4 },
  { dp: 2 },
  { dp: 3 },
  { dp: 4 },
  { dp: 2, tp: 2 },
  { tp: 2, dp: 3 },
  { dp: 3, tp: 4 },
]
const named = (list: readonly Degrees[]) =>
  list.map(
    (each) =>
      [
        Object.entries(each)
          .map(([axis, degree]) => `${axis} ${degree}`)
          .join(' × '),
        each,
      ] as const,
  )

const numbered = Object.entries(phases).map(([phase, build], place) => [phase, build, place] as const)

describe.each(architectures.map((model, place) => [model.name, model, place] as const))('%s', (_, model, place) => {
  describe.each(numbered)('%s', (_phase, build, phase) => {
    test.each(covered(3, named(degrees), place, phase))('%s is one device', (_name, each) => {
      // Twelve heads over one KV head or over twelve: any degree that divides them does.
      const proven = prove(model, build, each)
      const splits = 'tp' in each || build.phase === 'training'
      expect(Object.keys(communicated(proven)).length > 0).toBe(splits)
    })
  })
})

describe('more ranks than KV heads', () => {
  const models = [
    modelOf('two KV heads', { layer: layerOf({ ...grouped, heads: 8, bias: { qkv: true, out: true } }, dense) }),
    modelOf('one KV head', { layer: layerOf({ ...grouped, heads: 4, kvHeads: 1, qkNorm: 'head' }, experts) }),
  ]
  describe.each(models.map((model) => [model.name, model] as const))('%s', (_, model) => {
    describe.each(Object.entries(phases))('%s', (_phase, build) => {
      for (const keyValueGradients of ['reduce', 'defer', 'gather'] as const)
        test.each(named([{ tp: 4 }, { dp: 2, tp: 4 }]))(`${keyValueGradients}, %s`, (_name, each) => {
          prove(model, build, each, { tp: { keyValueGradients } })
        })
    })
  })
  test('the three ways communicate differently', () => {
    const [model] = models
    if (!model) throw new Error('two models were given')
    const ways = (['reduce', 'defer', 'gather'] as const).map((keyValueGradients) =>
      communicated(prove(model, phases.training, { tp: 4 }, { tp: { keyValueGradients } })),
    )
    expect(new Set(ways.map((each) => JSON.stringify(each))).size).toBe(3)
  })
})

describe.each(odd.map((model, place) => [model.name, model, place] as const))(
  '%s, shares that differ',
  (_, model, place) => {
    const builds = numbered.map(([phase, build, at]) => [phase, { ...build, batch: 3 }, at] as const)
    describe.each(builds)('%s', (_phase, build, phase) => {
      // dp 4 leaves a rank without a sequence, tp 4 one without a head.
      const uneven: readonly Degrees[] = [
        { tp: 2 },
        { tp: 4 },
        { dp: 2 },
        { dp: 4 },
        { dp: 2, tp: 2 },
        { dp: 2, tp: 3 },
        { dp: 4, tp: 4 },
      ]
      test.each(covered(3, named(uneven), place, phase))('%s is one device', (_name, each) => {
        prove(model, build, each, { uneven: 'ragged' })
      })
    })
  },
)

describe('two axes nest on one dim', () => {
  const model = modelOf('nested', { layer: layerOf(grouped, dense) })
  const nested = modelOf('nested, latent', { layer: layerOf(latent, experts) })
  test.each([
    ['evenly', 12, {}],
    ['unevenly', 5, { uneven: 'ragged' as const }],
    ['with empty shares', 3, { uneven: 'ragged' as const }],
  ])('%s', (_, batch, options) => {
    const plugins = { ...options, ...and(again) }
    for (const each of [model, nested]) {
      prove(each, { phase: 'training', batch, seq: 5, microbatches: 2 }, { dp: 2, again: 2 }, plugins)
      prove(each, { phase: 'training', batch, seq: 5 }, { again: 3, dp: 2 }, plugins)
      prove(each, { phase: 'decode', batch, seq: 5, steps: 3 }, { dp: 2, again: 2, tp: 2 }, plugins)
    }
  })
})
