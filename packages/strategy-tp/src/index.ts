import { greatestCommonDivisor, type Plugin, type Selector } from '@shardloom/core'
import { overlapMatmuls } from './overlap-matmuls.js'
import { partOperators } from './part-operators.js'
import { type KeyValueGradients, kvHeads, splitHeads } from './split-heads.js'

export type { KeyValueGradients } from './split-heads.js'

/** Options of {@link tensorParallel}. */
export interface TensorParallelOptions {
  /** The operators that it applies to; default all. */
  readonly where?: Selector
  /**
   * What happens to the gradients of keys and values that several ranks share, when `tp` exceeds the KV heads: `reduce`
   * them at once (default), `defer` the sum to the small weight gradients, or `gather`: split the projections inside each
   * head and gather keys and values, as Megatron-LM does.
   */
  readonly keyValueGradients?: KeyValueGradients
  /** Parts in which matmuls run beside the collectives of what they make or read, 2 or more; default: whole. */
  readonly overlap?: number
}

/**
 * Tensor parallelism (Shoeybi et al. 2019, section 3): the axis `tp` splits attention heads, the width of feed-forward
 * networks and the vocabulary. The all-reduces after the attention output and after the network, and their mirrors in
 * backward, follow from that.
 */
export function tensorParallel(options: TensorParallelOptions = {}): Plugin {
  const { where, keyValueGradients, overlap } = options
  return {
    name: 'tp',
    axes: [
      {
        name: 'tp',
        description: 'splits heads, feed-forward width and vocabulary',
        factors(degree, sizes) {
          const shared = greatestCommonDivisor(degree, kvHeads(sizes))
          return [shared, degree / shared]
        },
      },
    ],
    options: {
      type: 'object',
      properties: {
        where: { type: 'object' },
        keyValueGradients: { enum: ['reduce', 'defer', 'gather'] },
        overlap: { type: 'integer', minimum: 2 },
      },
      additionalProperties: false,
    },
    operators: partOperators,
    passes: [splitHeads(where, keyValueGradients), ...(overlap === undefined ? [] : [overlapMatmuls(overlap)])],
  }
}
