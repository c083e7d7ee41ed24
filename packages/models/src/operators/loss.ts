import type { OperatorDefinition } from '@shardloom/core'
import { same } from '../kernels/attention.js'
import {
  acceptDrafts,
  largestLogit,
  lastOf,
  likelihoodGradient,
  logitOfLabel,
  maximum,
  negativeLogLikelihood,
  sumOfExponentials,
} from '../kernels/loss.js'
import { sameOnnx } from '../onnx/attention.js'
import {
  largestLogitOnnx,
  lastOnnx,
  likelihoodGradientOnnx,
  logitOfLabelOnnx,
  maximumOnnx,
  negativeLogLikelihoodOnnx,
  sumOfExponentialsOnnx,
} from '../onnx/loss.js'

/** The largest logit of each token, for a stable exponential. */
export const logitMax: OperatorDefinition = {
  name: 'logit_max',
  flops: 1,
  reduce: 'max',
  execute: maximum,
  onnx: maximumOnnx,
}

/** The sum of exp(logit − max) over the vocabulary. */
export const exponentialSum: OperatorDefinition = {
  name: 'exponential_sum',
  flops: 3,
  reduce: 'sum',
  execute: sumOfExponentials,
  onnx: sumOfExponentialsOnnx,
}

/** The logit of each token's label: a rank without that row of the vocabulary gives zero. */
export const targetLogit: OperatorDefinition = {
  name: 'target_logit',
  reduce: 'sum',
  linear: [[0]],
  index: ['vocab'],
  execute: logitOfLabel,
  onnx: logitOfLabelOnnx,
  domains: { 1: { below: ['vocab'] } },
  bytes: (_, { operand, result }) => ({ read: operand(1) + result(0), written: result(0) }),
}

/** Cross-entropy summed over tokens, times the scale 1/N: −Σ (target − max − log Σ exp(logit − max)) / N. */
export const crossEntropy: OperatorDefinition = {
  name: 'cross_entropy',
  flops: 4,
  reduce: 'sum',
  execute: negativeLogLikelihood,
  onnx: negativeLogLikelihoodOnnx,
  domains: { 4: 'positive' },
  derivative(node, { producer }) {
    const [maximum = '', sum = '', , labels = '', scale = ''] = node.inputs
    const sumNode = producer(sum)
    const logits = sumNode.inputs[0] ?? ''
    return [
      {
        op: 'cross_entropy_gradient',
        name: 'logits',
        rule: 'batch seq vocab, batch seq, batch seq, batch seq, . -> batch seq vocab',
        inputs: [logits, maximum, sum, labels, scale],
        of: [logits],
        differentiates: sumNode.id,
        ...(node.attributes && { attributes: node.attributes }),
      },
    ]
  },
}

/** softmax(logits) − one-hot(label), times the scale. */
export const crossEntropyGradient: OperatorDefinition = {
  name: 'cross_entropy_gradient',
  flops: 5,
  index: ['vocab'],
  execute: likelihoodGradient,
  onnx: likelihoodGradientOnnx,
}

/** Hands the loss to whoever watches the run; reads it whole. */
export const report: OperatorDefinition = { name: 'report', kind: 'control', execute: same, onnx: sameOnnx }

/** Keeps the last position of each sequence: a sum over positions in which only one term is not zero. */
export const lastPosition: OperatorDefinition = {
  name: 'last_position',
  reduce: 'sum',
  linear: [[0]],
  index: ['seq'],
  execute: lastOf,
  onnx: lastOnnx,
  bytes: (_, { result }) => ({ read: result(0), written: result(0) }),
}

/** The next token of each sequence from its logits over the whole vocabulary. */
export const sample: OperatorDefinition = {
  name: 'sample',
  kind: 'control',
  flops: 1,
  execute: largestLogit,
  onnx: largestLogitOnnx,
}

/**
 * Compares drafted tokens with those that the target chose instead. Operands: the tokens read, those chosen after each.
 * Results: how many chosen tokens are valid, and the one that the next step begins with.
 */
export const accept: OperatorDefinition = { name: 'accept', kind: 'control', execute: acceptDrafts }

export const lossOperators: readonly OperatorDefinition[] = [
  logitMax,
  exponentialSum,
  targetLogit,
  crossEntropy,
  crossEntropyGradient,
  report,
  lastPosition,
  sample,
  accept,
]
