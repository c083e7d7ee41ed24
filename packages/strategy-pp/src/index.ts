import type { Plugin } from '@shardloom/core'

/** Options of {@link pipelineParallel}. */
export type PipelineParallelOptions = Readonly<Record<never, never>>

/** Pipeline parallelism. */
export function pipelineParallel(_options: PipelineParallelOptions = {}): Plugin {
  return {
    name: 'pp',
    axes: [{ name: 'pp', description: 'pipeline stages: ranges of layers', ranks: 'outer' }],
    options: { type: 'object', properties: {}, additionalProperties: false },
    passes: [],
  }
}
