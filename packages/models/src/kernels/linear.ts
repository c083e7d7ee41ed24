import type { Kernel, KernelContext } from '@shardloom/core'
import { offsets, rowsOf, zeros } from './points.js'

/** The elementwise sum of the operands; one that lacks dims of the result is broadcast. */
export const sum: Kernel = (operands, context) => {
  const { rule, size } = context
  const out = zeros(context)
  operands.forEach((operand, index) => {
    const from = offsets(rule.results[0] ?? [], rule.operands[index] ?? [], size)
    for (let i = 0; i < out.length; i++) out[i] = (out[i] ?? 0) + (operand[from[i] ?? 0] ?? 0)
  })
  return [out]
}

/** Keeps the mean of squares of a norm's input away from zero. */
export const normEpsilon = 1e-5

/** One row of a norm's input: its centre and the factor that scales it to unit size. */
function statistics(x: Float64Array, at: number, inner: Int32Array, centred: boolean): [number, number] {
  let mean = 0
  if (centred) {
    for (let j = 0; j < inner.length; j++) mean += x[at + (inner[j] ?? 0)] ?? 0
    mean /= inner.length
  }
  let squares = 0
  for (let j = 0; j < inner.length; j++) squares += ((x[at + (inner[j] ?? 0)] ?? 0) - mean) ** 2
  return [mean, 1 / Math.sqrt(squares / inner.length + normEpsilon)]
}

const isLayerNorm = ({ node }: KernelContext) => node.attributes?.['kind'] === 'layer'

/** Root mean square norm (Zhang and Sennrich 2019) or layer norm (Ba et al. 2016), with a gain and a bias where given. */
export const normalise: Kernel = ([x = new Float64Array(), gain, bias], context) => {
  const { rule, size } = context
  const [dims = [], gainDims = [], biasDims = []] = rule.operands
  const { outer, inner } = rowsOf(dims, (dim) => rule.whole.has(dim))
  const [xOuter, xInner] = [offsets(outer, dims, size), offsets(inner, dims, size)]
  const [gainOuter, gainInner] = [offsets(outer, gainDims, size), offsets(inner, gainDims, size)]
  const [biasOuter, biasInner] = [offsets(outer, biasDims, size), offsets(inner, biasDims, size)]
  const out = zeros(context)
  for (let i = 0; i < xOuter.length; i++) {
    const at = xOuter[i] ?? 0
    const [mean, factor] = statistics(x, at, xInner, isLayerNorm(context))
    for (let j = 0; j < xInner.length; j++) {
      const place = at + (xInner[j] ?? 0)
      const unit = ((x[place] ?? 0) - mean) * factor
      const scaled = gain ? unit * (gain[(gainOuter[i] ?? 0) + (gainInner[j] ?? 0)] ?? 0) : unit
      out[place] = bias ? scaled + (bias[(biasOuter[i] ?? 0) + (biasInner[j] ?? 0)] ?? 0) : scaled
    }
  }
  return [out]
}

/** The gradient of a norm's input, from its input, its gain where it has one, and the gradient of its result. */
export const normaliseGradient: Kernel = (operands, context) => {
  const { rule, size } = context
  const [x = new Float64Array()] = operands
  const incoming = operands.at(-1) ?? x
  const gain = operands.length === 3 ? operands[1] : undefined
  const dims = rule.operands[0] ?? []
  const gainDims = gain ? (rule.operands[1] ?? []) : []
  const { outer, inner } = rowsOf(dims, (dim) => rule.whole.has(dim))
  const [xOuter, xInner] = [offsets(outer, dims, size), offsets(inner, dims, size)]
  const [gainOuter, gainInner] = [offsets(outer, gainDims, size), offsets(inner, gainDims, size)]
  const out = zeros(context)
  const count = xInner.length
  for (let i = 0; i < xOuter.length; i++) {
    const at = xOuter[i] ?? 0
    const layer = isLayerNorm(context)
    const [mean, factor] = statistics(x, at, xInner, layer)
    let [total, along] = [0, 0]
    const scaled = (j: number, place: number) =>
      (incoming[place] ?? 0) * (gain ? (gain[(gainOuter[i] ?? 0) + (gainInner[j] ?? 0)] ?? 0) : 1)
    for (let j = 0; j < count; j++) {
      const place = at + (xInner[j] ?? 0)
      total += scaled(j, place)
      along += scaled(j, place) * ((x[place] ?? 0) - mean) * factor
    }
    for (let j = 0; j < count; j++) {
      const place = at + (xInner[j] ?? 0)
      const unit = ((x[place] ?? 0) - mean) * factor
      out[place] = factor * (scaled(j, place) - (layer ? total / count : 0) - (unit * along) / count)
    }
  }
  return [out]
}

/** The gradient of a norm's gain: the gradient of the result times the normed input, summed over the rows. */
export const normGainSum: Kernel = ([x = new Float64Array(), incoming = new Float64Array()], context) => {
  const { rule, size } = context
  const dims = rule.operands[0] ?? []
  const { outer, inner } = rowsOf(dims, (dim) => rule.whole.has(dim))
  const [xOuter, xInner] = [offsets(outer, dims, size), offsets(inner, dims, size)]
  const gainDims = rule.results[0] ?? []
  const [gainOuter, gainInner] = [offsets(outer, gainDims, size), offsets(inner, gainDims, size)]
  const out = zeros(context)
  for (let i = 0; i < xOuter.length; i++) {
    const at = xOuter[i] ?? 0
    const [mean, factor] = statistics(x, at, xInner, isLayerNorm(context))
    for (let j = 0; j < xInner.length; j++) {
      const place = at + (xInner[j] ?? 0)
      const gain = (gainOuter[i] ?? 0) + (gainInner[j] ?? 0)
      out[gain] = (out[gain] ?? 0) + (incoming[place] ?? 0) * ((x[place] ?? 0) - mean) * factor
    }
  }
  return [out]
}

/** A function of one number with its derivative. */
type Curve = (x: number) => readonly [value: number, slope: number]

const silu: Curve = (x) => {
  const sigmoid = 1 / (1 + Math.exp(-x))
  return [x * sigmoid, sigmoid * (1 + x * (1 - sigmoid))]
}

/** The tanh form of GELU (Hendrycks and Gimpel 2016, section 2), which GPT-2 and Gemma use. */
const gelu: Curve = (x) => {
  const root = Math.sqrt(2 / Math.PI)
  const tanh = Math.tanh(root * (x + 0.044715 * x ** 3))
  return [0.5 * x * (1 + tanh), 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh ** 2) * root * (1 + 3 * 0.044715 * x ** 2)]
}

const relu: Curve = (x) => (x > 0 ? [x, 1] : [0, 0])

function curveOf({ node }: KernelContext): Curve {
  const name = node.attributes?.['function']
  if (name === 'relu') return relu
  return name === 'swiglu' ? silu : gelu
}

/** f(x), or f(gate) · up (Shazeer 2020). */
export const activate: Kernel = ([x = new Float64Array(), up], context) => {
  const curve = curveOf(context)
  return [x.map((value, index) => curve(value)[0] * (up ? (up[index] ?? 0) : 1))]
}

/** The gradients of an activation's operands. */
export const activateGradient: Kernel = (operands, context) => {
  const curve = curveOf(context)
  const [x = new Float64Array()] = operands
  const incoming = operands.at(-1) ?? x
  const up = operands.length === 3 ? operands[1] : undefined
  const own = x.map((value, index) => curve(value)[1] * (incoming[index] ?? 0) * (up ? (up[index] ?? 0) : 1))
  return up ? [own, x.map((value, index) => curve(value)[0] * (incoming[index] ?? 0))] : [own]
}

/** Where a table's rows stand on this rank, by their number. */
export function placesOf(positions: Int32Array): ReadonlyMap<number, number> {
  return new Map([...positions].map((position, place) => [position, place]))
}

/** For each element of looked-up rows, its offset in the table; undefined where this rank lacks the row. */
function rowOffsets(
  numbers: Float64Array,
  [numberDims = [], tableDims = [], rows = []]: readonly (readonly string[])[],
  { size, positions }: KernelContext,
): (element: number) => number | undefined {
  // The numbers count the only dim of the table that the rows lack.
  const row = tableDims.find((dim) => !rows.includes(dim)) ?? ''
  const places = placesOf(positions(row))
  const stride = tableDims.slice(tableDims.indexOf(row) + 1).reduce((product, dim) => product * size(dim), 1)
  const [number, column] = [offsets(rows, numberDims, size), offsets(rows, tableDims, size)]
  return (element) => {
    const place = places.get(numbers[number[element] ?? 0] ?? -1)
    return place === undefined ? undefined : place * stride + (column[element] ?? 0)
  }
}

/** Rows of a table by number; a row that this rank lacks gives zeros. */
export const lookUp: Kernel = ([numbers = new Float64Array(), table = new Float64Array()], context) => {
  const { operands, results } = context.rule
  const offsetOf = rowOffsets(numbers, [...operands, ...results], context)
  return [zeros(context).map((_, element) => table[offsetOf(element) ?? -1] ?? 0)]
}

/** Sums gradients of looked-up rows into the table's. */
export const lookUpGradient: Kernel = ([numbers = new Float64Array(), incoming = new Float64Array()], context) => {
  const [numberDims = [], rows = []] = context.rule.operands
  const offsetOf = rowOffsets(numbers, [numberDims, context.rule.results[0] ?? [], rows], context)
  const out = zeros(context)
  incoming.forEach((value, element) => {
    const at = offsetOf(element)
    if (at !== undefined) out[at] = (out[at] ?? 0) + value
  })
  return [out]
}
