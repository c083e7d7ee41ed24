import type { ModelArchitecture } from '../architecture.js'
import { allOrNoBias, rotaryAttention, slidingAndFull } from './attention.js'
import type { ConfigFields } from './config-fields.js'
import { readDecoder, readDepth } from './decoder.js'
import { everyLayer } from './layer-order.js'
import { readMixture } from './mixture.js'

/** gpt-oss: sinks, and biases on every projection: https://arxiv.org/abs/2508.10925. */
export function readGptOss(fields: ConfigFields): ModelArchitecture {
  const layers = readDepth(fields)
  const attention = rotaryAttention(fields, { headDim: 64 }, { bias: allOrNoBias(fields, true), sinks: true })
  const mixture = readMixture(fields, {
    experts: ['num_local_experts', 'num_experts'],
    topK: ['num_experts_per_tok', 'experts_per_token'],
    width: 'intermediate_size',
    bias: true,
    routerBias: true,
  })
  return readDecoder(fields, 'gpt_oss', {
    layers,
    attention: slidingAndFull(fields, layers, attention, (depth) => depth % 2 === 0, 128),
    ffn: everyLayer(mixture),
    tied: false,
  })
}
