import type { Plugin } from '@shardloom/core'
import { differentiatePass } from './differentiate.js'
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
}

/** The plugin that brings the transformer operators, and backward and optimizer for training. */
export function transformers({ recompute = 'none', offload = 'none' }: TransformerOptions = {}): Plugin {
  const again = recompute === 'none' ? [] : [recomputePass(recompute)]
  const away = offload === 'none' ? [] : [offloadPass(offload)]
  const passes = [differentiatePass, ...again, optimizerPass, ...away]
  return { name: 'models', operators: transformerOperators, passes }
}
