import type { Kernel, KernelContext } from '@shardloom/core'
import { countOf, numberOf, offsets, rowsOf, zeros } from './points.js'

/** The base of the rotary frequencies (Su et al. 2021, section 3.2.2). */
export const rotaryBase = 10_000

/** The position in its sequence of the first query: with a cache it moves on with each decode step or chunk. */
export function firstPosition(context: KernelContext): number {
  const start = numberOf(context, 'position')
  if (start === undefined) return 0
  const [advance = 1, axis = 'decode_step'] = [numberOf(context, 'advance'), context.node.attributes?.['along']]
  return start + advance * context.iteration(String(axis))
}

/** Rotates the last `width` elements of each head, its first half against its second; `inverse` turns back. */
export const rotate: Kernel = ([x = new Float64Array()], context) => {
  const { rule, size, positions, node } = context
  const dims = rule.operands[0] ?? []
  const { outer, inner } = rowsOf(dims, (dim) => rule.whole.has(dim))
  const length = countOf(inner, size)
  const width = numberOf(context, 'width') ?? length
  const half = Math.floor(width / 2)
  const sign = node.attributes?.['inverse'] === true ? -1 : 1
  const rows = offsets(outer, dims, size)
  const seq = positions('seq')
  const places = offsets(outer, ['seq'], size)
  const first = firstPosition(context)
  const out = x.slice()
  for (let i = 0; i < rows.length; i++) {
    const start = (rows[i] ?? 0) + length - width
    const position = first + (seq[places[i] ?? 0] ?? 0)
    for (let j = 0; j < half; j++) {
      const angle = sign * position * rotaryBase ** ((-2 * j) / width)
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)]
      const [a, b] = [x[start + j] ?? 0, x[start + half + j] ?? 0]
      out[start + j] = a * cos - b * sin
      out[start + half + j] = a * sin + b * cos
    }
  }
  return [out]
}

/** Whether a query may attend to a key, by their positions. */
export function mask(context: KernelContext): (query: number, key: number) => boolean {
  const window = numberOf(context, 'window') ?? Number.POSITIVE_INFINITY
  const chunk = numberOf(context, 'chunk') ?? Number.POSITIVE_INFINITY
  return (query, key) =>
    key >= 0 && key <= query && query - key < window && Math.floor(query / chunk) === Math.floor(key / chunk)
}

/** The position that a slot of a cache holds: slots are used in turn once the cache is as long as attention reaches. */
export function positionInSlot(slot: number, slots: number, latest: number): number {
  return latest - ((((latest - slot) % slots) + slots) % slots)
}

/** Masked softmax of scaled scores, with a learned extra logit in the denominator where given. */
export const attend: Kernel = ([scores = new Float64Array(), sinks], context) => {
  const { rule, size, positions, extent } = context
  const [dims = [], sinkDims = []] = rule.operands
  const outer = dims.slice(0, -1)
  const scale = numberOf(context, 'scale') ?? 1
  const allowed = mask(context)
  const first = firstPosition(context)
  const caching = numberOf(context, 'position') !== undefined
  const latest = first + extent('seq') - 1
  const [seq, slots] = [positions('seq'), positions('kv_seq')]
  const places = offsets(outer, ['seq'], size)
  const sink = offsets(outer, sinkDims, size)
  const out = zeros(context)
  const count = slots.length
  for (let i = 0; i < places.length; i++) {
    const query = first + (seq[places[i] ?? 0] ?? 0)
    const key = (j: number) => (caching ? positionInSlot(slots[j] ?? 0, extent('kv_seq'), latest) : (slots[j] ?? 0))
    const extra = sinks ? (sinks[sink[i] ?? 0] ?? 0) : Number.NEGATIVE_INFINITY
    let maximum = extra
    for (let j = 0; j < count; j++)
      if (allowed(query, key(j))) maximum = Math.max(maximum, scale * (scores[i * count + j] ?? 0))
    let sum = sinks ? Math.exp(extra - maximum) : 0
    for (let j = 0; j < count; j++) {
      if (!allowed(query, key(j))) continue
      const weight = Math.exp(scale * (scores[i * count + j] ?? 0) - maximum)
      out[i * count + j] = weight
      sum += weight
    }
    for (let j = 0; j < count; j++) out[i * count + j] = (out[i * count + j] ?? 0) / sum
  }
  return [out]
}

/** The gradient of the scores, and of the extra logits, from the probabilities and their gradient. */
export const attendGradient: Kernel = ([p = new Float64Array(), incoming = new Float64Array()], context) => {
  const { rule, size } = context
  const dims = rule.operands[0] ?? []
  const outer = dims.slice(0, -1)
  const count = size(dims.at(-1) ?? '')
  const scale = numberOf(context, 'scale') ?? 1
  const [out, sinks] = [zeros(context), rule.results.length > 1 ? zeros(context, 1) : undefined]
  const sink = offsets(outer, rule.results[1] ?? [], size)
  for (let i = 0; i < sink.length; i++) {
    let [along, total] = [0, 0]
    for (let j = i * count; j < (i + 1) * count; j++) {
      along += (p[j] ?? 0) * (incoming[j] ?? 0)
      total += p[j] ?? 0
    }
    for (let j = i * count; j < (i + 1) * count; j++) out[j] = scale * (p[j] ?? 0) * ((incoming[j] ?? 0) - along)
    // What the probabilities lack to 1 is the extra logit's share.
    if (sinks) sinks[sink[i] ?? 0] = (sinks[sink[i] ?? 0] ?? 0) - (1 - total) * along
  }
  return sinks ? [out, sinks] : [out]
}

/** Joins two operands along the last dim of the result; one that lacks other dims of it is broadcast. */
export const join: Kernel = (operands, context) => {
  const { rule, size } = context
  const dims = rule.results[0] ?? []
  const outer = dims.slice(0, -1)
  const width = size(dims.at(-1) ?? '')
  const out = zeros(context)
  let start = 0
  operands.forEach((operand, index) => {
    const own = rule.operands[index] ?? []
    const part = size(own.at(-1) ?? '')
    const rows = offsets(outer, own, size)
    for (let i = 0; i < rows.length; i++)
      for (let j = 0; j < part; j++) out[i * width + start + j] = operand[(rows[i] ?? 0) + j] ?? 0
    start += part
  })
  return [out]
}

/** The first or the last elements along the last dim, summed over the dims that the result lacks. */
export const part =
  (isLast: (context: KernelContext) => boolean): Kernel =>
  ([x = new Float64Array()], context) => {
    const { rule, size } = context
    const [dims = []] = rule.operands
    const own = rule.results[0] ?? []
    const [width, length] = [size(own.at(-1) ?? ''), size(dims.at(-1) ?? '')]
    const start = isLast(context) ? length - width : 0
    const rows = offsets(dims.slice(0, -1), own, size)
    const out = zeros(context)
    for (let i = 0; i < rows.length; i++) {
      for (let j = 0; j < width; j++) {
        const at = (rows[i] ?? 0) + j
        out[at] = (out[at] ?? 0) + (x[i * length + start + j] ?? 0)
      }
    }
    return [out]
  }

/** Puts keys or values into the slots of their positions; without a cache before, they are the cache. */
export const writeCache: Kernel = ([before = new Float64Array(), added], context) => {
  if (!added) return [before]
  const { rule, size, extent, positions } = context
  const [dims = [], addedDims = []] = rule.operands
  const axis = dims.indexOf('kv_seq')
  const [slots, count] = [positions('kv_seq'), extent('kv_seq')]
  const first = firstPosition(context)
  const stride = dims.slice(axis + 1).reduce((product, dim) => product * size(dim), 1)
  const others = dims.filter((dim) => dim !== 'kv_seq')
  const [to, from] = [offsets(others, dims, size), offsets(others, addedDims, size)]
  const out = before.slice()
  for (let index = 0; index < size('seq'); index++) {
    const place = slots.indexOf((first + index) % count)
    if (place < 0) continue
    for (let i = 0; i < to.length; i++) out[(to[i] ?? 0) + place * stride] = added[(from[i] ?? 0) + index * stride] ?? 0
  }
  return [out]
}

/** The operand as it is. */
export const same: Kernel = ([x = new Float64Array()]) => [x]
