import type { Plugin } from '@shardloom/core'
import { barrierPass } from './barriers.js'
import { differentiatePass } from './differentiate.js'
import { type Interleave, interleavePass } from './interleave.js'
import { type Offload, offloadPass } from './offload.js'
import { transformerOperators } from './operators/index.js'
import { optimizerPass } from './optimizer.js'
import { type Recompute, recomputePass } from './recompute.js'

/** What training keeps for backward and where, and what it computes again. */
export interface TransformerOptions {
  /** Default: `none`. */
  readonly recompute?: Recompute
  /** Default: `none`. */
  readonly offload?: Offload
  /** Whether all ranks wait for each other behind the last microbatch, and before the update. Default: no. */
  readonly barriers?: boolean
  /** Default: `none`. */
  readonly interleave?: Interleave
}

/** The plugin that brings the transformer operators, and backward and optimizer for training. */
export function transformers({
  recompute = 'none',
  offload = 'none',
  barriers = false,
  interleave = 'none',
}: TransformerOptions = {}): Plugin {
  const again = recompute === 'none' ? [] : [recomputePass(recompute)]
  const away = offload === 'none' ? [] : [offloadPass(offload)]
  const turns = interleave === 'none' ? [] : [interleavePass(interleave)]
  const waits = barriers ? [barrierPass] : []
  const passes = [differentiatePass, ...again, optimizerPass, ...away, ...turns, ...waits]
  return { name: 'models', operators: transformerOperators, passes }
}
