import { type OperatorDefinition, operandText, parseRule } from '@shardloom/core'
import { causalPairs } from '../causal-pairs.js'
import { drop, dropGradient } from '../kernels/dropout.js'

/**
 * Dropout (Srivastava et al. 2014). Results: the scaled elements that are kept, and the mask, a byte each, which backward
 * reads. The mask follows from the positions of elements over all ranks, so that any partition, and running again, draws
 * the same one.
 */
export const dropout: OperatorDefinition = {
  name: 'dropout',
  pairs: causalPairs,
  flops: 2,
  index: ['batch', 'seq', 'kv_seq', 'kv_heads', 'group', 'hidden'],
  execute: drop,
  derivative(node) {
    const dims = operandText(parseRule(node.rule).results[0] ?? [])
    return [
      {
        op: 'dropout_gradient',
        name: 'input',
        rule: `${dims}, ${dims} -> ${dims}`,
        inputs: [{ gradient: 0 }, node.outputs[1] ?? ''],
        of: [node.inputs[0] ?? ''],
        ...(node.attributes && { attributes: node.attributes }),
      },
    ]
  },
}

const dropoutGradient: OperatorDefinition = {
  name: 'dropout_gradient',
  pairs: causalPairs,
  flops: 2,
  linear: [[0]],
  execute: dropGradient,
}

export const dropoutOperators: readonly OperatorDefinition[] = [dropout, dropoutGradient]
