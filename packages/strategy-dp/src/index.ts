import { dataTypes, type Plugin } from '@shardloom/core'
import { boundPrefetch } from './bound-prefetch.js'
import { boundReductions } from './bound-reductions.js'
import { bucketGradients } from './bucket-gradients.js'
import { gatherOnce } from './gather-once.js'
import { lockSteps } from './lock-steps.js'
import { type DataParallelOptions, storageOf } from './options.js'
import { placeStorage } from './place-storage.js'
import { requestRouter, routeRequests } from './route-requests.js'
import { shardUpdates } from './shard-updates.js'
import { splitBatch } from './split-batch.js'
import { replicasOf } from './storage-atoms.js'
import { typeReductions } from './type-reductions.js'

export type { DataParallelOptions, GatherParameters, ReduceGradients } from './options.js'

/**
 * Data parallelism: the axis `dp` splits the dim `batch`. In training every weight gradient is then a partial sum over
 * `dp`, so that one all-reduce per parameter appears before the optimizer; in inference nothing is communicated. ZeRO
 * (Rajbhandari et al. 2020) and fully sharded data parallelism are where parameters, gradients and optimizer state are
 * kept between their uses: reduce-scatters and all-gathers follow from that. Throws `OPTION` for options that contradict
 * each other.
 */
export function dataParallel(options: DataParallelOptions = {}): Plugin {
  const storage = storageOf(options)
  const { zero, dpReplicate, reduce, where } = storage
  return {
    name: 'dp',
    axes: [
      {
        name: 'dp',
        description: 'splits the batch: each rank works on its own sequences',
        factors: (degree) => replicasOf(degree, dpReplicate),
      },
      { name: 'replicas', description: 'repeats the whole engine behind a request router', ranks: 'outer' },
    ],
    options: {
      type: 'object',
      properties: {
        where: { type: 'object' },
        zero: { enum: [0, 1, 2, 3] },
        dpReplicate: { type: 'integer', minimum: 1 },
        gather: { enum: ['use', 'keep', 'step'] },
        bucket: { type: 'integer', minimum: 1 },
        prefetch: { type: 'integer', minimum: 0 },
        reduceDtype: { enum: Object.keys(dataTypes) },
        reduce: { enum: ['microbatch', 'shards', 'step'] },
      },
      additionalProperties: false,
    },
    operators: [requestRouter],
    passes: [
      routeRequests,
      splitBatch(where),
      ...(zero > 0 ? [shardUpdates(storage)] : []),
      ...(zero > 0 || reduce !== 'step' ? [placeStorage(storage)] : []),
      typeReductions(options),
      ...(storage.gather === 'step' ? [gatherOnce] : []),
      ...(storage.bucket === undefined ? [] : [bucketGradients(storage)]),
      ...(storage.prefetch === undefined ? [] : [boundPrefetch(storage, options.prefetch !== undefined)]),
      ...(reduce === 'step' ? [] : [boundReductions]),
      lockSteps,
    ],
  }
}
