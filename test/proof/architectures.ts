import type {
  DenseFfn,
  GroupedAttention,
  LatentAttention,
  Layer,
  MixtureOfExperts,
  ModelArchitecture,
} from '@shardloom/models'

const noBias = { qkv: false, out: false } as const
const bothBiases = { qkv: true, out: true } as const

/** Twelve query heads over two KV heads: the degrees 2, 3 and 4 all divide them, and 4 exceeds the KV heads. */
export const grouped: GroupedAttention = {
  kind: 'grouped',
  heads: 12,
  kvHeads: 2,
  headDim: 4,
  bias: noBias,
  rotary: true,
}

/** Multi-head latent attention without a query rank. */
export const latent: LatentAttention = { kind: 'latent', heads: 12, kvRank: 5, nopeDim: 3, ropeDim: 2, valueDim: 3 }

/** A gated feed-forward network whose width the degrees 2, 3 and 4 divide. */
export const dense: DenseFfn = { kind: 'dense', intermediate: 12, activation: 'swiglu', bias: false }

/** Four experts, two of which a token passes. */
export const experts: MixtureOfExperts = {
  kind: 'moe',
  experts: 4,
  topK: 2,
  intermediate: 12,
  activation: 'swiglu',
  bias: false,
  routerBias: false,
  correctionBias: false,
}

/** A layer of that attention and network, sequential, with norms before. */
export function layerOf(attention: Layer['attention'], ffn: Layer['ffn'], more: Partial<Layer> = {}): Layer {
  return { attention, ffn, residual: 'sequential', norms: 'pre', ...more }
}

/** A model of these layers, each once in their order unless `order` says otherwise; a single layer stands twice. */
export function modelOf(
  name: string,
  layers: Readonly<Record<string, Layer>>,
  more: Partial<ModelArchitecture> = {},
): ModelArchitecture {
  const names = Object.keys(layers)
  return {
    schema: 'shardloom.model/1',
    name,
    family: 'proof',
    hidden: 8,
    vocab: 12,
    tiedEmbeddings: false,
    norm: { kind: 'rms', bias: false },
    layers,
    order: { runs: names.map((layer) => ({ layer, count: names.length === 1 ? 2 : 1 })) },
    ...more,
  }
}

const single = (
  name: string,
  attention: Layer['attention'],
  ffn: Layer['ffn'],
  layer: Partial<Layer> = {},
  more: Partial<ModelArchitecture> = {},
) => modelOf(name, { layer: layerOf(attention, ffn, layer) }, more)

/** One small model for each feature that changes what is computed. */
export const architectures: readonly ModelArchitecture[] = [
  single('grouped-query attention', grouped, dense),
  single('multi-query attention', { ...grouped, kvHeads: 1 }, dense),
  single(
    'multi-head attention, biases, layer norm, learned positions',
    { ...grouped, kvHeads: 12, bias: bothBiases, rotary: false },
    { ...dense, activation: 'gelu', bias: true },
    {},
    { norm: { kind: 'layer', bias: true }, learnedPositions: 12 },
  ),
  single('norms on each head of queries and keys', { ...grouped, qkNorm: 'head' }, dense),
  single('norms on whole queries and keys, norms after', { ...grouped, qkNorm: 'whole' }, dense, { norms: 'post' }),
  single(
    'parallel residual, one norm, biases',
    { ...grouped, bias: bothBiases, qkNorm: 'head', qkNormGain: false },
    { ...dense, activation: 'relu', bias: true },
    { residual: 'parallel', norms: 'shared' },
    { norm: { kind: 'layer', bias: true } },
  ),
  single('parallel residual, two norms', grouped, dense, { residual: 'parallel' }),
  single('norms before and after', grouped, { ...dense, activation: 'geglu' }, { norms: 'sandwich' }),
  single('sliding window', { ...grouped, window: 3 }, dense),
  single('chunks', { ...grouped, chunk: 2 }, dense),
  single('sinks', { ...grouped, bias: bothBiases, sinks: true }, dense),
  single('dropout', grouped, dense, {}, { dropout: 0.25 }),
  single('mixture of experts', grouped, experts),
  single('mixture of experts with biases', grouped, { ...experts, bias: true, routerBias: true }),
  single('mixture with a gated shared expert', grouped, {
    ...experts,
    shared: { count: 1, intermediate: 12, gate: true },
  }),
  single('latent attention', latent, dense),
  single(
    'latent attention with a query rank, shared expert, correction bias',
    { ...latent, queryRank: 6 },
    { ...experts, correctionBias: true, shared: { count: 1, intermediate: 12, gate: false } },
  ),
  modelOf(
    'dense and mixture layers in turn, sliding and full',
    {
      'dense-layer': layerOf({ ...grouped, window: 2 }, dense),
      'moe-layer': layerOf(grouped, experts),
    },
    {
      order: {
        runs: [
          { layer: 'dense-layer', count: 2 },
          { layer: 'moe-layer', count: 1 },
        ],
        repeat: 2,
      },
    },
  ),
  single('tied embeddings, biased head', grouped, dense, {}, { tiedEmbeddings: true, headBias: true }),
]

/** Six experts in three groups of two; routers that choose within groups, and weights that are scaled or do not sum to one. */
const six = { ...experts, experts: 6, topK: 3, groups: { count: 3, topK: 2 } }
export const routers: readonly ModelArchitecture[] = [
  single('groups with a correction, scaled weights', grouped, { ...six, correctionBias: true, scale: 2.5 }),
  single('groups without a correction, weights as they are', grouped, { ...six, normalised: false, scale: 3 }),
  single('sigmoids as they are', grouped, { ...experts, correctionBias: true, normalised: false }),
]

/** Sizes that no degree from 2 on divides. */
export const odd: readonly ModelArchitecture[] = [
  single(
    'odd sizes, dense',
    { ...grouped, heads: 3, kvHeads: 3, bias: bothBiases },
    { ...dense, intermediate: 7, bias: true },
    {},
    { vocab: 13, hidden: 6 },
  ),
  single(
    'odd sizes, three groups',
    { ...grouped, heads: 9, kvHeads: 3, sinks: true },
    { ...experts, intermediate: 7, shared: { count: 1, intermediate: 5, gate: true } },
    {},
    { vocab: 13, hidden: 6, tiedEmbeddings: true },
  ),
  single(
    'odd sizes, latent attention',
    { ...latent, heads: 3 },
    { ...dense, intermediate: 7 },
    {},
    { vocab: 13, hidden: 6 },
  ),
]
