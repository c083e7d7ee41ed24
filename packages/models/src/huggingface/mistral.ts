import type { ModelArchitecture } from '../architecture.js'
import { NO_BIAS, rotaryAttention, windowedThroughout } from './attention.js'
import type { ConfigFields } from './config-fields.js'
import { readDecoder, readDepth } from './decoder.js'
import { readGatedFfn } from './ffn.js'
import { everyLayer } from './layer-order.js'
import { readMixture } from './mixture.js'

/** Mistral 7B and Nemo: https://arxiv.org/abs/2310.06825, section 2. */
export function readMistral(fields: ConfigFields): ModelArchitecture {
  const attention = rotaryAttention(fields, { headDim: 'quotient' }, { bias: NO_BIAS })
  return readDecoder(fields, 'mistral', {
    layers: readDepth(fields),
    attention: windowedThroughout(fields, attention),
    ffn: readGatedFfn(fields),
    tied: false,
  })
}

/** Mixtral: https://arxiv.org/abs/2401.04088, section 2. */
export function readMixtral(fields: ConfigFields): ModelArchitecture {
  const attention = rotaryAttention(fields, { headDim: 'quotient' }, { bias: NO_BIAS })
  return readDecoder(fields, 'mixtral', {
    layers: readDepth(fields),
    attention: windowedThroughout(fields, attention),
    ffn: everyLayer(readMixture(fields, { experts: 'num_local_experts', width: 'intermediate_size' })),
    tied: false,
  })
}
