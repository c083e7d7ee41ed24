import type { Plugin } from '@shardloom/core'

/** Options of {@link sequenceParallel}. */
export type SequenceParallelOptions = Readonly<Record<never, never>>

/** Sequence parallelism. */
export function sequenceParallel(_options: SequenceParallelOptions = {}): Plugin {
  return {
    name: 'sp',
    axes: [
      {
        name: 'cp',
        description: 'splits the sequence; attention gathers keys and values, or passes them round a ring',
      },
      { name: 'ulysses', description: 'splits the sequence, and heads inside attention' },
    ],
    options: { type: 'object', properties: {}, additionalProperties: false },
    passes: [],
  }
}
