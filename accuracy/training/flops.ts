import type { Layer, ModelArchitecture } from '@shardloom/models'
import type { FlopConvention } from './sources.js'

/**
 * FLOPs of a training step of `tokens` tokens in sequences of `seq`, as tables count them: six for each weight of a matrix product
 * that a token passes, and attention (Korthikanti et al. 2022, appendix A; Narayanan et al. 2021, section 5.1, which counts
 * what is computed again, with eight). With full recomputation every layer runs forward twice. For the core
 * of attention Korthikanti et al. (equation 9) count as much again as forward and backward have, and so does who compares with them.
 */
export function stepFlops(
  model: ModelArchitecture,
  { tokens, seq }: { readonly tokens: number; readonly seq: number },
  { causal, recomputed, layerWeightsOnly = false }: FlopConvention,
  recompute: string,
): number {
  const runs = model.order.runs.map(({ layer, count }) => ({ layer: model.layers[layer], count }))
  const repeat = model.order.repeat ?? 1
  let forward = 0
  let core = 0
  for (const { layer, count } of runs) {
    if (!layer) continue
    const own = layerWeightsOnly ? 0 : attentionFlops(layer, seq, causal)
    core += count * repeat * own
    forward += count * repeat * (2 * weightsOf(layer, model.hidden) + own)
  }
  const head = layerWeightsOnly ? 0 : 2 * model.hidden * model.vocab
  const again = !recomputed ? 0 : recompute === 'full' ? forward : recompute === 'selective' ? 3 * core : 0
  return tokens * (3 * (forward + head) + again)
}

/** Weights of matrix products that one token passes in a layer. */
function weightsOf({ attention, ffn }: Layer, hidden: number): number {
  let weights = 0
  if (attention.kind === 'grouped') weights += hidden * attention.headDim * 2 * (attention.heads + attention.kvHeads)
  if (attention.kind === 'latent') {
    const { heads, queryRank, kvRank, nopeDim, ropeDim, valueDim } = attention
    const query = heads * (nopeDim + ropeDim)
    weights += queryRank === undefined ? hidden * query : queryRank * (hidden + query)
    weights += hidden * (kvRank + ropeDim) + kvRank * heads * (nopeDim + valueDim) + heads * valueDim * hidden
  }
  const gates = ffn.activation === 'swiglu' || ffn.activation === 'geglu' ? 3 : 2
  if (ffn.kind === 'dense') return weights + gates * hidden * ffn.intermediate
  const shared = ffn.shared?.intermediate ?? 0
  return weights + gates * hidden * (ffn.topK * ffn.intermediate + shared) + hidden * ffn.experts
}

/** FLOPs of scores and context of one token in forward. */
function attentionFlops({ attention }: Layer, seq: number, causal: FlopConvention['causal']): number {
  if (attention.kind === 'undrawn') return 0
  const widths =
    attention.kind === 'grouped'
      ? 2 * attention.heads * attention.headDim
      : attention.heads * (attention.nopeDim + attention.ropeDim + attention.valueDim)
  const reach = attention.kind === 'grouped' ? (attention.window ?? seq) : seq
  const pairs = reach < seq ? reach : causal === 'whole' ? seq : seq / 2
  return 2 * pairs * widths
}
