import type { OperatorDefinition } from '@shardloom/core'
import {
  choose,
  chooseGradient,
  collect,
  gate,
  gateGradient,
  spread,
  weigh,
  weighGradient,
  weighWeightGradient,
} from '../kernels/experts.js'
import {
  chooseGradientOnnx,
  chooseOnnx,
  collectOnnx,
  gateGradientOnnx,
  gateOnnx,
  spreadOnnx,
  weighGradientOnnx,
  weighOnnx,
  weighWeightGradientOnnx,
} from '../onnx/experts.js'

/** Chooses `topk` experts per token by score: the control node of a mixture of experts. Results: weights and indices. */
export const router: OperatorDefinition = {
  name: 'router',
  lists: ['topk'],
  kind: 'control',
  flops: 5,
  describes: ({ inputs, outputs }, { tensors }) => {
    const last = (id = '') => tensors.get(id)?.shape.at(-1)
    return `It chooses ${last(outputs[0])} of ${last(inputs[0])} experts for each token, by score: where the token goes is known only here.`
  },
  execute: choose,
  onnx: chooseOnnx,
  derivative: (node) => [
    {
      op: 'router_gradient',
      name: 'input',
      rule: 'batch seq experts!, batch seq topk!, batch seq topk! -> batch seq experts!',
      inputs: [node.inputs[0] ?? '', node.outputs[1] ?? '', { gradient: 0 }],
      of: [node.inputs[0] ?? ''],
      ...(node.attributes && { attributes: node.attributes }),
    },
  ],
}

export const routerGradient: OperatorDefinition = {
  name: 'router_gradient',
  lists: ['topk'],
  flops: 3,
  linear: [[2]],
  execute: chooseGradient,
  onnx: chooseGradientOnnx,
}

/** Hands each token to the experts that it chose; the result holds topk/experts of the elements that it names. */
export const dispatch: OperatorDefinition = {
  name: 'dispatch',
  linear: [[0]],
  index: ['experts'],
  execute: spread,
  onnx: spreadOnnx,
  derivative: (node) => [
    {
      op: 'dispatch_gradient',
      name: 'input',
      rule: 'experts batch seq hidden, batch seq topk! -> batch seq hidden',
      inputs: [{ gradient: 0 }, node.inputs[1] ?? ''],
      of: [node.inputs[0] ?? ''],
      ...(node.density && { density: node.density }),
    },
  ],
}

export const dispatchGradient: OperatorDefinition = {
  name: 'dispatch_gradient',
  lists: ['topk'],
  flops: 1,
  reduce: 'sum',
  linear: [[0]],
  index: ['experts'],
  execute: collect,
  onnx: collectOnnx,
}

/** The weighted sum of a token's experts. Operands: expert outputs, weights, indices. */
export const combine: OperatorDefinition = {
  name: 'combine',
  lists: ['topk'],
  flops: 2,
  reduce: { experts: 'sum' },
  linear: [[0], [1]],
  index: ['experts'],
  execute: weigh,
  onnx: weighOnnx,
  derivative(node) {
    const [outputs = '', weights = '', indices = ''] = node.inputs
    const density = node.density && { density: node.density }
    return [
      {
        op: 'combine_gradient',
        name: 'input',
        rule: 'batch seq hidden, batch seq topk!, batch seq topk! -> experts batch seq hidden',
        inputs: [{ gradient: 0 }, weights, indices],
        of: [outputs],
        ...density,
      },
      {
        op: 'combine_weight_gradient',
        name: 'weight',
        rule: 'experts batch seq hidden, batch seq topk!, batch seq hidden -> batch seq topk!',
        inputs: [outputs, indices, { gradient: 0 }],
        of: [weights],
        ...density,
      },
    ]
  },
}

export const combineGradient: OperatorDefinition = {
  name: 'combine_gradient',
  lists: ['topk'],
  flops: 1,
  linear: [[0], [1]],
  index: ['experts'],
  execute: weighGradient,
  onnx: weighGradientOnnx,
}

export const combineWeightGradient: OperatorDefinition = {
  name: 'combine_weight_gradient',
  lists: ['topk'],
  flops: 2,
  reduce: 'sum',
  linear: [[0], [2]],
  index: ['experts'],
  execute: weighWeightGradient,
  onnx: weighWeightGradientOnnx,
}

/** Scales the shared expert's output by the sigmoid of a per-token gate (Qwen MoE). */
export const sigmoidGate: OperatorDefinition = {
  name: 'sigmoid_gate',
  flops: 1,
  linear: [[0]],
  execute: gate,
  onnx: gateOnnx,
  derivative(node) {
    const [value = '', gate = ''] = node.inputs
    return [
      { op: 'sigmoid_gate', name: 'input', rule: node.rule, inputs: [{ gradient: 0 }, gate], of: [value] },
      {
        op: 'sigmoid_gate_gradient',
        name: 'gate',
        rule: 'batch seq hidden, batch seq, batch seq hidden -> batch seq',
        inputs: [value, gate, { gradient: 0 }],
        of: [gate],
      },
    ]
  },
}

export const sigmoidGateGradient: OperatorDefinition = {
  name: 'sigmoid_gate_gradient',
  flops: 2,
  reduce: { hidden: 'sum' },
  linear: [[0], [2]],
  execute: gateGradient,
  onnx: gateGradientOnnx,
}

export const expertOperators: readonly OperatorDefinition[] = [
  router,
  routerGradient,
  dispatch,
  dispatchGradient,
  combine,
  combineGradient,
  combineWeightGradient,
  sigmoidGate,
  sigmoidGateGradient,
]
