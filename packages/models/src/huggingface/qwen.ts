import type { GroupedAttention, Layer, ModelArchitecture } from '../architecture.js'
import { allOrNoBias, rotaryAttention, slidingAndFull } from './attention.js'
import type { ConfigFields } from './config-fields.js'
import { readDecoder, readDepth } from './decoder.js'
import { readGatedFfn } from './ffn.js'
import type { PerLayer } from './layer-order.js'
import { denseAndSparse, readMixture } from './mixture.js'

/** Qwen 1.5, 2 and 2.5: biases on queries, keys and values. https://arxiv.org/abs/2407.10671, section 2.2. */
export function readQwen2(fields: ConfigFields): ModelArchitecture {
  return readQwen(fields, 'qwen2', qwen2Attention(fields), readGatedFfn(fields))
}

/** Qwen 1.5 and 2 with experts, and a shared expert behind a sigmoid gate: the same report, section 2.2.2. */
export function readQwen2Moe(fields: ConfigFields): ModelArchitecture {
  const width = fields.count('shared_expert_intermediate_size')
  const shared = width === 0 ? undefined : { count: 1, intermediate: width, gate: true }
  return readQwen(fields, 'qwen2_moe', qwen2Attention(fields), qwenMixture(fields, shared))
}

/** Qwen 3: a norm on each query and key head in place of the biases. https://arxiv.org/abs/2505.09388, section 2. */
export function readQwen3(fields: ConfigFields): ModelArchitecture {
  const rest = { bias: allOrNoBias(fields), qkNorm: 'head' } as const
  return readQwen(fields, 'qwen3', rotaryAttention(fields, { headDim: 128 }, rest), readGatedFfn(fields))
}

/** Qwen 3 with experts, none of them shared: the same report, section 2. */
export function readQwen3Moe(fields: ConfigFields): ModelArchitecture {
  const rest = { bias: allOrNoBias(fields), qkNorm: 'head' } as const
  return readQwen(fields, 'qwen3_moe', rotaryAttention(fields, { headDim: 'quotient' }, rest), qwenMixture(fields))
}

function readQwen(
  fields: ConfigFields,
  family: string,
  attention: GroupedAttention,
  ffn: PerLayer<Layer['ffn']>,
): ModelArchitecture {
  const layers = readDepth(fields)
  const firstSliding = fields.flag('use_sliding_window', false) ? fields.count('max_window_layers') : layers
  return readDecoder(fields, family, {
    layers,
    attention: slidingAndFull(fields, layers, attention, (depth) => depth >= firstSliding),
    ffn,
    tied: false,
  })
}

function qwen2Attention(fields: ConfigFields): GroupedAttention {
  const bias = { qkv: fields.flag('qkv_bias', true), out: false }
  return rotaryAttention(fields, { headDim: 'quotient' }, { bias })
}

/** Experts in each `decoder_sparse_step`-th layer, save those in `mlp_only_layers`. */
function qwenMixture(
  fields: ConfigFields,
  shared?: { count: number; intermediate: number; gate: boolean },
): PerLayer<Layer['ffn']> {
  const step = fields.size('decoder_sparse_step', 1)
  const dense = fields.indices('mlp_only_layers')
  const mixture = {
    experts: 'num_experts',
    width: 'moe_intermediate_size',
    normalised: false,
    ...(shared === undefined ? {} : { shared }),
  }
  const sparseAt = (depth: number) => (depth + 1) % step === 0 && !dense?.has(depth)
  return denseAndSparse(fields, sparseAt, () => readMixture(fields, mixture))
}
