import type { ModelArchitecture } from '../architecture.js'
import { rotaryAttention } from './attention.js'
import type { ConfigFields } from './config-fields.js'
import { readDecoder, readDepth } from './decoder.js'
import { everyLayer } from './layer-order.js'
import { correctedRouting, deepSeekMixture } from './mixture.js'

/** GLM-4.5 and GLM-4.5-Air: https://arxiv.org/abs/2508.06471. */
export function readGlm4Moe(fields: ConfigFields): ModelArchitecture {
  const layers = readDepth(fields)
  const bias = { qkv: fields.flag('attention_bias', false), out: false }
  const norm = fields.flag('use_qk_norm', false) ? ({ qkNorm: 'head' } as const) : {}
  return readDecoder(fields, 'glm4_moe', {
    layers,
    attention: everyLayer(rotaryAttention(fields, { headDim: 128 }, { bias, ...norm })),
    ffn: deepSeekMixture(fields, layers, correctedRouting),
    tied: false,
  })
}
