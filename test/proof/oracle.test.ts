import { type OperatorDefinition, type Program, regionsOf } from '@shardloom/core'
import { interpret } from '@shardloom/testing'
import { describe, expect, test } from 'vitest'
import { type Planned, planned } from '../../packages/core/test/planned.js'
import { type OracleResult, type OracleWeights, oracleLoss, oracleTraining } from './oracle.js'
import { tinyLabels, tinyModels, tinyTokens, tinyWeights } from './tiny-models.js'

/** Between two computations in float64; the largest measured difference is 3e-14. */
const tolerance = 1e-12
const scale = 0.25
const seq = tinyTokens[0].length
const tokens = tinyTokens.flat()
const labels = tinyLabels.flat()

/** How a program is planned. */
interface Way {
  readonly on: string
  readonly microbatches: number
  readonly attention: 'flash' | 'materialised'
  readonly degrees: Readonly<Record<string, number>>
}

const oneDevice: Way = { on: 'one device', microbatches: 1, attention: 'flash', degrees: {} }
const ways: readonly Way[] = [
  { ...oneDevice, on: 'one device, in microbatches', microbatches: 3 },
  { ...oneDevice, on: 'one device, with scores in memory', attention: 'materialised' },
  { ...oneDevice, on: 'dp 3 × tp 2', degrees: { dp: 3, tp: 2 } },
]

/** A weight that only a choice depends on, so that nothing flows back to it. */
const withoutGradient = /\/router\/correction$/

describe.each(tinyModels.map((model) => ({ name: model.name, model })))('$name', ({ model }) => {
  const weights = tinyWeights(model)
  const oracle = oracleTraining(model, weights, tinyTokens, tinyLabels, scale)
  const plan = ({ microbatches, attention, degrees }: Way) => {
    const batch = tinyTokens.length / microbatches
    const build = { phase: 'training', batch, microbatches, seq, attention } as const
    return planned(model, build, degrees, { uneven: 'ragged' })
  }

  test('the gradients of the oracle are the slope of its own loss', () => {
    const unit = direction(weights)
    const step = 1e-4
    const lossAt = (distance: number) =>
      oracleLoss(model, moved(weights, unit, distance), tinyTokens, tinyLabels, scale)
    const slope = Object.entries(oracle.gradients).reduce((sum, [name, gradient]) => sum + dot(gradient, unit[name]), 0)
    expect((lossAt(step) - lossAt(-step)) / (2 * step)).toBeCloseTo(slope, 7)
  })

  test.each(ways)('the program has the loss and the gradients of the oracle on $on', (way) => {
    const run = trained(plan(way), weights)
    expect(Object.keys(run.gradients)).toEqual(Object.keys(weights).filter((name) => !withoutGradient.test(name)))
    expect(differences(run, oracle)).toEqual({})
  })

  test('an error of a millionth in any forward or backward operator is seen', () => {
    const { program, operators, composition } = plan(oneDevice)
    const used = [...interpret(program, operators).executed.keys()].filter((name) => !unread.has(name))
    const unseen = used.filter((name) => {
      const wrong = new Map(operators).set(name, distorted(operators.get(name)))
      return Object.keys(differences(trained({ program, operators: wrong, composition }, weights), oracle)).length === 0
    })
    expect(unseen).toEqual([])
  })
})

/** What runs after the gradients are there, and the maximum, which only keeps the exponential in range. */
const unread = new Set(['square_sum', 'sum_squares', 'clip_factor', 'adam', 'report', 'logit_max'])

/** An operator whose first result is wrong by a millionth. */
function distorted(definition: OperatorDefinition | undefined): OperatorDefinition {
  const { execute } = definition ?? {}
  if (!definition || !execute) throw new Error('an operator without semantics')
  return {
    ...definition,
    execute: (operands, context) =>
      execute(operands, context).map((result, index) =>
        index === 0 && result instanceof Float64Array ? result.map((value) => value * (1 + 1e-6)) : result,
      ),
  }
}

/** The loss of an interpreted program and the gradient of each weight, all layers of a kind one after the other. */
function trained({ program, operators }: Planned, weights: OracleWeights): OracleResult {
  const { microbatches, kinds } = loopsOf(program)
  const run = interpret(program, operators, {
    initial: ({ id, role, per, shape }, [iteration = 0], index) => {
      if (id === 'inputs/loss_scale') return scale
      if (id === 'inputs/positions') return index
      if (id === 'inputs/tokens') return tokens[iteration * (tokens.length / microbatches) + index]
      if (id === 'inputs/labels') return labels[iteration * (labels.length / microbatches) + index]
      if (role !== 'parameter') return undefined
      const size = shape.reduce((product, each) => product * each, 1)
      return weights[id]?.values[(per.length === 0 ? 0 : indexInKind(kinds, iteration)) * size + index]
    },
  })
  const gradients = Object.keys(weights).flatMap((name) => {
    const gradient = program.tensors.get(`gradient/${name}`)
    if (!gradient) return []
    const layers = kinds.flatMap((kind, layer) => (name.startsWith(`${kind}/`) ? [layer] : []))
    const parts =
      gradient.per.length === 0
        ? [run.whole(gradient.id)]
        : layers.map((layer) => run.whole(gradient.id, new Map([['layer', layer]])))
    return [[name, Float64Array.from(parts.flatMap((part) => [...part]))] as const]
  })
  return { loss: run.whole('loss')[0] ?? Number.NaN, gradients: Object.fromEntries(gradients) }
}

/** How many microbatches a program has, and the kind of layer at each depth. */
function loopsOf(program: Program): { microbatches: number; kinds: string[] } {
  const regions = regionsOf(program.items)
  const layers = regions.find(({ axis }) => axis === 'layer')
  const period = layers?.select.flatMap(({ body, count }) => Array.from({ length: count }, () => body)) ?? []
  const kinds = Array.from({ length: layers?.extent ?? 0 }, (_, layer) => {
    return layers?.bodies[period[layer % period.length] ?? 0]?.name ?? ''
  })
  return { microbatches: regions.find(({ axis }) => axis === 'microbatch')?.extent ?? 1, kinds }
}

/** How many layers of its own kind stand before a layer. */
function indexInKind(kinds: readonly string[], layer: number): number {
  return kinds.slice(0, layer).filter((kind) => kind === kinds[layer]).length
}

/** What differs by more than the tolerance, as a share of the largest element; at least of 1e-3. */
function differences(run: OracleResult, oracle: OracleResult): Record<string, number> {
  const errors = Object.entries(run.gradients).map(([name, actual]) => {
    return [name, relativeError(actual, oracle.gradients[name])] as const
  })
  const loss = relativeError(Float64Array.of(run.loss), Float64Array.of(oracle.loss))
  return Object.fromEntries([['loss', loss] as const, ...errors].filter(([, error]) => !(error <= tolerance)))
}

function relativeError(actual: Float64Array, expected: Float64Array | undefined): number {
  if (actual.length !== expected?.length) return Number.POSITIVE_INFINITY
  const largest = expected.reduce((most, each) => Math.max(most, Math.abs(each)), 1e-3)
  return Math.max(...actual.map((each, index) => Math.abs(each - (expected[index] ?? 0)))) / largest
}

/** A direction of length one in the space of all weights. */
function direction(weights: OracleWeights): Record<string, Float64Array> {
  let count = 0
  const any = Object.entries(weights).map(([name, { values }]) => [name, values.map(() => Math.sin(++count))] as const)
  const length = Math.sqrt(any.reduce((sum, [, values]) => sum + dot(values, values), 0))
  return Object.fromEntries(any.map(([name, values]) => [name, values.map((value) => value / length)]))
}

function moved(weights: OracleWeights, along: Record<string, Float64Array>, distance: number): OracleWeights {
  return Object.fromEntries(
    Object.entries(weights).map(([name, { shape, values }]) => {
      return [name, { shape, values: values.map((value, index) => value + distance * (along[name]?.[index] ?? 0)) }]
    }),
  )
}

function dot(a: Float64Array, b: Float64Array | undefined): number {
  return a.reduce((sum, value, index) => sum + value * (b?.[index] ?? 0), 0)
}
