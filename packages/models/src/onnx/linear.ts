import type { OnnxContext } from '@shardloom/core'
import { normEpsilon } from '../kernels/linear.js'
import { arithmetic, broadcast, type OnnxMeaning, placesOf } from './values.js'

const letters = 'abcdefghijklmnopqrstuvwxyz'

/** MatMul where the dims allow it, else Einsum. */
export const contractOnnx: OnnxMeaning = (operands, { rule, add }) => {
  const [a = [], b] = rule.operands
  const result = rule.results[0] ?? []
  const isMatrix = b?.length === 2 && a.at(-1) === b[0] && result.join() === [...a.slice(0, -1), b[1]].join()
  if (isMatrix && a.length > 1 && !a.includes(b[1] ?? '')) return [add('MatMul', operands)]
  if (rule.space.length > letters.length) return undefined
  const word = (dims: readonly string[]) => dims.map((dim) => letters[rule.space.indexOf(dim)]).join('')
  return [add('Einsum', operands, { equation: `${rule.operands.map(word).join(',')}->${word(result)}` })]
}

/** The sum of the operands, each broadcast where it lacks dims. */
export const sumOnnx: OnnxMeaning = (operands, context) => {
  const { rule, add } = context
  const dims = rule.results[0] ?? []
  const terms: string[] = []
  for (const [index, operand] of operands.entries()) {
    const term = broadcast(context, operand, rule.operands[index] ?? [], dims)
    if (term === undefined) return undefined
    terms.push(term)
  }
  return [add(terms.length === 1 ? 'Identity' : terms.length === 2 ? 'Add' : 'Sum', terms)]
}

const isLayerNorm = ({ node }: OnnxContext) => node.attributes?.['kind'] === 'layer'

/** A norm's input with mean 0, where it is a layer norm, and size 1. */
function unitRows(x: string, axes: readonly number[], context: OnnxContext) {
  const { minus, times, over, plus, sqrt } = arithmetic(context)
  const mean = (value: string) => context.add('ReduceMean', [value], { axes, keepdims: 1 })
  const centred = isLayerNorm(context) ? minus(x, mean(x)) : x
  const size = sqrt(plus(mean(times(centred, centred)), normEpsilon))
  return { unit: over(centred, size), size, mean }
}

/** LayerNormalization, or the root mean square norm in parts. */
export const normaliseOnnx: OnnxMeaning = ([x = '', gain, bias], context) => {
  const { rule, add } = context
  const { plus, times } = arithmetic(context)
  const [dims = [], gainDims = [], biasDims = []] = rule.operands
  const axes = placesOf(dims, (dim) => rule.whole.has(dim))
  const inner = dims.filter((dim) => rule.whole.has(dim)).join()
  if (isLayerNorm(context) && gain && gainDims.join() === inner && axes[0] === dims.length - axes.length)
    return [
      add('LayerNormalization', bias ? [x, gain, bias] : [x, gain], {
        axis: axes[0] ?? -1,
        epsilon: normEpsilon,
      }),
    ]
  const ownGain = gain && broadcast(context, gain, gainDims, dims)
  const ownBias = bias && broadcast(context, bias, biasDims, dims)
  if ((gain && !ownGain) || (bias && !ownBias)) return undefined
  const { unit } = unitRows(x, axes, context)
  const scaled = ownGain ? times(unit, ownGain) : unit
  return [ownBias ? plus(scaled, ownBias) : scaled]
}

/** The gradient of a norm's input: (g − mean(g · unit) · unit, less the mean of g in a layer norm) / size, of g with the gain. */
export const normaliseGradientOnnx: OnnxMeaning = (operands, context) => {
  const { rule } = context
  const { minus, times, over } = arithmetic(context)
  const [x = ''] = operands
  const dims = rule.operands[0] ?? []
  const axes = placesOf(dims, (dim) => rule.whole.has(dim))
  const gain = operands.length === 3 ? broadcast(context, operands[1] ?? '', rule.operands[1] ?? [], dims) : undefined
  if (operands.length === 3 && gain === undefined) return undefined
  const { unit, size, mean } = unitRows(x, axes, context)
  const incoming = gain ? times(operands.at(-1) ?? '', gain) : (operands.at(-1) ?? '')
  const along = times(unit, mean(times(incoming, unit)))
  const centred = isLayerNorm(context) ? minus(incoming, mean(incoming)) : incoming
  return [over(minus(centred, along), size)]
}

/** The gradient of a norm's gain. */
export const normGainSumOnnx: OnnxMeaning = ([x = '', incoming = ''], context) => {
  const { rule } = context
  const { times, sum } = arithmetic(context)
  const dims = rule.operands[0] ?? []
  const result = rule.results[0] ?? []
  const axes = placesOf(dims, (dim) => rule.whole.has(dim))
  return [
    sum(
      times(incoming, unitRows(x, axes, context).unit),
      placesOf(dims, (dim) => !result.includes(dim)),
    ),
  ]
}

/** The value and the slope of an activation function. */
function curve(x: string, context: OnnxContext): { readonly value: () => string; readonly slope: () => string } {
  const { plus, minus, times, sigmoid, tanh } = arithmetic(context)
  const name = context.node.attributes?.['function']
  if (name === 'relu') {
    const positive = () => context.add('Greater', [x, context.constant(0, 'float')])
    return {
      value: () => context.add('Relu', [x]),
      slope: () => context.add('CastLike', [positive(), x]),
    }
  }
  if (name === 'swiglu') {
    const open = sigmoid(x)
    return { value: () => times(x, open), slope: () => times(open, plus(times(x, minus(1, open)), 1)) }
  }
  const root = Math.sqrt(2 / Math.PI)
  const square = times(x, x)
  const bent = tanh(times(times(x, plus(times(square, 0.044715), 1)), root))
  const half = times(plus(bent, 1), 0.5)
  return {
    value: () => times(x, half),
    slope: () => {
      const inner = times(plus(times(square, 3 * 0.044715), 1), root)
      return plus(half, times(times(times(x, 0.5), minus(1, times(bent, bent))), inner))
    },
  }
}

/** f(x), or f(gate) · up. */
export const activateOnnx: OnnxMeaning = ([x = '', up], context) => {
  const value = curve(x, context).value()
  return [up === undefined ? value : arithmetic(context).times(value, up)]
}

/** The gradients of an activation's operands. */
export const activateGradientOnnx: OnnxMeaning = (operands, context) => {
  const { times } = arithmetic(context)
  const [x = ''] = operands
  const incoming = operands.at(-1) ?? x
  const up = operands.length === 3 ? operands[1] : undefined
  const { value, slope } = curve(x, context)
  const own = times(incoming, slope())
  return up === undefined ? [own] : [times(own, up), times(incoming, value())]
}

/** The rows that numbers mean of those that this rank has: their places, and which of them are here. */
export function localRows(numbers: string, dim: string, context: OnnxContext) {
  const { add, constant, size, positions } = context
  const first = add('Gather', [positions(dim), constant(0, 'int64')])
  const place = add('Sub', [numbers, first])
  const here = add('And', [
    add('GreaterOrEqual', [place, constant(0, 'int64')]),
    add('Less', [place, constant(size(dim), 'int64')]),
  ])
  return { here, place: add('Where', [here, place, constant(0, 'int64')]) }
}

/** Gather; of a table that ranks share, zeros for the rows of others. */
export const lookUpOnnx: OnnxMeaning = ([numbers = '', table = ''], context) => {
  const { rule, add, whole, constant } = context
  const [numberDims = [], tableDims = []] = rule.operands
  const rows = rule.results[0] ?? []
  const row = tableDims.find((dim) => !rows.includes(dim)) ?? ''
  if (tableDims[0] !== row || rows.join() !== [...numberDims, ...tableDims.slice(1)].join()) return undefined
  if (whole(row)) return [add('Gather', [table, numbers])]
  const { unsqueeze, whole: integers } = arithmetic(context)
  const { here, place } = localRows(integers(numbers), row, context)
  const mask = unsqueeze(
    here,
    tableDims.slice(1).map((_, index) => numberDims.length + index),
  )
  return [add('Where', [mask, add('Gather', [table, place]), constant(0, 'float')])]
}

/** Adds gradients of looked-up rows into zeros; rows of other ranks add nothing. */
export const lookUpGradientOnnx: OnnxMeaning = ([numbers = '', incoming = ''], context) => {
  const { rule, add, whole, constant, size } = context
  const [numberDims = [], rows = []] = rule.operands
  const tableDims = rule.results[0] ?? []
  const [row = '', width = '', ...more] = tableDims
  if (more.length > 0 || rows.join() !== [...numberDims, width].join()) return undefined
  const { unsqueeze, whole: integers, times } = arithmetic(context)
  let [place, added] = [integers(numbers), incoming]
  if (!whole(row)) {
    const local = localRows(place, row, context)
    place = local.place
    added = times(incoming, add('CastLike', [unsqueeze(local.here, [numberDims.length]), incoming]))
  }
  const zeros = add('Expand', [constant(0, 'float'), constant([size(row), size(width)], 'int64')])
  return [add('ScatterND', [zeros, unsqueeze(place, [numberDims.length]), added], { reduction: 'add' })]
}
