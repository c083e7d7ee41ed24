import type { Plugin, Selector } from '@shardloom/core'
import { chooseCopy } from './choose-copy.js'
import { limitTokens } from './limit-tokens.js'
import { loadExperts, type Tokens } from './load-experts.js'
import { placeExperts } from './place-experts.js'
import { type Dispatch, splitExperts } from './split-experts.js'

export type { Tokens } from './load-experts.js'
export type { Dispatch } from './split-experts.js'

/** Options of {@link expertParallel}. */
export interface ExpertParallelOptions {
  /** The operators that it applies to; default all. It may narrow layers, but expert operators are all that `ep` splits. */
  readonly where?: Selector
  /**
   * How tokens reach their experts where `ep` divides ranks with tokens of their own. `all-to-all` (default) sends each
   * token to its experts; `all-gather` gives every rank all tokens and sums what the ranks make of them: fewer bytes
   * only where a token has more experts than there are ranks.
   */
  readonly dispatch?: Dispatch
  /** How tokens are spread over experts, as FLOPs and bytes of each rank then show; default evenly. */
  readonly tokens?: Tokens
  /**
   * Inference: how many experts are held once more, so that `ep` divides experts and copies together. The copies are of
   * those that get the most tokens, and share them. Default 0.
   */
  readonly redundant?: number
  /**
   * Each expert has room for so many times the tokens that it would get were they spread evenly; what goes beyond is dropped.
   * Default: no token is dropped.
   */
  readonly capacityFactor?: number
}

/**
 * Expert parallelism (Lepikhin et al. 2020, section 3.2): the axis `ep` splits the dim `experts` of the expert operators,
 * and `expertTp` their width. Both divide ranks that other axes have made; `expertDp` is what they leave. Dispatch and
 * combine follow as all-to-alls, and the gradients of experts are reduced over `expertDp` alone.
 */
export function expertParallel(options: ExpertParallelOptions = {}): Plugin {
  return {
    name: 'ep',
    axes: [
      { name: 'expertDp', description: 'repeats experts for other tokens', ranks: 'refactor' },
      { name: 'ep', description: 'splits experts', ranks: 'refactor' },
      { name: 'expertTp', description: 'splits the width inside experts', ranks: 'refactor' },
    ],
    options: {
      type: 'object',
      properties: {
        where: { type: 'object' },
        dispatch: { enum: ['all-to-all', 'all-gather'] },
        tokens: { type: 'object' },
        redundant: { type: 'integer', minimum: 0 },
        capacityFactor: { type: 'number', exclusiveMinimum: 0 },
      },
      additionalProperties: false,
    },
    operators: [chooseCopy],
    passes: [
      loadExperts(options.tokens),
      placeExperts(options.redundant, options.where),
      limitTokens(options),
      splitExperts(options),
    ],
  }
}
