import type { GroupedAttention, MixtureOfExperts, ModelArchitecture } from '../architecture.js'
import { PRE_NORM, RMS_DECODER } from './uniform-model.js'

const attention: GroupedAttention = {
  kind: 'grouped',
  heads: 64,
  kvHeads: 8,
  headDim: 64,
  bias: { qkv: true, out: true },
  rotary: true,
  sinks: true,
}

const ffn: MixtureOfExperts = {
  kind: 'moe',
  experts: 128,
  topK: 4,
  intermediate: 2880,
  activation: 'swiglu',
  bias: true,
  routerBias: true,
  correctionBias: false,
}

/** gpt-oss-120b: https://arxiv.org/abs/2508.10925. */
const gptOss120b: ModelArchitecture = {
  schema: 'shardloom.model/1',
  name: 'gpt-oss-120b',
  family: 'gpt_oss',
  hidden: 2880,
  vocab: 201088,
  ...RMS_DECODER,
  maxPositions: 131072,
  layers: {
    'sliding-layer': { attention: { ...attention, window: 128 }, ffn, ...PRE_NORM },
    'full-layer': { attention, ffn, ...PRE_NORM },
  },
  order: {
    runs: [
      { layer: 'sliding-layer', count: 1 },
      { layer: 'full-layer', count: 1 },
    ],
    repeat: 18,
  },
}

/** OpenAI's open-weight models with experts. */
export const gptOssPresets = { 'gpt-oss-120b': gptOss120b }
