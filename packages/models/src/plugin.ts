import type { Plugin } from '@shardloom/core'
import { differentiatePass } from './differentiate.js'
import { transformerOperators } from './operators/index.js'
import { optimizerPass } from './optimizer.js'

/** The plugin that brings the transformer operators, and backward and optimizer for training. */
export function transformers(): Plugin {
  return { name: 'models', operators: transformerOperators, passes: [differentiatePass, optimizerPass] }
}
