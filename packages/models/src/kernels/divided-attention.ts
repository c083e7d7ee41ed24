import type { Kernel } from '@shardloom/core'
import { firstPosition, mask, positionInSlot } from './attention.js'
import { numberOf, offsets, zeros } from './points.js'

/** Scaled scores; −∞ where a query does not attend to the position that a slot of the cache holds. */
export const maskScores: Kernel = ([scores = new Float64Array()], context) => {
  const { rule, size, positions, extent } = context
  const outer = (rule.operands[0] ?? []).slice(0, -1)
  const scale = numberOf(context, 'scale') ?? 1
  const allowed = mask(context)
  const first = firstPosition(context)
  const latest = first + extent('seq') - 1
  const [seq, slots] = [positions('seq'), positions('kv_seq')]
  const places = offsets(outer, ['seq'], size)
  const keys = Array.from(slots, (slot) => positionInSlot(slot, extent('kv_seq'), latest))
  const out = zeros(context)
  for (let i = 0; i < places.length; i++) {
    const query = first + (seq[places[i] ?? 0] ?? 0)
    for (const [j, key] of keys.entries()) {
      const at = i * keys.length + j
      out[at] = allowed(query, key) ? scale * (scores[at] ?? 0) : Number.NEGATIVE_INFINITY
    }
  }
  return [out]
}

/** Values weighted by the exponentials of this rank's logits, with the logarithm of their sum per row. */
export const attendValues: Kernel = ([logits = new Float64Array(), values = logits, sinks], context) => {
  const { rule, size, positions } = context
  const [dims = [], valueDims = [], sinkDims = []] = rule.operands
  const outer = dims.slice(0, -1)
  const slots = positions('kv_seq')
  const width = size(rule.results[0]?.at(-1) ?? '')
  const stride = valueDims.slice(valueDims.indexOf('kv_seq') + 1).reduce((product, dim) => product * size(dim), 1)
  const [from, sink] = [offsets(outer, valueDims, size), offsets(outer, sinkDims, size)]
  // A learned extra logit is one term of the whole row: it counts where the first slot lies.
  const extra = (row: number) => (sinks && slots.includes(0) ? (sinks[sink[row] ?? 0] ?? 0) : Number.NEGATIVE_INFINITY)
  const out = zeros(context)
  const logSumExp = Float64Array.from(from, (start, row) => {
    const own = logits.subarray(row * slots.length, (row + 1) * slots.length)
    const largest = own.reduce((a, b) => Math.max(a, b), extra(row))
    if (largest === Number.NEGATIVE_INFINITY) return largest
    const sum = own.reduce((total, logit) => total + Math.exp(logit - largest), Math.exp(extra(row) - largest))
    for (const [j, logit] of own.entries()) {
      const share = Math.exp(logit - largest) / sum
      for (let index = 0; index < width; index++) {
        const at = row * width + index
        out[at] = (out[at] ?? 0) + share * (values[start + j * stride + index] ?? 0)
      }
    }
    return largest + Math.log(sum)
  })
  return [{ values: out, logSumExp }]
}
