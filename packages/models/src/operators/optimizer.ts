import type { OperatorDefinition } from '@shardloom/core'
import { sum } from '../kernels/linear.js'
import { adamStep, clip, sumOfSquares } from '../kernels/optimizer.js'
import { sumOnnx } from '../onnx/linear.js'
import { adamStepOnnx, clipOnnx, sumOfSquaresOnnx } from '../onnx/optimizer.js'
import { additions } from './linear.js'

/** The sum of squares of a gradient: its part in the squared global norm. */
export const squareSum: OperatorDefinition = {
  name: 'square_sum',
  flops: 2,
  reduce: 'sum',
  execute: sumOfSquares,
  onnx: sumOfSquaresOnnx,
}

/** The factor min(1, limit / √norm²) that clips all gradients (Pascanu, Mikolov and Bengio 2013). */
export const clipFactor: OperatorDefinition = { name: 'clip_factor', flops: 3, execute: clip, onnx: clipOnnx }

/** A sum of scalars that are contributions to one value. */
export const sumSquares: OperatorDefinition = {
  name: 'sum_squares',
  flops: additions,
  linear: 'all',
  joins: true,
  execute: sum,
  onnx: sumOnnx,
}

/**
 * Adam (Kingma and Ba 2015, algorithm 1) on a master copy in single precision. Operands: gradient, master, both moments,
 * clip factor; results: the parameter in its own type, and the three states. A parameter as precise stands in the master's
 * place, and is no second result.
 */
export const adam: OperatorDefinition = {
  name: 'adam',
  flops: 14,
  execute: adamStep,
  onnx: adamStepOnnx,
  domains: { 3: 'positive' },
}

export const optimizerOperators: readonly OperatorDefinition[] = [squareSum, clipFactor, sumSquares, adam]
