import type { Plugin, Selector } from '@shardloom/core'
import { exchangeHeads, headFactors } from './exchange-heads.js'
import { orderPositions, type PositionOrder } from './order-positions.js'
import { ringAttention } from './ring-attention.js'
import { splitCache } from './split-cache.js'
import { splitSequence } from './split-sequence.js'

export { causalPairs } from './causal-pairs.js'
export type { PositionOrder } from './order-positions.js'

/** Options of {@link sequenceParallel}. */
export interface SequenceParallelOptions {
  /** The operators that it applies to; default all. */
  readonly where?: Selector
  /**
   * Whether the ranks of `tp` split the sequence wherever tensor parallelism names nothing, as Megatron-LM does: norms,
   * residual sums, routers. Each all-reduce becomes a reduce-scatter and an all-gather. Default false.
   */
  readonly tensorRanks?: boolean
  /**
   * How the ranks of `cp` come by the keys and values of others: `gather` all of them before attention (default), or pass
   * them round a `ring` block by block while they compute.
   */
  readonly attention?: 'gather' | 'ring'
  /** How the ranks of `cp` share positions: `zigzag` (default), which balances causal attention, or `contiguous` runs. */
  readonly positions?: PositionOrder
}

/**
 * Sequence parallelism, three ways that compose: over the ranks of `tp` (Korthikanti et al. 2022, section 4.2.2), over
 * `cp` with keys and values gathered (Dubey et al. 2024, section 3.3.2) or passed round a ring (Liu et al. 2023), and over
 * `ulysses` with heads exchanged for positions around attention (Jacobs et al. 2023, section 3). While decoding, `dcp` splits
 * the KV cache by position over ranks of `tp`. Each only names dims; all communication follows, and the ring takes the place
 * of what follows.
 */
export function sequenceParallel(options: SequenceParallelOptions = {}): Plugin {
  const { where, tensorRanks = false, attention = 'gather', positions } = options
  return {
    name: 'sp',
    axes: [
      {
        name: 'cp',
        description: 'splits the sequence; attention gathers keys and values, or passes them round a ring',
      },
      { name: 'ulysses', description: 'splits the sequence, and heads inside attention', factors: headFactors },
      { name: 'dcp', description: 'splits the positions of the KV cache while decoding', within: 'tp' },
    ],
    options: {
      type: 'object',
      properties: {
        where: { type: 'object' },
        tensorRanks: { type: 'boolean' },
        attention: { enum: ['gather', 'ring'] },
        positions: { enum: ['zigzag', 'contiguous'] },
      },
      additionalProperties: false,
    },
    passes: [
      splitSequence(where, tensorRanks),
      exchangeHeads(where),
      orderPositions(positions),
      splitCache(where),
      ...(attention === 'ring' ? [ringAttention] : []),
    ],
  }
}
