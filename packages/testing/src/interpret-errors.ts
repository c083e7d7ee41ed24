import { type OperatorNode, ShardloomError, type Tensor } from '@shardloom/core'
import type { Missing } from './block.js'

/** An operator that nobody says the semantics of. */
export function noSemantics(node: OperatorNode): ShardloomError {
  return new ShardloomError(
    'NO_SEMANTICS',
    `\`${node.id}\` cannot be run: nobody says what the operator \`${node.op}\` computes.`,
    {
      subject: node.id,
      help: `Give its definition \`execute: (operands, context) => results\`, in the plugin's \`operators: [{ name: '${node.op}', … }]\`.`,
    },
  )
}

/** A kernel that threw, or that returned something else than its results. */
export function kernelError(node: OperatorNode, why: string, cause?: unknown): ShardloomError {
  const message = `The \`execute\` of the operator \`${node.op}\` failed at \`${node.id}\`: ${why}.`
  const help = 'A kernel returns one Float64Array per result, with the elements of its local shape.'
  return new ShardloomError('KERNEL', message, { subject: node.id, help, cause })
}

/** A group that could not do what its communication node says. */
export function collectiveError(node: OperatorNode, why: string): ShardloomError {
  const pair = node.op === 'recv'
  return new ShardloomError('COLLECTIVE', `\`${node.id}\` ${why}.`, {
    subject: node.id,
    help: pair
      ? 'A recv reads the result of its send, over the same atoms, with the opposite shift.'
      : 'Check its atoms and the placements that it converts.',
  })
}

/** A tensor that was read and that nobody has made. */
export function notComputed({ id }: Tensor, why: string): ShardloomError {
  return new ShardloomError('NOT_COMPUTED', `\`${id}\` has no value: ${why}.`, {
    subject: id,
    help: 'A program makes each tensor before it is read; `verify` says where it does not.',
  })
}

/** Positions that a node, or a region for what it hands on, reads on a rank which does not hold them. */
export function missingValue(reader: string, rank: number, { id, dims }: Tensor, missing: Missing): ShardloomError {
  const first = missing.positions.slice(0, 8).join(', ')
  const rest = missing.positions.length > 8 ? ', …' : ''
  return new ShardloomError(
    'MISSING_VALUE',
    `Rank ${rank} runs \`${reader}\` and lacks positions ${first}${rest} of dim \`${dims[missing.dim]}\` of \`${id}\`.`,
    { subject: reader, help: 'No communication node brings them to this rank: derive one, or split another dim.' },
  )
}
