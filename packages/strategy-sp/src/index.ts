import type { Plugin, Selector } from '@shardloom/core'
import { exchangeHeads, headFactors } from './exchange-heads.js'
import { splitSequence } from './split-sequence.js'

/** Options of {@link sequenceParallel}. */
export interface SequenceParallelOptions {
  /** The operators that it applies to; default all. */
  readonly where?: Selector
  /**
   * Whether the ranks of `tp` split the sequence wherever tensor parallelism names nothing, as Megatron-LM does: norms,
   * residual sums, routers. Each all-reduce becomes a reduce-scatter and an all-gather. Default false.
   */
  readonly tensorRanks?: boolean
}

/**
 * Sequence parallelism, three ways that compose: over the ranks of `tp` (Korthikanti et al. 2022, section 4.2.2), over
 * `cp` with keys and values gathered (Dubey et al. 2024, section 3.3.2), and over `ulysses` with heads exchanged for
 * positions around attention (Jacobs et al. 2023, section 3). Each only names dims; all communication follows.
 */
export function sequenceParallel(options: SequenceParallelOptions = {}): Plugin {
  const { where, tensorRanks = false } = options
  return {
    name: 'sp',
    axes: [
      { name: 'cp', description: 'splits the sequence; attention gathers keys and values' },
      { name: 'ulysses', description: 'splits the sequence, and heads inside attention', factors: headFactors },
    ],
    options: {
      type: 'object',
      properties: { where: { type: 'object' }, tensorRanks: { type: 'boolean' } },
      additionalProperties: false,
    },
    passes: [splitSequence(where, tensorRanks), exchangeHeads(where)],
  }
}
