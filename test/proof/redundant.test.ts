import { describe, expect, test } from 'vitest'
import { experts, grouped, layerOf, modelOf } from './architectures.js'
import { communicated, type Degrees, phases, prove } from './prove.js'
import { and, sequence } from './strategies.js'

/** Seven experts: what `ep` divides are experts and copies together. */
const seven = modelOf('seven experts', {
  layer: layerOf(grouped, { ...experts, experts: 7, topK: 3, bias: true, correctionBias: true }),
})

const layouts: readonly (readonly [name: string, redundant: number, degrees: Degrees])[] = [
  ['ep 2 in dp 2', 1, { dp: 2, expertDp: 1, ep: 2, expertTp: 1 }],
  ['ep 3 in dp 3', 2, { dp: 3, expertDp: 1, ep: 3, expertTp: 1 }],
  ['ep 4 in dp 12, more copies than experts', 9, { dp: 12, expertDp: 3, ep: 4, expertTp: 1 }],
  ['ep 4 on tp 4', 5, { tp: 4, expertDp: 1, ep: 4, expertTp: 1 }],
  ['ep 6 across dp 2 and tp 3', 5, { dp: 2, tp: 3, expertDp: 1, ep: 6, expertTp: 1 }],
  ['ep 3 in dp 3, experts split over tp 2', 2, { dp: 3, tp: 2, expertDp: 1, ep: 3, expertTp: 2 }],
]

describe('experts that are held more than once compute what the model without copies computes', () => {
  describe.each([phases.prefill, phases.decode].map((build) => [build.phase, build] as const))(
    '%s',
    (_phase, build) => {
      test.each(layouts)('%s, %i copies', (_name, redundant, degrees) => {
        const proven = prove(seven, build, degrees, { ep: { redundant } })
        const weight = proven.program.tensors.get('layer/moe/experts/up/weight')
        expect(weight?.shape[0]).toBe(7 + redundant)
        if ((degrees['dp'] ?? 1) > 1) expect(communicated(proven)['all-to-all']).toBeGreaterThan(0)
      })
      test('with all tokens on all ranks, and with shares that differ by one', () => {
        const degrees = { dp: 3, expertDp: 1, ep: 3, expertTp: 1 }
        prove(seven, build, degrees, { ep: { redundant: 2, dispatch: 'all-gather' } })
        prove(seven, build, degrees, { ep: { redundant: 3 }, uneven: 'ragged' })
      })
    },
  )
  test('with the sequence on tp', () => {
    const degrees = { dp: 2, tp: 2, expertDp: 1, ep: 4, expertTp: 1 }
    prove(seven, { ...phases.prefill, seq: 12 } as const, degrees, { ...and(sequence), ep: { redundant: 1 } })
  })
})
