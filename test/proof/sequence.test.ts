import { describe, expect, test } from 'vitest'
import { architectures, odd } from './architectures.js'
import { covered } from './covering.js'
import { communicated, phases, prove } from './prove.js'
import { and, context, sequence, ulysses } from './strategies.js'

const prefillOrTraining = [
  ['training', { ...phases.training, batch: 2, seq: 12 }],
  ['prefill', { ...phases.prefill, batch: 2, seq: 12 }],
] as const
const named = architectures.map((model, place) => [model.name, model, place] as const)

describe.each(named)('%s, its sequence split by strategies from outside', (_, model, place) => {
  const some = (way: number) => covered(2, prefillOrTraining, place, way)
  test.each(some(0))('%s: tensor and sequence parallel on one axis', (phase, build) => {
    const proven = prove(model, build, { tp: 2 }, and(sequence))
    expect(communicated(proven)['all-gather']).toBeGreaterThan(0)
    prove(model, build, { dp: 2, tp: 3 }, and(sequence))
    if (phase === 'training') prove(model, build, { tp: 4 }, and(sequence))
  })

  test.each(some(1))('%s: context parallel', (_phase, build) => {
    const proven = prove(model, build, { cp: 3 }, and(context))
    expect(communicated(proven)['all-gather']).toBeGreaterThan(0)
    prove(model, build, { cp: 2, tp: 2 }, and(context))
    prove(model, build, { dp: 2, cp: 2 }, and(context))
  })

  test.each(some(0))('%s: Ulysses', (_phase, build) => {
    const proven = prove(model, build, { ulysses: 2 }, and(ulysses))
    expect(communicated(proven)['all-to-all']).toBeGreaterThan(0)
    prove(model, build, { dp: 2, ulysses: 2 }, and(ulysses))
  })
})

describe.each(odd.map((model) => [model.name, model] as const))('%s, sequences of shares that differ', (_, model) => {
  test.each([sequence, context, ulysses].map((plugin) => [plugin.name, plugin] as const))('%s', (name, plugin) => {
    const degrees = name === 'sequence' ? { dp: 2, tp: 2 } : { dp: 2, [plugin.axes?.[0]?.name ?? '']: 3 }
    prove(model, { phase: 'training', batch: 3, seq: 7 }, degrees, { uneven: 'ragged', ...and(plugin) })
    prove(model, { phase: 'prefill', batch: 3, seq: 7 }, degrees, { uneven: 'ragged', ...and(plugin) })
  })
})
