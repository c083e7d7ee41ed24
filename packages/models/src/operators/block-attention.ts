import type { OperatorDefinition } from '@shardloom/core'
import { causalPairs } from '../causal-pairs.js'
import {
  attendBlock,
  blockGradient,
  blockProbabilities,
  mergeBlock,
  sinkGradient,
  startAttention,
  zerosLike,
} from '../kernels/block-attention.js'

/*
 * Attention in blocks of keys and values, with a running denominator per row (Milakov and Gimelshein 2018; Dao et al. 2022,
 * section 3.1; over a ring of devices: Liu, Zaharia and Abbeel 2023, section 3). Rows carry the logarithm of Σ exp(score).
 */

/** Where the sum over blocks begins. Operands: queries, and learned extra logits per head where the model has sinks. */
export const attentionStart: OperatorDefinition = { name: 'attention_start', execute: startAttention }

/** Where a sum of products begins: its rule is that of the terms, without the operands that share their placement. */
export const zerosOf: OperatorDefinition = { name: 'zeros_like', reduce: 'sum', execute: zerosLike }

/** Masked softmax of a block of scores, given the row's denominator so far; the second result is the next one. */
export const blockSoftmax: OperatorDefinition = {
  name: 'block_softmax',
  pairs: causalPairs,
  flops: 6, // scale, maximum, difference, exponential, sum, quotient
  exponentials: 1,
  reduce: { kv_seq: 'lse' },
  index: ['seq', 'kv_seq'],
  execute: attendBlock,
}

/** Adds a block's contexts to those of the blocks before, which the new denominator makes smaller. */
export const mergeBlocks: OperatorDefinition = { name: 'merge_blocks', flops: 2, execute: mergeBlock }

/** Backward: a block's probabilities from its scores and the whole row's denominator. */
export const blockSoftmaxAgain: OperatorDefinition = {
  name: 'block_probabilities',
  pairs: causalPairs,
  flops: 3, // scale, difference, exponential
  exponentials: 1,
  index: ['seq', 'kv_seq'],
  execute: blockProbabilities,
}

/** Backward: a block's part of the gradient of scores; Σ p dp of the whole row is dO · O (Dao 2023, section 3.1.2). */
export const blockSoftmaxGradient: OperatorDefinition = {
  name: 'block_softmax_gradient',
  pairs: causalPairs,
  flops: 3, // difference, product, scale
  linear: [[1, 2]],
  execute: blockGradient,
}

/** The gradient of learned extra logits, over all rows. */
export const sinkLogitGradient: OperatorDefinition = {
  name: 'sink_gradient',
  flops: 4,
  reduce: { batch: 'sum', seq: 'sum' },
  linear: [[2]],
  execute: sinkGradient,
}

export const blockAttentionOperators: readonly OperatorDefinition[] = [
  attentionStart,
  zerosOf,
  blockSoftmax,
  mergeBlocks,
  blockSoftmaxAgain,
  blockSoftmaxGradient,
  sinkLogitGradient,
]
