import { dataTypes, edit, lookup, nodesOf, type OperatorNode, type Pass, type Program } from '@shardloom/core'
import { type Storage, trainingOnly } from './options.js'

/**
 * `dp/type-reductions`: gradients are summed over ranks in the type that they are accumulated in, whether once per step or in
 * every microbatch, as Megatron-LM does with its buffers of gradients and FSDP with `reduce_dtype`; or in the type that
 * `reduceDtype` names, such as the model's own, which DeepSpeed takes (`communication_data_type`).
 */
export function typeReductions({ reduceDtype }: Pick<Storage, 'reduceDtype'>): Pass {
  return {
    name: 'dp/type-reductions',
    phase: 'communicate',
    after: ['core/communicate'],
    run(program, { warn }) {
      if (reduceDtype !== undefined) trainingOnly('reduceDtype', reduceDtype, program.phase)
      const wanted = Object.keys(dataTypes).find((name) => name === (reduceDtype ?? program.notes['gradientDtype']))
      const reductions = nodesOf(program.items).filter((node) => reducesGradient(node, program))
      if (reduceDtype !== undefined && reductions.length === 0)
        warn(`\`reduceDtype: ${reduceDtype}\` changes nothing: no gradient is reduced over ranks`)
      if (wanted === undefined) return program
      const draft = edit(program)
      for (const id of reductions.flatMap(({ outputs }) => outputs)) {
        const tensor = lookup(program.tensors, id)
        if (tensor.dtype !== wanted) draft.setTensor({ ...tensor, dtype: wanted as keyof typeof dataTypes }) // one of its keys
      }
      return draft.commit()
    },
  }
}

/** Whether a node sums what a parameter's gradient is made of over ranks. */
export function reducesGradient({ communication, op, outputs }: OperatorNode, { tensors }: Program): boolean {
  const reduces = communication?.reduction === 'sum' && (op === 'all-reduce' || op === 'reduce-scatter')
  return reduces && lookup(tensors, outputs[0] ?? '').role === 'gradient'
}
