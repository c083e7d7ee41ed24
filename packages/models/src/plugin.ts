import type { Plugin } from '@shardloom/core'
import { differentiatePass } from './differentiate.js'
import { transformerOperators } from './operators/index.js'
import { optimizerPass } from './optimizer.js'
import { type Recompute, recomputePass } from './recompute.js'

/** What training keeps for backward, and what it computes again. */
export interface TransformerOptions {
  /** Default: `none`. */
  readonly recompute?: Recompute
}

/** The plugin that brings the transformer operators, and backward and optimizer for training. */
export function transformers({ recompute = 'none' }: TransformerOptions = {}): Plugin {
  const again = recompute === 'none' ? [] : [recomputePass(recompute)]
  const passes = [differentiatePass, ...again, optimizerPass]
  return { name: 'models', operators: transformerOperators, passes }
}
