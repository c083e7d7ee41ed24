import type { LatentAttention, ModelArchitecture } from '../architecture.js'
import { PRE_NORM, RMS_DECODER } from './uniform-model.js'

const attention: LatentAttention = {
  kind: 'latent',
  heads: 128,
  queryRank: 1536,
  kvRank: 512,
  nopeDim: 128,
  ropeDim: 64,
  valueDim: 128,
}

/** DeepSeek-V3 without its multi-token prediction module: https://arxiv.org/abs/2412.19437, section 4.2. */
const deepSeekV3: ModelArchitecture = {
  schema: 'shardloom.model/1',
  name: 'DeepSeek-V3',
  family: 'deepseek_v3',
  hidden: 7168,
  vocab: 129280,
  ...RMS_DECODER,
  maxPositions: 163840,
  layers: {
    'dense-layer': {
      attention,
      ffn: { kind: 'dense', intermediate: 18432, activation: 'swiglu', bias: false },
      ...PRE_NORM,
    },
    'moe-layer': {
      attention,
      ffn: {
        kind: 'moe',
        experts: 256,
        topK: 8,
        intermediate: 2048,
        activation: 'swiglu',
        bias: false,
        routerBias: false,
        correctionBias: true,
        groups: { count: 8, topK: 4 },
        scale: 2.5,
        shared: { count: 1, intermediate: 2048, gate: false },
      },
      ...PRE_NORM,
    },
  },
  order: {
    runs: [
      { layer: 'dense-layer', count: 3 },
      { layer: 'moe-layer', count: 58 },
    ],
  },
}

/** DeepSeek's models. */
export const deepSeekPresets = { 'deepseek-v3': deepSeekV3 }
