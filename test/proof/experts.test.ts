import { describe, expect, test } from 'vitest'
import { dense, experts, grouped, latent, layerOf, modelOf } from './architectures.js'
import { covered } from './covering.js'
import { communicated, type Degrees, phases, prove } from './prove.js'
import { and, sequence } from './strategies.js'

/** Twelve experts, so that 2, 3 and 4 and their products divide them; a dense layer first, then shared experts. */
const many = { ...experts, experts: 12, topK: 3 }
const routed = modelOf('routed experts', { layer: layerOf(grouped, many) })
const shared = modelOf('dense first, shared experts, correction bias', {
  'dense-layer': layerOf(latent, dense),
  'moe-layer': layerOf(latent, {
    ...many,
    correctionBias: true,
    shared: { count: 1, intermediate: 12, gate: true },
  }),
})
const biased = modelOf('biases', { layer: layerOf(grouped, { ...many, bias: true, routerBias: true }) })

const layouts: readonly (readonly [name: string, degrees: Degrees])[] = [
  ['ep 2 in dp 2', { dp: 2, expertDp: 1, ep: 2, expertTp: 1 }],
  ['ep 3 in dp 3', { dp: 3, expertDp: 1, ep: 3, expertTp: 1 }],
  ['ep 2 in dp 4', { dp: 4, expertDp: 2, ep: 2, expertTp: 1 }],
  ['ep 3 in dp 12', { dp: 12, expertDp: 4, ep: 3, expertTp: 1 }],
  ['ep 3 outside of its replicas, in dp 6', { dp: 6, ep: 3, expertDp: 2, expertTp: 1 }],
  ['ep 4 on tp 4', { tp: 4, expertDp: 1, ep: 4, expertTp: 1 }],
  ['ep 3 on tp 3, dp 2', { dp: 2, tp: 3, expertDp: 2, ep: 3, expertTp: 1 }],
  ['ep 6 across dp 2 and tp 3', { dp: 2, tp: 3, expertDp: 1, ep: 6, expertTp: 1 }],
  ['ep 2 in dp 2, experts split over tp 3', { dp: 2, tp: 3, expertDp: 1, ep: 2, expertTp: 3 }],
  ['ep 3 in dp 6, experts split over tp 2', { dp: 6, tp: 2, expertDp: 2, ep: 3, expertTp: 2 }],
  ['ep 3 and experts over 2, both in dp 6', { dp: 6, expertDp: 1, ep: 3, expertTp: 2 }],
  ['ep 2 and experts over 3, both in dp 12', { dp: 12, expertDp: 2, ep: 2, expertTp: 3 }],
  ['ep 4 across dp 2 and tp, experts over the rest of tp 4', { dp: 2, tp: 4, expertDp: 1, ep: 4, expertTp: 2 }],
  ['ep 2 in dp 4, experts over the rest of dp and tp 3', { dp: 4, tp: 3, expertDp: 1, ep: 2, expertTp: 6 }],
  ['ep 2 inside tp 4', { dp: 2, tp: 4, expertDp: 4, ep: 2, expertTp: 1 }],
  ['ep 2 and experts over 2, inside tp 4', { dp: 2, tp: 4, expertDp: 2, ep: 2, expertTp: 2 }],
  ['experts over 2 of tp 4', { tp: 4, expertDp: 2, ep: 1, expertTp: 2 }],
]

describe.each([routed, shared, biased].map((model, place) => [model.name, model, place] as const))(
  '%s',
  (_, model, place) => {
    const builds = Object.entries(phases).map(([phase, build], at) => [phase, build, at] as const)
    describe.each(builds)('%s', (_phase, build, phase) => {
      test.each(covered(3, layouts, place, phase))('%s is one device', (_name, degrees) => {
        const proven = prove(model, build, degrees)
        const onTokens = (degrees['dp'] ?? 1) > 1 && (degrees['ep'] ?? 1) > (degrees['tp'] ?? 1)
        if (onTokens) expect(communicated(proven)['all-to-all']).toBeGreaterThan(0)
      })
    })
    test.each(covered(3, layouts, place))('%s with the sequence on tp is one device', (_name, degrees) => {
      prove(model, { ...phases.training, seq: 12 } as const, degrees, and(sequence))
    })
  },
)
