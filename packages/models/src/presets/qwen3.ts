import type { GroupedAttention } from '../architecture.js'
import { PRE_NORM, RMS_DECODER, uniformModel } from './uniform-model.js'

/** Qwen 3: https://arxiv.org/abs/2505.09388, tables 1 and 2. */
export const qwen3Presets = {
  'qwen3-8b': uniformModel({
    name: 'Qwen3 8B',
    family: 'qwen3',
    hidden: 4096,
    vocab: 151936,
    ...RMS_DECODER,
    maxPositions: 40960,
    depth: 36,
    layer: {
      attention: attention(32, 8),
      ffn: { kind: 'dense', intermediate: 12288, activation: 'swiglu', bias: false },
      ...PRE_NORM,
    },
  }),
  'qwen3-32b': uniformModel({
    name: 'Qwen3 32B',
    family: 'qwen3',
    hidden: 5120,
    vocab: 151936,
    ...RMS_DECODER,
    maxPositions: 40960,
    depth: 64,
    layer: {
      attention: attention(64, 8),
      ffn: { kind: 'dense', intermediate: 25600, activation: 'swiglu', bias: false },
      ...PRE_NORM,
    },
  }),
  'qwen3-235b-a22b': uniformModel({
    name: 'Qwen3 235B A22B',
    family: 'qwen3_moe',
    hidden: 4096,
    vocab: 151936,
    ...RMS_DECODER,
    maxPositions: 40960,
    depth: 94,
    layer: {
      attention: attention(64, 4),
      ffn: {
        kind: 'moe',
        experts: 128,
        topK: 8,
        intermediate: 1536,
        activation: 'swiglu',
        bias: false,
        routerBias: false,
        correctionBias: false,
      },
      ...PRE_NORM,
    },
  }),
}

function attention(heads: number, kvHeads: number): GroupedAttention {
  const bias = { qkv: false, out: false }
  return { kind: 'grouped', heads, kvHeads, headDim: 128, bias, qkNorm: 'head', rotary: true }
}
