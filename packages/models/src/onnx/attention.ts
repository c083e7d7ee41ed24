import type { OnnxContext } from '@shardloom/core'
import { rotaryBase } from '../kernels/attention.js'
import { arithmetic, attributeOf, broadcast, type OnnxMeaning, placesOf } from './values.js'

/** The position in its sequence of the first query, as a scalar; undefined where it is 0. */
function firstPosition(context: OnnxContext): string | undefined {
  const start = attributeOf(context, 'position')
  if (start === undefined) return undefined
  const { add, constant, iteration, node } = context
  const step = iteration(String(node.attributes?.['along'] ?? 'decode_step'))
  const advance = constant(attributeOf(context, 'advance') ?? 1, 'int64')
  return add('Add', [add('Mul', [step, advance]), constant(start, 'int64')])
}

/** The positions of queries. */
function queryPositions(context: OnnxContext): string {
  const first = firstPosition(context)
  const positions = context.positions('seq')
  return first === undefined ? positions : context.add('Add', [positions, first])
}

/** Rotary embedding: the last `width` elements of a head, its first half against its second. */
export const rotateOnnx: OnnxMeaning = ([x = ''], context) => {
  const { rule, add, constant, node, size } = context
  const { times, minus, plus, unsqueeze } = arithmetic(context)
  const dims = rule.operands[0] ?? []
  const seq = dims.indexOf('seq')
  const last = dims.length - 1
  if (seq < 0 || !rule.whole.has(dims[last] ?? '')) return undefined
  const length = size(dims[last] ?? '')
  const width = attributeOf(context, 'width') ?? length
  const half = Math.floor(width / 2)
  const sign = node.attributes?.['inverse'] === true ? -1 : 1
  const rates = Array.from({ length: half }, (_, j) => sign * rotaryBase ** ((-2 * j) / width))
  const position = add('Cast', [queryPositions(context)], { to: 1 })
  const angle = unsqueeze(
    add('Mul', [unsqueeze(position, [1]), constant(rates, 'fp32')]),
    Array.from({ length: last - seq - 1 }, (_, index) => index + 1),
  )
  const part = (from: number, to: number) =>
    add('Slice', [x, constant([from], 'int64'), constant([to], 'int64'), constant([last], 'int64')])
  const start = length - width
  const [a, b] = [part(start, start + half), part(start + half, start + 2 * half)]
  const turn = (op: string) => add('CastLike', [add(op, [angle]), x])
  const [cos, sin] = [turn('Cos'), turn('Sin')]
  const turned = [minus(times(a, cos), times(b, sin)), plus(times(a, sin), times(b, cos))]
  const rest = [
    ...(start > 0 ? [part(0, start)] : []),
    ...turned,
    ...(width > 2 * half ? [part(length - 1, length)] : []),
  ]
  return [add('Concat', rest, { axis: last })]
}

/** Which queries may attend to which keys, broadcast over scores with these dims; undefined where the keys of a cache are shared. */
function mask(dims: readonly string[], context: OnnxContext): string | undefined {
  const { add, constant, positions, whole } = context
  const isCached = attributeOf(context, 'position') !== undefined
  if (dims.at(-1) !== 'kv_seq' || !dims.includes('seq') || (isCached && !(whole('kv_seq') && whole('seq'))))
    return undefined
  const query = broadcast(context, queryPositions(context), ['seq'], dims)
  if (query === undefined) return undefined
  const slots = positions('kv_seq')
  const key = isCached ? keysInSlots(slots, context) : slots
  const all = [add('LessOrEqual', [key, query])]
  const [window, chunk] = [attributeOf(context, 'window'), attributeOf(context, 'chunk')]
  if (isCached) all.push(add('GreaterOrEqual', [key, constant(0, 'int64')]))
  if (window !== undefined) all.push(add('Less', [add('Sub', [query, key]), constant(window, 'int64')]))
  if (chunk !== undefined) {
    const number = (position: string) => add('Div', [position, constant(chunk, 'int64')])
    all.push(add('Equal', [number(query), number(key)]))
  }
  return all.reduce((a, b) => add('And', [a, b]))
}

/** The positions in the slots of a cache, which are used in turn: latest − (latest − slot) mod slots. */
function keysInSlots(slots: string, context: OnnxContext): string {
  const { add, constant, size } = context
  const first = firstPosition(context) ?? constant(0, 'int64')
  const latest = add('Add', [first, constant(size('seq') - 1, 'int64')])
  return add('Sub', [latest, add('Mod', [add('Sub', [latest, slots]), add('Size', [slots])])])
}

/** Scaled scores with minus infinity where a query may not attend. */
function masked(scores: string, dims: readonly string[], context: OnnxContext): string | undefined {
  const allowed = mask(dims, context)
  if (allowed === undefined) return undefined
  const scaled = arithmetic(context).times(scores, attributeOf(context, 'scale') ?? 1)
  return context.add('Where', [allowed, scaled, context.constant(Number.NEGATIVE_INFINITY, 'float')])
}

/** Masked softmax of scaled scores, with a learned extra logit in the denominator where given. */
export const attendOnnx: OnnxMeaning = ([scores = '', sinks], context) => {
  const { rule, add } = context
  const { minus, plus, over, exp, sum } = arithmetic(context)
  const [dims = [], sinkDims = []] = rule.operands
  const logits = masked(scores, dims, context)
  if (logits === undefined) return undefined
  const last = dims.length - 1
  if (sinks === undefined) return [add('Softmax', [logits], { axis: last })]
  const extra = broadcast(context, sinks, sinkDims, dims)
  if (extra === undefined) return undefined
  const largest = add('Max', [add('ReduceMax', [logits], { axes: [last], keepdims: 1 }), extra])
  const weight = exp(minus(logits, largest))
  return [over(weight, plus(sum(weight, [last], true), exp(minus(extra, largest))))]
}

/** The gradient of the scores, and of the extra logits, from the probabilities and their gradient. */
export const attendGradientOnnx: OnnxMeaning = ([p = '', incoming = ''], context) => {
  const { rule, add } = context
  const { minus, times, sum } = arithmetic(context)
  const dims = rule.operands[0] ?? []
  const last = dims.length - 1
  const along = sum(times(p, incoming), [last], true)
  const own = times(times(p, minus(incoming, along)), attributeOf(context, 'scale') ?? 1)
  const sinkDims = rule.results[1]
  if (!sinkDims) return [own]
  // What the probabilities lack to 1 is the extra logit's share.
  const share = minus(sum(p, [last], true), 1)
  const others = placesOf(dims, (dim) => !sinkDims.includes(dim))
  return [own, sum(add('Mul', [share, along]), others)]
}

/** Parts joined along their last dim; one that lacks other dims, which heads share, is repeated. */
export const joinOnnx: OnnxMeaning = (operands, context) => {
  const { rule, add, constant } = context
  const outer = rule.results[0]?.slice(0, -1) ?? []
  const isWhole = (own: readonly string[] = []) => own.length === outer.length + 1
  const like = rule.operands.findIndex(isWhole)
  const parts: string[] = []
  for (const [index, operand] of operands.entries()) {
    const own = rule.operands[index] ?? []
    if (isWhole(own)) {
      parts.push(operand)
      continue
    }
    const row = broadcast(context, operand, [...own.slice(0, -1), ''], [...outer, ''])
    if (row === undefined || like < 0) return undefined
    const shape = add('Shape', [operands[like] ?? ''], { start: 0, end: outer.length })
    parts.push(add('Expand', [row, add('Concat', [shape, constant([1], 'int64')], { axis: 0 })]))
  }
  return [add('Concat', parts, { axis: outer.length })]
}

/** The first or the last elements along the last dim, summed over the dims that the result lacks. */
export const partOnnx =
  (isLast: (context: OnnxContext) => boolean): OnnxMeaning =>
  ([x = ''], context) => {
    const { rule, add, constant, size } = context
    const dims = rule.operands[0] ?? []
    const own = rule.results[0] ?? []
    const [width, length] = [size(own.at(-1) ?? ''), size(dims.at(-1) ?? '')]
    const start = isLast(context) ? length - width : 0
    const last = dims.length - 1
    const bounds = [start, start + width, last].map((each) => constant([each], 'int64'))
    const missing = placesOf(dims.slice(0, -1), (dim) => !own.includes(dim))
    return [arithmetic(context).sum(add('Slice', [x, ...bounds]), missing)]
  }

/** Puts keys or values into the slots of their positions; without a cache before, they are the cache. */
export const writeCacheOnnx: OnnxMeaning = ([before = '', added], context) => {
  const { rule, add, whole, constant, size } = context
  if (added === undefined) return [add('Identity', [before])]
  const [dims = [], addedDims = []] = rule.operands
  const axis = dims.indexOf('kv_seq')
  const first = firstPosition(context)
  if (!whole('kv_seq') || !whole('seq') || first === undefined || addedDims.indexOf('seq') !== axis) return undefined
  const count = add('Shape', [before], { start: axis, end: axis + 1 })
  const offsets = constant(
    Array.from({ length: size('seq') }, (_, index) => index),
    'int64',
  )
  const slots = add('Mod', [add('Add', [offsets, first]), count])
  const places = arithmetic(context).unsqueeze(slots, [1])
  const perm = [axis, ...dims.flatMap((_, place) => (place === axis ? [] : [place]))]
  const back = dims.map((_, place) => perm.indexOf(place))
  const turned = (value: string) => add('Transpose', [value], { perm })
  return [add('Transpose', [add('ScatterND', [turned(before), places, turned(added)])], { perm: back })]
}

/** The operand as it is. */
export const sameOnnx: OnnxMeaning = ([x = ''], { add }) => [add('Identity', [x])]
