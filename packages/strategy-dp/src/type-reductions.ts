import {
  dataTypes,
  edit,
  type Item,
  lookup,
  nodesOf,
  type OperatorNode,
  type Pass,
  type Program,
  rewriteItems,
} from '@shardloom/core'
import { type DataParallelOptions, trainingOnly } from './options.js'

/**
 * `dp/type-reductions`: gradients are summed over ranks in the type that they are accumulated in, whether once per step or in
 * every microbatch, as Megatron-LM does with its buffers of gradients and FSDP with `reduce_dtype`; or in the type that
 * `reduceDtype` names, such as the model's own, which DeepSpeed takes (`communication_data_type`). A reduction whose sum is
 * not of the type of its terms says so in its attribute `dtype`.
 */
export function typeReductions({ reduceDtype, reduce }: Pick<DataParallelOptions, 'reduceDtype' | 'reduce'>): Pass {
  return {
    name: 'dp/type-reductions',
    phase: 'communicate',
    after: ['core/communicate'],
    run(program, { warn }) {
      for (const [name, value] of Object.entries({ reduceDtype, reduce }))
        if (value !== undefined) trainingOnly(name, value, program.phase)
      const wanted = Object.keys(dataTypes).find((name) => name === (reduceDtype ?? program.notes['gradientDtype']))
      const reductions = nodesOf(program.items).filter((node) => reducesGradient(node, program))
      if (reduceDtype !== undefined && reductions.length === 0)
        warn(`\`reduceDtype: ${reduceDtype}\` changes nothing: no gradient is reduced over ranks`)
      if (wanted === undefined) return program
      const draft = edit(program)
      const typed = new Set<string>()
      const says = new Set<string>()
      for (const node of nodesOf(program.items)) {
        const [input = '', output = ''] = [node.inputs[0], node.outputs[0]]
        if (!node.communication || (!reducesGradient(node, program) && !typed.has(input))) continue
        const tensor = lookup(program.tensors, output)
        if (tensor.dtype === wanted) continue
        // What a sum has become is handed on as it is: a gather behind it gathers that type.
        draft.setTensor({ ...tensor, dtype: wanted as keyof typeof dataTypes }) // one of its keys
        typed.add(output)
        if (!typed.has(input)) says.add(node.id)
      }
      if (typed.size === 0) return program
      const named = (item: Item): Item =>
        item.type === 'node' && says.has(item.id)
          ? { ...item, attributes: { ...item.attributes, dtype: wanted } }
          : item
      draft.setItems(rewriteItems(program.items, (items) => items.map(named)))
      return draft.commit()
    },
  }
}

/** Whether a node sums what a parameter's gradient is made of over ranks. */
export function reducesGradient({ communication, op, outputs }: OperatorNode, { tensors }: Program): boolean {
  const reduces = communication?.reduction === 'sum' && (op === 'all-reduce' || op === 'reduce-scatter')
  return reduces && lookup(tensors, outputs[0] ?? '').role === 'gradient'
}
