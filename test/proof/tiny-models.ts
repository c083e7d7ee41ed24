import { type ModelArchitecture, parameterTensors } from '@shardloom/models'
import type { OracleWeights } from './oracle.js'

const shared = { schema: 'shardloom.model/1', hidden: 8, vocab: 13, tiedEmbeddings: false } as const
const rms = { kind: 'rms', bias: false } as const
const noBias = { qkv: false, out: false } as const
const sequential = { residual: 'sequential', norms: 'pre' } as const
const order = { runs: [{ layer: 'layer', count: 2 }] } as const
const heads = { kind: 'grouped', heads: 6, kvHeads: 2, headDim: 4, bias: noBias, rotary: true } as const
const dense = { kind: 'dense', intermediate: 10, activation: 'swiglu', bias: false } as const
const experts = {
  kind: 'moe',
  experts: 5,
  topK: 2,
  intermediate: 10,
  activation: 'swiglu',
  bias: false,
  routerBias: false,
  correctionBias: false,
} as const
const latent = { kind: 'latent', heads: 2, queryRank: 6, kvRank: 5, nopeDim: 3, ropeDim: 4, valueDim: 5 } as const

/** One small model for each family of formulas. */
export const tinyModels: readonly ModelArchitecture[] = [
  {
    ...shared,
    name: 'llama-like',
    family: 'llama',
    norm: rms,
    layers: { layer: { ...sequential, attention: heads, ffn: dense } },
    order,
  },
  {
    ...shared,
    name: 'gpt-2-like',
    family: 'gpt2',
    tiedEmbeddings: true,
    learnedPositions: 9,
    norm: { kind: 'layer', bias: true },
    layers: {
      layer: {
        ...sequential,
        attention: { ...heads, kvHeads: 6, bias: { qkv: true, out: true }, rotary: false },
        ffn: { ...dense, activation: 'gelu', bias: true },
      },
    },
    order,
  },
  {
    ...shared,
    name: 'mixtral-like',
    family: 'mixtral',
    norm: rms,
    layers: { layer: { ...sequential, attention: heads, ffn: experts } },
    order,
  },
  {
    ...shared,
    name: 'deepseek-like',
    family: 'deepseek_v3',
    norm: rms,
    layers: {
      'dense-layer': { ...sequential, attention: latent, ffn: dense },
      'moe-layer': {
        ...sequential,
        attention: latent,
        ffn: { ...experts, correctionBias: true, shared: { count: 1, intermediate: 7, gate: false } },
      },
    },
    order: {
      runs: [
        { layer: 'dense-layer', count: 1 },
        { layer: 'moe-layer', count: 2 },
      ],
    },
  },
  {
    ...shared,
    name: 'gpt-oss-like',
    family: 'gpt_oss',
    norm: rms,
    layers: {
      'sliding-layer': {
        ...sequential,
        attention: { ...heads, bias: { qkv: true, out: true }, window: 3, sinks: true },
        ffn: { ...experts, bias: true, routerBias: true },
      },
      'full-layer': {
        ...sequential,
        attention: { ...heads, bias: { qkv: true, out: true }, sinks: true },
        ffn: { ...experts, bias: true, routerBias: true },
      },
    },
    order: {
      runs: [
        { layer: 'sliding-layer', count: 1 },
        { layer: 'full-layer', count: 1 },
      ],
      repeat: 2,
    },
  },
  {
    ...shared,
    name: 'qwen-2-moe-like',
    family: 'qwen2_moe',
    norm: rms,
    layers: {
      layer: {
        ...sequential,
        attention: { ...heads, bias: { qkv: true, out: false } },
        ffn: { ...experts, shared: { count: 1, intermediate: 7, gate: true } },
      },
    },
    order,
  },
  {
    ...shared,
    name: 'olmo-2-like',
    family: 'olmo2',
    norm: rms,
    layers: {
      layer: { ...sequential, norms: 'post', attention: { ...heads, qkNorm: 'whole' }, ffn: dense },
    },
    order,
  },
  {
    ...shared,
    name: 'gemma-like',
    family: 'gemma3',
    tiedEmbeddings: true,
    norm: rms,
    layers: {
      layer: {
        ...sequential,
        norms: 'sandwich',
        attention: { ...heads, qkNorm: 'head', window: 2 },
        ffn: { ...dense, activation: 'geglu' },
      },
    },
    order,
  },
  {
    ...shared,
    name: 'phi-like',
    family: 'phi',
    headBias: true,
    norm: { kind: 'layer', bias: true },
    layers: {
      layer: {
        attention: {
          ...heads,
          kvHeads: 1,
          bias: { qkv: true, out: true },
          qkNorm: 'head',
          qkNormGain: false,
          chunk: 3,
        },
        ffn: { ...dense, activation: 'relu', bias: true },
        residual: 'parallel',
        norms: 'shared',
      },
    },
    order,
  },
]

/** Weights of a model: gains near one, the rest near zero, the same on every call. */
export function tinyWeights(model: ModelArchitecture): OracleWeights {
  let state = 20240607
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32 - 0.5
  }
  return Object.fromEntries(
    parameterTensors(model).map(({ name, shape, layer, instances }) => {
      const size = shape.reduce((product, each) => product * each, instances)
      const centre = name.endsWith('/gain') ? 1 : 0
      const spread = name.endsWith('/correction') ? 0.2 : 1.2
      const values = Float64Array.from({ length: size }, () => centre + spread * next())
      return [layer === undefined ? name : `${layer}/${name}`, { shape, values }]
    }),
  )
}

/** Three sequences of seven tokens and their labels; tokens repeat, so that gradients of table rows add up. */
export const tinyTokens = [
  [3, 1, 4, 1, 5, 9, 2],
  [6, 5, 3, 5, 8, 9, 7],
  [9, 3, 2, 3, 8, 4, 12],
] as const
export const tinyLabels = [
  [1, 4, 1, 5, 9, 2, 6],
  [5, 3, 5, 8, 9, 7, 9],
  [3, 2, 3, 8, 4, 12, 0],
] as const
