import type { Layer, ModelArchitecture, UndrawnAttention } from '../architecture.js'
import { NO_BIAS, readHeads, rotaryAttention } from './attention.js'
import type { ConfigFields } from './config-fields.js'
import { readDecoder, readDepth } from './decoder.js'
import { everyLayer } from './layer-order.js'
import { readMixture } from './mixture.js'

/** MiniMax-M2: a norm over the whole of the queries and of the keys. */
export function readMiniMaxM2(fields: ConfigFields): ModelArchitecture {
  const norm = fields.flag('use_qk_norm', true) ? ({ qkNorm: 'whole' } as const) : {}
  const width = fields.count('shared_intermediate_size', 0)
  const mixture = readMixture(fields, {
    experts: 'num_local_experts',
    width: 'intermediate_size',
    correctionBias: fields.flag('use_routing_bias', true),
    ...(width === 0 ? {} : { shared: { count: 1, intermediate: width, gate: false } }),
  })
  return readDecoder(fields, 'minimax_m2', {
    layers: readDepth(fields),
    attention: everyLayer(rotaryAttention(fields, { headDim: 'required' }, { bias: NO_BIAS, ...norm })),
    ffn: everyLayer(mixture),
    tied: false,
  })
}

/**
 * MiniMax-Text-01 and M1: seven layers of lightning attention before each of softmax attention, as `attn_type_list`
 * says with 0 and 1. https://arxiv.org/abs/2501.08313.
 */
export function readMiniMaxM1(fields: ConfigFields): ModelArchitecture {
  const layers = readDepth(fields)
  const types = fields.listPerLayer('attn_type_list', layers) ?? fields.missing('attn_type_list', 'a 0 or 1 per layer')
  if (fields.count('shared_intermediate_size', 0) > 0) {
    fields.unsupported('shared_intermediate_size', fields.count('shared_intermediate_size'), '0')
  }
  const full = rotaryAttention(fields, { headDim: 'required' }, { bias: NO_BIAS })
  const lightning = lightningAttention(fields)
  return readDecoder(fields, 'minimax_m1', {
    layers,
    attention: {
      kindAt: (depth) => {
        const type = types[depth]
        if (type !== 0 && type !== 1) fields.invalid(`attn_type_list[${depth}]`, type, '0 or 1')
        return type === 0 ? 'lightning' : 'full'
      },
      build: (kind): Layer['attention'] => (kind === 'lightning' ? lightning : full),
    },
    ffn: everyLayer(readMixture(fields, { experts: 'num_local_experts', width: 'intermediate_size' })),
    tied: false,
    ...(types.includes(0) ? { undrawn: [lightning.feature] } : {}),
  })
}

function lightningAttention(fields: ConfigFields): UndrawnAttention {
  const { heads, headDim } = readHeads(fields, { headDim: 'required' })
  const hidden = fields.size('hidden_size')
  const width = heads * headDim
  const module = (name: string) => `attention.lightning.${name}`
  return {
    kind: 'undrawn',
    feature: 'lightning attention',
    parameters: [
      { module: module('qkv'), name: 'qkv/weight', dims: ['hidden', 'qkv', 'inner'], shape: [hidden, 3, width] },
      { module: module('output_gate'), name: 'output_gate/weight', dims: ['hidden', 'inner'], shape: [hidden, width] },
      { module: module('norm'), name: 'norm/gain', dims: ['inner'], shape: [width] },
      { module: module('out'), name: 'out/weight', dims: ['inner', 'hidden'], shape: [width, hidden] },
    ],
  }
}
