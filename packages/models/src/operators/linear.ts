import type { DerivativeTerm, OperatorDefinition, OperatorNode } from '@shardloom/core'
import { operandText, parseRule } from '@shardloom/core'
import { causalPairs } from '../causal-pairs.js'
import { contract } from '../kernels/contract.js'
import {
  activate,
  activateGradient,
  lookUp,
  lookUpGradient,
  normalise,
  normaliseGradient,
  normGainSum,
  sum,
} from '../kernels/linear.js'
import {
  activateGradientOnnx,
  activateOnnx,
  contractOnnx,
  lookUpGradientOnnx,
  lookUpOnnx,
  normaliseGradientOnnx,
  normaliseOnnx,
  normGainSumOnnx,
  sumOnnx,
} from '../onnx/linear.js'

const text = operandText
const rule = (operands: readonly (readonly string[])[], result: readonly string[]) =>
  `${operands.map(text).join(', ')} -> ${text(result)}`

/** A sum of products over every contracted dim: linear layers, attention scores and contexts, and their gradients. */
export const einsum: OperatorDefinition = {
  name: 'einsum',
  pairs: causalPairs,
  class: 'linear',
  reduce: 'sum',
  linear: 'each',
  execute: contract,
  onnx: contractOnnx,
  flops: (_, { operands, results }) => (operands.flat().some((dim) => !results[0]?.includes(dim)) ? 2 : 1),
  bytes(node, { operand, result, size, loads }) {
    const { operands } = parseRule(node.rule)
    // Of a half of the batch the density is half as much, because there are half as many tokens.
    const halves = node.attributes?.['half'] === undefined ? 1 : 2
    const [topK, whole] = node.density ?? [1, 1]
    const experts = whole / halves
    const tokens = (size('batch') * size('seq')) / halves
    const chance = (load: number) => 1 - (1 - Math.min(1, (load * topK) / experts)) ** tokens
    const uneven = loads('experts')
    // Buffers of fixed size are computed whole, whatever lies in them.
    const filled = node.attributes?.['capacity'] !== undefined
    const touched = filled
      ? 1
      : uneven
        ? uneven.reduce((sum, load) => sum + chance(load), 0) / uneven.length
        : chance(1)
    const read = node.inputs.reduce((sum, _, index) => {
      const dims = operands[index] ?? []
      const ofExperts = node.density && dims[0] === 'experts' && !dims.includes('batch')
      return sum + (ofExperts ? expectedShare(operand(index), touched) : operand(index))
    }, 0n)
    return { read, written: result(0) }
  },
  derivative(node) {
    const { operands, results } = parseRule(node.rule)
    const names = operandNames(node)
    return node.inputs.map((tensor, index): DerivativeTerm => {
      const others = operands.flatMap((dims, other) => (other === index ? [] : [dims]))
      return {
        op: 'einsum',
        name: names[index] ?? String(index),
        rule: rule([results[0] ?? [], ...others], operands[index] ?? []),
        inputs: [{ gradient: 0 }, ...node.inputs.filter((_, other) => other !== index)],
        of: [tensor],
        ...(node.attributes && { attributes: node.attributes }),
      }
    })
  },
}

/**
 * The share of experts' weights that is read: those that some token reaches. Of E experts a token takes k, so that it
 * misses one with probability 1 − k/E and T independent tokens with (1 − k/E)^T; by linearity of expectation they touch
 * E(1 − (1 − k/E)^T) experts (the occupancy problem: Feller 1968, An Introduction to Probability Theory 1, section IV.2).
 * An expert with `load` times its even share of the tokens is touched with probability 1 − (1 − load·k/E)^T.
 */
function expectedShare(bytes: bigint, share: number): bigint {
  const unit = 2 ** 40
  return (bytes * BigInt(Math.round(share * unit))) / BigInt(unit)
}

/** What the operands of a node are called in the ids of its gradients: its attribute `operands`, or input and weight. */
function operandNames(node: OperatorNode): readonly string[] {
  const names = node.attributes?.['operands']
  return Array.isArray(names) ? names.map(String) : ['input', 'weight']
}

/** The dims of an operand that the result has too, and the rule that sums a gradient of the result over the others. */
function broadcastTerm(node: OperatorNode, index: number, name: string): DerivativeTerm {
  const { operands, results } = parseRule(node.rule)
  const own = operands[index] ?? []
  const whole = results[0] ?? []
  const of = node.inputs[index] ?? ''
  if (own.length === whole.length) return { alias: 0, of }
  return {
    op: 'einsum',
    name,
    rule: rule([whole], own),
    inputs: [{ gradient: 0 }],
    of: [of],
    attributes: { class: 'other' },
  }
}

/** Additions for each element of a sum: one fewer than operands, however a sum is divided. */
export function additions({ inputs }: OperatorNode): number {
  return inputs.length - 1
}

/** An elementwise sum; an operand that lacks dims of the result is broadcast (biases, positions, residuals). */
export const add: OperatorDefinition = {
  name: 'add',
  flops: additions,
  execute: sum,
  onnx: sumOnnx,
  linear: 'all',
  derivative: (node) => node.inputs.map((_, index) => broadcastTerm(node, index, index === 0 ? 'input' : 'bias')),
}

/** A sum of branches that are contributions to one value: routed and shared experts, parallel attention and ffn. */
export const merge: OperatorDefinition = { ...add, name: 'merge', joins: true }

/** The sum of a tensor's gradients from all its readers. */
export const sumGradients: OperatorDefinition = {
  name: 'sum_gradients',
  flops: additions,
  linear: 'all',
  joins: true,
  execute: sum,
  onnx: sumOnnx,
}

/** RMS or layer norm over the dims marked whole; operands: input, gain (optional), bias (optional). */
export const norm: OperatorDefinition = {
  name: 'norm',
  flops: (node) => (node.attributes?.['kind'] === 'layer' ? 7 : 4),
  execute: normalise,
  onnx: normaliseOnnx,
  derivative(node) {
    const { operands, whole } = parseRule(node.rule)
    const marked = (dims: readonly string[]) => text(dims.map((dim) => (whole.has(dim) ? `${dim}!` : dim)))
    const x = marked(operands[0] ?? [])
    const gain = operands[1] && marked(operands[1])
    const attributes = node.attributes ? { attributes: node.attributes } : {}
    const [input = '', gainTensor, biasTensor] = node.inputs
    const terms: DerivativeTerm[] = [
      {
        op: gain ? 'norm_gradient' : 'norm_gradient_plain',
        name: 'input',
        rule: gain ? `${x}, ${gain}, ${x} -> ${x}` : `${x}, ${x} -> ${x}`,
        inputs: [input, ...(gainTensor ? [gainTensor] : []), { gradient: 0 }],
        of: [input],
        ...attributes,
      },
    ]
    if (gain && gainTensor) {
      terms.push({
        op: 'norm_gain_gradient',
        name: 'gain',
        rule: `${x}, ${x} -> ${gain}`,
        inputs: [input, { gradient: 0 }],
        of: [gainTensor],
        ...attributes,
      })
    }
    if (biasTensor)
      terms.push({
        op: 'einsum',
        name: 'bias',
        rule: `${text(operands[0] ?? [])} -> ${text(operands[2] ?? [])}`,
        inputs: [{ gradient: 0 }],
        of: [biasTensor],
        attributes: { class: 'other' },
      })
    return terms
  },
}

export const normGradient: OperatorDefinition = {
  name: 'norm_gradient',
  flops: 9,
  linear: [[2]],
  execute: normaliseGradient,
  onnx: normaliseGradientOnnx,
}
export const normGradientPlain: OperatorDefinition = {
  name: 'norm_gradient_plain',
  flops: 8,
  linear: [[1]],
  execute: normaliseGradient,
  onnx: normaliseGradientOnnx,
}
export const normGainGradient: OperatorDefinition = {
  name: 'norm_gain_gradient',
  flops: 3,
  reduce: 'sum',
  linear: [[1]],
  execute: normGainSum,
  onnx: normGainSumOnnx,
}

/** Gated (`swiglu`, `geglu`: gate and up) or plain (`gelu`, `relu`) activation, fused; the function is an attribute. */
export const activation: OperatorDefinition = {
  name: 'activation',
  flops: (node) => (node.inputs.length === 2 ? 6 : 5),
  execute: activate,
  onnx: activateOnnx,
  derivative(node) {
    const dims = text(parseRule(node.rule).results[0] ?? [])
    const gated = node.inputs.length === 2
    return [
      {
        op: 'activation_gradient',
        name: 'input',
        rule: gated ? `${dims}, ${dims}, ${dims} -> ${dims}, ${dims}` : `${dims}, ${dims} -> ${dims}`,
        inputs: [...node.inputs, { gradient: 0 }],
        of: [...node.inputs],
        ...(node.attributes && { attributes: node.attributes }),
      },
    ]
  },
}

export const activationGradient: OperatorDefinition = {
  name: 'activation_gradient',
  flops: (node) => (node.inputs.length === 3 ? 12 : 8),
  execute: activateGradient,
  onnx: activateGradientOnnx,
}

/** Rows of a table, chosen by index. A rank with some of the rows gives zeros for the others, so the result is a sum. */
export const embedding: OperatorDefinition = {
  name: 'embedding',
  reduce: 'sum',
  linear: [[1]],
  index: ['vocab', 'positions'],
  execute: lookUp,
  onnx: lookUpOnnx,
  domains: { 0: { below: ['vocab', 'positions'] } },
  bytes: (_, { operand, result }) => ({ read: operand(0) + result(0), written: result(0) }),
  derivative(node) {
    const { operands, results } = parseRule(node.rule)
    return [
      {
        op: 'embedding_gradient',
        name: 'weight',
        rule: rule([operands[0] ?? [], results[0] ?? []], operands[1] ?? []),
        inputs: [node.inputs[0] ?? '', { gradient: 0 }],
        of: [node.inputs[1] ?? ''],
      },
    ]
  },
}

/** Adds gradients of looked-up rows into the table's gradient; reads and writes the rows that were looked up. */
export const embeddingGradient: OperatorDefinition = {
  name: 'embedding_gradient',
  reduce: 'sum',
  linear: [[1]],
  index: ['vocab', 'positions'],
  execute: lookUpGradient,
  onnx: lookUpGradientOnnx,
  bytes: (_, { operand, result }) => ({ read: operand(0) + operand(1), written: result(0) }),
}

export const linearOperators: readonly OperatorDefinition[] = [
  einsum,
  add,
  merge,
  sumGradients,
  norm,
  normGradient,
  normGradientPlain,
  normGainGradient,
  activation,
  activationGradient,
  embedding,
  embeddingGradient,
]
