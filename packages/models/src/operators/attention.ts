import type { DerivativeTerm, KernelContext, OperatorDefinition } from '@shardloom/core'
import { operandText, parseRule } from '@shardloom/core'
import { causalPairs } from '../causal-pairs.js'
import { attend, attendGradient, join, part, rotate, same, writeCache } from '../kernels/attention.js'
import {
  attendGradientOnnx,
  attendOnnx,
  joinOnnx,
  partOnnx,
  rotateOnnx,
  sameOnnx,
  writeCacheOnnx,
} from '../onnx/attention.js'

/** Rotates pairs of a head's elements by an angle that depends on the position (Su et al. 2021). Linear. */
export const rotary: OperatorDefinition = {
  name: 'rotary',
  flops: 3,
  linear: [[0]],
  index: ['seq'],
  execute: rotate,
  onnx: rotateOnnx,
  derivative: (node) => [
    {
      op: 'rotary',
      name: 'input',
      rule: node.rule,
      inputs: [{ gradient: 0 }],
      of: [node.inputs[0] ?? ''],
      attributes: { ...node.attributes, inverse: true },
    },
  ],
}

/**
 * Masked softmax over the positions attended to; scales and masks the scores. Operands: scores, and a learned extra logit
 * per head where the model has sinks.
 */
export const softmax: OperatorDefinition = {
  name: 'softmax',
  pairs: causalPairs,
  flops: 6, // scale, maximum, difference, exponential, sum, quotient
  exponentials: 1,
  index: ['seq', 'kv_seq'],
  execute: attend,
  onnx: attendOnnx,
  derivative(node) {
    const { operands, results, whole } = parseRule(node.rule)
    const scores = operandText((results[0] ?? []).map((dim) => (whole.has(dim) ? `${dim}!` : dim)))
    const [input = '', sinks] = node.inputs
    const own = operandText(operands[1] ?? [])
    const terms: DerivativeTerm[] = [
      {
        op: 'softmax_gradient',
        name: 'input',
        rule: sinks ? `${scores}, ${scores} -> ${scores}, ${own}` : `${scores}, ${scores} -> ${scores}`,
        inputs: [node.outputs[0] ?? '', { gradient: 0 }],
        of: sinks ? [input, sinks] : [input],
        ...(node.attributes && { attributes: node.attributes }),
      },
    ]
    return terms
  },
}

export const softmaxGradient: OperatorDefinition = {
  name: 'softmax_gradient',
  pairs: causalPairs,
  flops: 4,
  linear: [[1]],
  reduce: { batch: 'sum', seq: 'sum' },
  execute: attendGradient,
  onnx: attendGradientOnnx,
}

/** Joins, per head, a part of its own and a part that all heads share (the rotary key of latent attention). */
export const joinHeads: OperatorDefinition = {
  name: 'join_heads',
  execute: join,
  onnx: joinOnnx,
  derivative(node) {
    const { operands, results } = parseRule(node.rule)
    const [own = [], shared = []] = operands
    const marked = (dims: readonly string[]) =>
      operandText(dims.map((dim, index) => (index === dims.length - 1 ? `${dim}!` : dim)))
    const whole = marked(results[0] ?? [])
    return [
      {
        op: 'slice_heads',
        name: 'own',
        rule: `${whole} -> ${marked(own)}`,
        inputs: [{ gradient: 0 }],
        of: [node.inputs[0] ?? ''],
      },
      {
        op: 'sum_heads',
        name: 'shared',
        rule: `${whole} -> ${marked(shared)}`,
        inputs: [{ gradient: 0 }],
        of: [node.inputs[1] ?? ''],
      },
    ]
  },
}

const isShared = ({ node }: Pick<KernelContext, 'node'>) => node.attributes?.['part'] === 'shared'

/** The elements of each head that belong to one of two joined parts. */
export const sliceHeads: OperatorDefinition = {
  name: 'slice_heads',
  linear: [[0]],
  execute: part(isShared),
  onnx: partOnnx(isShared),
}

/** The shared part's elements, summed over heads. */
export const sumHeads: OperatorDefinition = {
  name: 'sum_heads',
  reduce: 'sum',
  linear: [[0]],
  flops: 1,
  execute: part(() => true),
  onnx: partOnnx(() => true),
}

/** Joins two parts along their last dim: latents and rotary parts of an absorbed latent attention. */
export const joinParts: OperatorDefinition = { name: 'join_parts', execute: join, onnx: joinOnnx }

/** Writes keys or values of new positions into the cache, of which a rank may hold some slots only. */
export const cacheWrite: OperatorDefinition = {
  name: 'cache_write',
  kind: 'memory',
  index: ['kv_seq'],
  execute: writeCache,
  onnx: writeCacheOnnx,
  bytes(node, { operand, size, extent }) {
    const added = operand(node.inputs.length - 1)
    // Which rank holds the slot of a token depends on the step: on average each writes its share.
    const own = node.inputs.length > 1 ? (added * BigInt(size('kv_seq'))) / BigInt(extent('kv_seq')) : added
    return { read: own, written: own }
  },
}

/** Reads the cache for attention; its result is the cache itself, so that nothing is written. */
export const cacheRead: OperatorDefinition = {
  name: 'cache_read',
  kind: 'memory',
  execute: same,
  onnx: sameOnnx,
  bytes: (_, { operand }) => ({ read: operand(0), written: 0n }),
}

export const attentionOperators: readonly OperatorDefinition[] = [
  rotary,
  softmax,
  softmaxGradient,
  joinHeads,
  sliceHeads,
  sumHeads,
  joinParts,
  cacheWrite,
  cacheRead,
]
