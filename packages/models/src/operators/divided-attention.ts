import type { OperatorDefinition } from '@shardloom/core'
import { attendValues, maskScores } from '../kernels/divided-attention.js'

/*
 * Attention while decoding over a cache whose positions several ranks share: each attends to the keys that it holds, and
 * the results are merged by the logarithms of their denominators (Milakov and Gimelshein 2018; Dao et al. 2023, Flash-Decoding).
 */

/**
 * Scaled and masked scores. The softmax that they are for has its FLOPs here: they are so many per score, while
 * {@link dividedValues} has a point for each score and element of a value.
 */
export const dividedScores: OperatorDefinition = {
  name: 'attention_logits',
  flops: 6, // scale, maximum, difference, exponential, sum, quotient
  exponentials: 1,
  index: ['seq', 'kv_seq'],
  execute: maskScores,
}

/** Values weighted by the softmax over the keys of a rank. Operands: logits, values, and learned extra logits where the model has sinks. */
export const dividedValues: OperatorDefinition = {
  name: 'attend_values',
  class: 'attention',
  flops: 2,
  reduce: { kv_seq: 'lse' },
  index: ['kv_seq'],
  execute: attendValues,
}

export const dividedAttentionOperators: readonly OperatorDefinition[] = [dividedScores, dividedValues]
