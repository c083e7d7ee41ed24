import type { Plugin } from '@shardloom/core'

/** Options of {@link expertParallel}. */
export type ExpertParallelOptions = Readonly<Record<never, never>>

/** Expert parallelism. */
export function expertParallel(_options: ExpertParallelOptions = {}): Plugin {
  return {
    name: 'ep',
    axes: [
      { name: 'expertDp', description: 'repeats experts', ranks: 'refactor' },
      { name: 'ep', description: 'splits experts', ranks: 'refactor' },
      { name: 'expertTp', description: 'splits the width inside experts', ranks: 'refactor' },
    ],
    options: { type: 'object', properties: {}, additionalProperties: false },
    passes: [],
  }
}
