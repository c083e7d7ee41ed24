import { nodesOf, regionsOf } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import type { BuildOptions, ModelArchitecture } from '@shardloom/models'
import { sequenceParallel } from '@shardloom/strategy-sp'
import { mutationReport } from '@shardloom/testing'
import { describe, expect, test } from 'vitest'
import type { PlannedOptions } from '../../packages/core/test/planned.js'
import { architectures, dense, grouped, layerOf, modelOf } from './architectures.js'
import { covered } from './covering.js'
import { type Degrees, phases, prove, referenceOf } from './prove.js'
import { and } from './strategies.js'

type Order = 'zigzag' | 'contiguous'

const ring = (positions: Order, ...atoms: readonly number[]): PlannedOptions => {
  const plugin = sequenceParallel({ attention: 'ring', positions })
  const axes = plugin.axes?.map((axis) =>
    axis.name === 'cp' && atoms.length ? { ...axis, factors: () => atoms } : axis,
  )
  return and({ ...plugin, ...(axes && { axes }) })
}
const training: BuildOptions = { ...phases.training, batch: 4, seq: 12 }
const prefill: BuildOptions = { ...phases.prefill, batch: 4, seq: 12 }

/** Equal to one device, sound by every rule, and without a gather of keys or values over the ring. */
function proveRing(
  model: ModelArchitecture,
  build: BuildOptions,
  degrees: Degrees,
  order: Order,
  ...atoms: readonly number[]
) {
  const proven = prove(model, build, degrees, ring(order, ...atoms))
  const { program, operators } = proven
  const where = JSON.stringify([model.name, build, degrees, order])
  expect(
    verifyProgram(program, operators).flatMap(({ violations }) => violations),
    where,
  ).toEqual([])
  const rings = regionsOf(program.items).filter(({ axis }) => axis === 'ring_step')
  expect(rings.length, where).toBeGreaterThan(0)
  for (const { extent } of rings) expect(extent).toBe(degrees['cp'])
  expect(nodesOf(program.items).filter(({ op }) => op === 'softmax' || op === 'softmax_gradient')).toEqual([])
  return proven
}

const ringed = architectures.filter(({ name }) => name !== 'dropout')

test('probabilities that are dropped are refused, not gathered in silence', () => {
  const dropped = architectures.find(({ name }) => name === 'dropout') ?? ringed[0]
  expect(() => dropped && prove(dropped, training, { cp: 2 }, ring('zigzag'))).toThrow(/round a ring: .*dropout/)
})

describe.each(ringed.map((each, place) => [each.name, each, place] as const))('%s', (_, model, place) => {
  test.each(covered(2, ['contiguous', 'zigzag'] as const, place))('%s', (order) => {
    proveRing(model, training, { cp: 3 }, order)
    proveRing(model, { ...training, attention: 'materialised', causal: 'halved' }, { cp: 2, tp: 2 }, order)
    proveRing(model, prefill, { cp: 4 }, order)
    proveRing(model, { ...prefill, attention: 'materialised' }, { dp: 2, cp: 2 }, order)
  })
})

const [plain] = architectures
const few = modelOf('one KV head', { layer: layerOf({ ...grouped, kvHeads: 1 }, dense) })

test.each([
  [{ cp: 4 }],
  [{ dp: 2, cp: 2, tp: 2 }],
  [{ cp: 3, tp: 4 }],
  [{ cp: 2, ulysses: 2 }],
  [{ cp: 2, ulysses: 4 }],
  [{ cp: 3, ulysses: 2, dp: 2 }],
  [{ cp: 3, ulysses: 2, tp: 2 }],
])('%o', (degrees) => {
  for (const model of [plain, few])
    for (const order of ['contiguous', 'zigzag'] as const)
      if (model) proveRing(model, { ...training, seq: 24 }, degrees, order)
})

test('a ring over an axis of two atoms, as another factorisation of the ranks makes it', () => {
  for (const order of ['contiguous', 'zigzag'] as const)
    for (const atoms of [
      [2, 2],
      [2, 3],
      [3, 2],
    ] as const)
      proveRing(few, { ...training, seq: 24 }, { cp: atoms[0] * atoms[1], ulysses: 2 }, order, ...atoms)
})

test('spoiling any communication of a ring is caught by the verifier and by running it', () => {
  const build: BuildOptions = { phase: 'training', batch: 2, seq: 6, microbatches: 1 }
  const small = modelOf('small', { layer: layerOf({ ...grouped, heads: 4, headDim: 2 }, dense) })
  const { program, operators } = proveRing(small, build, { cp: 3 }, 'zigzag')
  const report = mutationReport(referenceOf(small, build), program, operators)
  expect(report.missed).toEqual([])
  expect(report.verifier).toBe(report.made)
  expect(report.harmless).toEqual([])
  expect(report.made).toBeGreaterThan(200)
})
