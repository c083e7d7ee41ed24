import type { OperatorDefinition } from '@shardloom/core'

/** The sum of squares of a gradient: its part in the squared global norm. */
export const squareSum: OperatorDefinition = { name: 'square_sum', flops: 2, reduce: 'sum' }

/** The factor min(1, limit / √norm²) that clips all gradients (Pascanu, Mikolov and Bengio 2013). */
export const clipFactor: OperatorDefinition = { name: 'clip_factor', flops: 3 }

/** A sum of scalars that are contributions to one value. */
export const sumSquares: OperatorDefinition = { name: 'sum_squares', flops: 1, linear: 'all', joins: true }

/**
 * Adam (Kingma and Ba 2015, algorithm 1) on a high-precision master copy. Operands: gradient, master, both moments, clip
 * factor; results: the parameter in its own type, and the three states.
 */
export const adam: OperatorDefinition = { name: 'adam', flops: 14 }

export const optimizerOperators: readonly OperatorDefinition[] = [squareSum, clipFactor, sumSquares, adam]
