import type { ModelArchitecture } from '../architecture.js'
import { NO_BIAS, plainAttention, readHeads, rotaryAttention, windowedThroughout } from './attention.js'
import type { ConfigFields } from './config-fields.js'
import { LAYER_NORM, readDecoder, readDepth } from './decoder.js'
import { plainFfn, readGatedFfn } from './ffn.js'
import { everyLayer } from './layer-order.js'

/** Phi-1 to Phi-2: one norm feeds attention and network, and the head has a bias. */
export function readPhi(fields: ConfigFields): ModelArchitecture {
  if (fields.flag('qk_layernorm', false)) fields.unsupported('qk_layernorm', true, 'false')
  const heads = readHeads(fields, { kvHeads: 'heads', headDim: 'quotient' })
  return readDecoder(fields, 'phi', {
    layers: readDepth(fields),
    attention: everyLayer(plainAttention(heads, { qkv: true, out: true }, true)),
    ffn: plainFfn(fields, fields.size('intermediate_size'), true),
    norm: LAYER_NORM,
    norms: 'shared',
    residual: 'parallel',
    headBias: true,
    tied: false,
  })
}

/** Phi-3 and Phi-4; the checkpoint fuses projections, which changes no shape: https://arxiv.org/abs/2404.14219. */
export function readPhi3(fields: ConfigFields): ModelArchitecture {
  const attention = rotaryAttention(fields, { kvHeads: 'heads', headDim: 'quotient' }, { bias: NO_BIAS })
  return readDecoder(fields, 'phi3', {
    layers: readDepth(fields),
    attention: windowedThroughout(fields, attention),
    ffn: readGatedFfn(fields),
    tied: false,
  })
}
