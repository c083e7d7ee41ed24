import type { OperatorDefinition } from '@shardloom/core'
import { attentionOperators } from './attention.js'
import { barrier } from './barrier.js'
import { blockAttentionOperators } from './block-attention.js'
import { dividedAttentionOperators } from './divided-attention.js'
import { dropoutOperators } from './dropout.js'
import { expertOperators } from './experts.js'
import { halfOperators } from './halves.js'
import { linearOperators } from './linear.js'
import { lossOperators } from './loss.js'
import { offload, reload } from './offload.js'
import { optimizerOperators } from './optimizer.js'

/** Every operator that the transformer graphs are made of, backward and optimizer included. */
export const transformerOperators: readonly OperatorDefinition[] = [
  ...linearOperators,
  ...attentionOperators,
  ...blockAttentionOperators,
  ...dividedAttentionOperators,
  ...dropoutOperators,
  ...expertOperators,
  ...lossOperators,
  ...optimizerOperators,
  ...halfOperators,
  offload,
  reload,
  barrier,
]
