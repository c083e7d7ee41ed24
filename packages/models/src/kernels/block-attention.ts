import type { Kernel, KernelContext } from '@shardloom/core'
import { mask } from './attention.js'
import { countOf, numberOf, offsets, zeros } from './points.js'

/** The rows of scores: for each its query, its place among the rows of another operand, and its keys that count. */
function rowsOf(context: KernelContext, rowDims: readonly string[]) {
  const { rule, size, positions } = context
  const outer = (rule.operands[0] ?? []).slice(0, -1)
  const allowed = mask(context)
  const [queries, keys] = [positions('seq'), positions('kv_seq')]
  const [seq, row] = [offsets(outer, ['seq'], size), offsets(outer, rowDims, size)]
  const visit = (each: (start: number, row: number, counts: (key: number) => boolean) => void) => {
    for (let i = 0; i < seq.length; i++) {
      const query = queries[seq[i] ?? 0] ?? 0
      each(i * keys.length, row[i] ?? 0, (key) => allowed(query, keys[key] ?? 0))
    }
  }
  return { count: keys.length, visit }
}

/** No key has been seen: outputs are zero, and the weights are those of the learned extra logits where there are some. */
export const startAttention: Kernel = ([, sinks], context) => {
  const { rule, size } = context
  const [, rows = []] = rule.results
  const at = offsets(rows, rule.operands[1] ?? [], size)
  const weights = zeros(context, 1).map((_, row) => (sinks ? (sinks[at[row] ?? 0] ?? 0) : Number.NEGATIVE_INFINITY))
  return [zeros(context), weights]
}

/** Zeros of the operand's shape. */
export const zerosLike: Kernel = (_, context) => [zeros(context)]

/** Probabilities among all keys up to this block, and the logarithm of their new denominator. */
export const attendBlock: Kernel = ([scores = new Float64Array(), before = new Float64Array()], context) => {
  const scale = numberOf(context, 'scale') ?? 1
  const [out, after] = [zeros(context), before.slice()]
  const { count, visit } = rowsOf(context, context.rule.operands[1] ?? [])
  visit((start, row, counts) => {
    const seen = before[row] ?? 0
    let maximum = seen
    for (let j = 0; j < count; j++) if (counts(j)) maximum = Math.max(maximum, scale * (scores[start + j] ?? 0))
    if (maximum === Number.NEGATIVE_INFINITY) return
    let sum = Math.exp(seen - maximum)
    for (let j = 0; j < count; j++) if (counts(j)) sum += Math.exp(scale * (scores[start + j] ?? 0) - maximum)
    const weight = maximum + Math.log(sum)
    for (let j = 0; j < count; j++) if (counts(j)) out[start + j] = Math.exp(scale * (scores[start + j] ?? 0) - weight)
    after[row] = weight
  })
  return [out, after]
}

/** What the keys so far came to, weighed anew, and what a block adds. */
export const mergeBlock: Kernel = (operands, context) => {
  const [sum = new Float64Array(), block = sum, before = sum, after = sum] = operands
  const row = offsets(context.rule.results[0] ?? [], context.rule.operands[2] ?? [], context.size)
  const share = (at: number) => {
    const [old, now] = [before[at] ?? 0, after[at] ?? 0]
    return old === Number.NEGATIVE_INFINITY ? 0 : Math.exp(old - now)
  }
  return [sum.map((value, index) => share(row[index] ?? 0) * value + (block[index] ?? 0))]
}

/** Probabilities of a block's keys, from scores and the logarithm of the whole row's denominator. */
export const blockProbabilities: Kernel = ([scores = new Float64Array(), weights = new Float64Array()], context) => {
  const scale = numberOf(context, 'scale') ?? 1
  const out = zeros(context)
  const { count, visit } = rowsOf(context, context.rule.operands[1] ?? [])
  visit((start, row, counts) => {
    for (let j = 0; j < count; j++)
      if (counts(j)) out[start + j] = Math.exp(scale * (scores[start + j] ?? 0) - (weights[row] ?? 0))
  })
  return [out]
}

/** The gradient of a block's scores, from its probabilities, their gradient, and each row's Σ of both over all keys. */
export const blockGradient: Kernel = ([p = new Float64Array(), incoming = p, along = p], context) => {
  const { rule, size } = context
  const scale = numberOf(context, 'scale') ?? 1
  const row = offsets(rule.results[0] ?? [], rule.operands[2] ?? [], size)
  return [p.map((value, index) => scale * value * ((incoming[index] ?? 0) - (along[row[index] ?? 0] ?? 0)))]
}

/** The gradient of the extra logits: their share of each row, −exp(sink − weight) · Σ p dp. */
export const sinkGradient: Kernel = ([sinks = new Float64Array(), weights = sinks, along = sinks], context) => {
  const { rule, size } = context
  const rows = rule.operands[1] ?? []
  const [at, out] = [offsets(rows, rule.operands[0] ?? [], size), zeros(context)]
  for (let row = 0; row < countOf(rows, size); row++) {
    const sink = at[row] ?? 0
    out[sink] = (out[sink] ?? 0) - Math.exp((sinks[sink] ?? 0) - (weights[row] ?? 0)) * (along[row] ?? 0)
  }
  return [out]
}
