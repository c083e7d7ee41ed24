import type { ModelArchitecture } from '../architecture.js'
import { allOrNoBias, rotaryAttention } from './attention.js'
import type { ConfigFields } from './config-fields.js'
import { readDecoder, readDepth } from './decoder.js'
import { readGatedFfn } from './ffn.js'
import { everyLayer } from './layer-order.js'

/** Llama 1 to 3, Yi and DeepSeek LLM: https://arxiv.org/abs/2307.09288, section 2.2. */
export function readLlama(fields: ConfigFields): ModelArchitecture {
  const attention = rotaryAttention(fields, { kvHeads: 'heads', headDim: 'quotient' }, { bias: allOrNoBias(fields) })
  return readDecoder(fields, 'llama', {
    layers: readDepth(fields),
    attention: everyLayer(attention),
    ffn: readGatedFfn(fields),
    tied: false,
  })
}
