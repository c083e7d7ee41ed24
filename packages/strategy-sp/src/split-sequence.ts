import {
  dimSizesOf,
  findAxis,
  intersect,
  type Pass,
  type Preference,
  type Program,
  type Selector,
  ShardloomError,
  withPreferences,
} from '@shardloom/core'

/**
 * The positions of a sequence that ranks share, by the name that operators give them; a KV cache has those of keys and values
 * only. One that grows chunk by chunk stands whole on every rank: whichever share of it a rank held would move with each chunk.
 */
export function positionsOf({ tensors }: Program): readonly string[] {
  const grows = [...tensors.values()].some(({ growth }) => growth !== undefined)
  return grows ? ['seq'] : ['seq', 'kv_seq']
}

/**
 * What the ranks of `tp` keep whole. What the loss reduces over the vocabulary is a number per token, which is cheaper to
 * all-reduce than to scatter and gather. A cache without heads (latent attention) stands on every rank of `tp` while
 * decoding, so it is filled so.
 */
const wholeOnTensorRanks: Selector = { except: { operator: ['cross_entropy', 'cache_write', 'cache_read'] } }

/**
 * `sp/split-sequence`: every operator with a sequence splits it over `cp`, and over the ranks of `tp` where tensor
 * parallelism names nothing.
 */
export function splitSequence(where: Selector | undefined, tensorRanks: boolean): Pass {
  return {
    name: 'sp/split-sequence',
    phase: 'partition',
    run(program) {
      const base = { strategy: 'sp', class: 'token', dims: positionsOf(program) } as const
      const preferences: Preference[] = []
      if (findAxis(program.mesh, 'cp')?.atoms.length) {
        requirePositions(program, 'axis `cp`')
        preferences.push({ ...base, axis: 'cp', ...(where && { where }) })
      }
      if (tensorRanks) {
        requireTensorRanks(program)
        requirePositions(program, '`sequenceParallel`')
        preferences.push({ ...base, axis: 'tp', where: intersect(where, wholeOnTensorRanks), together: true })
      }
      return withPreferences(program, preferences)
    },
  }
}

/** Throws `CONFLICT` where there are no ranks whose sequence could be split. */
function requireTensorRanks({ mesh }: Program): void {
  if (findAxis(mesh, 'tp')?.atoms.length) return
  throw new ShardloomError(
    'CONFLICT',
    '`sequenceParallel` splits the sequence over the ranks of `tp`, but `tp` is 1.',
    {
      subject: 'sequenceParallel',
      help: 'Give `tp` a degree above 1, leave `sequenceParallel` out, or split the sequence over ranks of its own: `cp` or `ulysses`.',
    },
  )
}

/** Throws `CONFLICT` where a step has one position per sequence, as while decoding. */
export function requirePositions(program: Program, what: string): void {
  if (Math.max(...dimSizesOf(program, 'seq')) > 1) return
  throw new ShardloomError(
    'CONFLICT',
    `${what} splits the sequence, but in ${program.phase} a step has one position.`,
    {
      subject: 'seq',
      help: 'Use it for training and prefill. While decoding, `tp` splits heads and `dp` the batch.',
    },
  )
}
