import type { GroupedAttention, MixtureOfExperts } from '../architecture.js'
import { PRE_NORM, RMS_DECODER, uniformModel } from './uniform-model.js'

/** Mixtral 8x7B (https://arxiv.org/abs/2401.04088, table 1) and a two-layer model of its kind for demonstrations. */
export const mixtralPresets = {
  'mixtral-8x7b': uniformModel({
    name: 'Mixtral 8x7B',
    family: 'mixtral',
    hidden: 4096,
    vocab: 32000,
    ...RMS_DECODER,
    maxPositions: 32768,
    depth: 32,
    layer: { attention: attention(32, 8, 128), ffn: experts(8, 2, 14336), ...PRE_NORM },
  }),
  'tiny-moe': uniformModel({
    name: 'Tiny MoE',
    family: 'mixtral',
    hidden: 64,
    vocab: 256,
    ...RMS_DECODER,
    maxPositions: 128,
    depth: 2,
    layer: { attention: attention(4, 2, 16), ffn: experts(4, 2, 64), ...PRE_NORM },
  }),
}

function attention(heads: number, kvHeads: number, headDim: number): GroupedAttention {
  return { kind: 'grouped', heads, kvHeads, headDim, bias: { qkv: false, out: false }, rotary: true }
}

function experts(count: number, topK: number, intermediate: number): MixtureOfExperts {
  const biases = { bias: false, routerBias: false, correctionBias: false }
  return { kind: 'moe', experts: count, topK, intermediate, activation: 'swiglu', ...biases }
}
