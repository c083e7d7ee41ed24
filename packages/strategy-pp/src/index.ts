import type { Plugin } from '@shardloom/core'
import { checkLists } from './check-lists.js'
import { divideLayers, type Staging } from './divide-layers.js'
import { placeStages } from './place-stages.js'

/** Options of {@link pipelineParallel}. */
export type PipelineParallelOptions = Staging

/**
 * Pipeline parallelism: the axis `pp` divides the layers into chunks, which ranks hold and work on in the order of a
 * schedule. Sends and receives, the split of backward into input and weight gradients and the sums of what several stages
 * hold follow from that.
 */
export function pipelineParallel(options: PipelineParallelOptions = {}): Plugin {
  return {
    name: 'pp',
    axes: [{ name: 'pp', description: 'divides the layers into stages', ranks: 'outer' }],
    options: {
      type: 'object',
      properties: {
        schedule: { type: 'string' },
        csv: { type: 'string' },
        virtual: { type: 'integer', minimum: 1 },
        group: { type: 'integer', minimum: 1 },
        layers: { type: 'array', items: { type: 'integer', minimum: 0 } },
        balance: { enum: ['even', 'cost'] },
      },
      additionalProperties: false,
    },
    passes: [divideLayers(options), placeStages],
    verify: [checkLists],
  }
}
