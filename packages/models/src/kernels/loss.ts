import type { Kernel } from '@shardloom/core'
import { firstPosition } from './attention.js'
import { placesOf } from './linear.js'
import { countOf, numberOf, offsets, zeros } from './points.js'

const none = new Float64Array()

/** The largest element along the dim that the result lacks. */
export const maximum: Kernel = ([x = none], { rule, size }) => {
  const out = new Float64Array(countOf(rule.results[0] ?? [], size)).fill(Number.NEGATIVE_INFINITY)
  const own = offsets(rule.operands[0] ?? [], rule.results[0] ?? [], size)
  x.forEach((value, index) => {
    const at = own[index] ?? 0
    out[at] = Math.max(out[at] ?? 0, value)
  })
  return [out]
}

/** Σ exp(x − maximum). */
export const sumOfExponentials: Kernel = ([x = none, largest = none], context) => {
  const { rule, size } = context
  const own = offsets(rule.operands[0] ?? [], rule.results[0] ?? [], size)
  const out = zeros(context)
  x.forEach((value, index) => {
    const at = own[index] ?? 0
    out[at] = (out[at] ?? 0) + Math.exp(value - (largest[at] ?? 0))
  })
  return [out]
}

/** The logit of each label; zero where this rank lacks its row. */
export const logitOfLabel: Kernel = ([logits = none, labels = none], context) => {
  const places = placesOf(context.positions('vocab'))
  const vocab = context.size('vocab')
  const out = zeros(context)
  labels.forEach((label, token) => {
    const place = places.get(label)
    if (place !== undefined) out[token] = logits[token * vocab + place] ?? 0
  })
  return [out]
}

/** Σ over tokens of (maximum + log Σ exp − logit of the label), times the scale. */
export const negativeLogLikelihood: Kernel = ([largest = none, sum = none, target = none, , scale = none]) => [
  Float64Array.of(
    largest.reduce((total, value, token) => total + value + Math.log(sum[token] ?? 0) - (target[token] ?? 0), 0) *
      (scale[0] ?? 0),
  ),
]

/** (softmax(logits) − 1 at the label) times the scale. */
export const likelihoodGradient: Kernel = (
  [logits = none, largest = none, sum = none, labels = none, scale = none],
  { positions, size },
) => {
  const [rows, vocab] = [positions('vocab'), size('vocab')]
  return [
    logits.map((logit, index) => {
      const token = Math.floor(index / vocab)
      const probability = Math.exp(logit - (largest[token] ?? 0)) / (sum[token] ?? 0)
      return (probability - (rows[index % vocab] === labels[token] ? 1 : 0)) * (scale[0] ?? 0)
    }),
  ]
}

/** The elements at the sequence's last position; zeros where another rank has it. */
export const lastOf: Kernel = ([x = none], context) => {
  const { rule, size, positions, extent } = context
  const last = numberOf(context, 'last') ?? extent('seq') - 1
  const place = positions('seq').indexOf(last - firstPosition(context))
  const out = zeros(context)
  if (place < 0) return [out]
  const dims = rule.operands[0] ?? []
  const stride = dims.slice(dims.indexOf('seq') + 1).reduce((product, dim) => product * size(dim), 1)
  const from = offsets(rule.results[0] ?? [], dims, size)
  return [out.map((_, index) => x[(from[index] ?? 0) + place * stride] ?? 0)]
}

/** The row of the largest logit, the first where several are equal: greedy decoding. */
export const largestLogit: Kernel = ([logits = none], context) => {
  const vocab = context.size('vocab')
  return [
    zeros(context).map((_, token) => {
      const row = logits.subarray(token * vocab, (token + 1) * vocab)
      return row.indexOf(row.reduce((largest, value) => Math.max(largest, value), Number.NEGATIVE_INFINITY))
    }),
  ]
}

/** Up to the first drafted token that the target did not choose, what it chose is valid. */
export const acceptDrafts: Kernel = ([read = none, chosen = none], context) => {
  const width = context.size('seq')
  const keep = numberOf(context, 'keep') ?? width
  const [counts, next] = [zeros(context), zeros(context, 1)]
  for (let row = 0; row < counts.length; row++) {
    let count = 1
    while (count < width && read[row * width + count] === chosen[row * width + count - 1]) count++
    counts[row] = count
    next[row] = chosen[row * width + keep - 1] ?? 0
  }
  return [counts, next]
}
