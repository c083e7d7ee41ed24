import type { Plugin, Selector } from '@shardloom/core'
import { splitBatch } from './split-batch.js'

/** Options of {@link dataParallel}. */
export interface DataParallelOptions {
  /** The operators that it applies to; default all. */
  readonly where?: Selector
}

/**
 * Data parallelism: the axis `dp` splits the dim `batch`. In training every weight gradient is then a partial sum over
 * `dp`, so that one all-reduce per parameter appears before the optimizer; in inference nothing is communicated.
 */
export function dataParallel(options: DataParallelOptions = {}): Plugin {
  return {
    name: 'dp',
    axes: [{ name: 'dp', description: 'splits the batch: each rank works on its own sequences' }],
    options: { type: 'object', properties: { where: { type: 'object' } }, additionalProperties: false },
    passes: [splitBatch(options.where)],
  }
}
