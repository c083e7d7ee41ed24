import type { LatentAttention, ModelArchitecture } from '../architecture.js'
import type { ConfigFields } from './config-fields.js'
import { readDecoder, readDepth } from './decoder.js'
import { everyLayer } from './layer-order.js'
import { correctedRouting, type DeepSeekRouting, deepSeekMixture } from './mixture.js'

/** DeepSeek-V2, V2.5 and V2-Lite: https://arxiv.org/abs/2405.04434, section 2. */
export function readDeepSeekV2(fields: ConfigFields): ModelArchitecture {
  const method = fields.word('topk_method', 'greedy')
  if (method === 'noaux_tc') return readDeepSeek(fields, 'deepseek_v2', correctedRouting)
  const grouped = method === 'group_limited_greedy'
  const routing = { correctionBias: false, grouped, normalised: false, scalesNormalised: false }
  return readDeepSeek(fields, 'deepseek_v2', routing)
}

/** DeepSeek-V3 and R1: https://arxiv.org/abs/2412.19437, section 2; without the multi-token prediction modules. */
export function readDeepSeekV3(fields: ConfigFields): ModelArchitecture {
  return readDeepSeek(fields, 'deepseek_v3', correctedRouting)
}

/** Kimi K2, a DeepSeek-V3 in shape: https://arxiv.org/abs/2507.20534. */
export function readKimiK2(fields: ConfigFields): ModelArchitecture {
  return readDeepSeek(fields, 'kimi_k2', correctedRouting)
}

/** DeepSeek-V3.2: V3 with a lightning indexer, which is counted and not drawn. */
export function readDeepSeekV32(fields: ConfigFields): ModelArchitecture {
  return readDeepSeek(fields, 'deepseek_v32', correctedRouting, readIndexer(fields))
}

/** GLM-5: the shapes of DeepSeek-V3.2. */
export function readGlmMoeDsa(fields: ConfigFields): ModelArchitecture {
  return readDeepSeek(fields, 'glm_moe_dsa', correctedRouting, readIndexer(fields))
}

function readDeepSeek(
  fields: ConfigFields,
  family: string,
  routing: DeepSeekRouting,
  indexer?: NonNullable<LatentAttention['indexer']>,
): ModelArchitecture {
  if (fields.flag('attention_bias', false)) fields.unsupported('attention_bias', true, 'false')
  const layers = readDepth(fields)
  const queryRank = fields.optionalSize('q_lora_rank')
  const attention: LatentAttention = {
    kind: 'latent',
    heads: fields.size('num_attention_heads'),
    ...(queryRank === undefined ? {} : { queryRank }),
    kvRank: fields.size('kv_lora_rank'),
    nopeDim: fields.size('qk_nope_head_dim'),
    ropeDim: fields.size('qk_rope_head_dim'),
    valueDim: fields.size('v_head_dim'),
    ...(indexer === undefined ? {} : { indexer }),
  }
  return readDecoder(fields, family, {
    layers,
    attention: everyLayer(attention),
    ffn: deepSeekMixture(fields, layers, routing),
    tied: false,
    ...(indexer === undefined ? {} : { undrawn: ['sparse attention indexer'] }),
  })
}

function readIndexer(fields: ConfigFields): NonNullable<LatentAttention['indexer']> {
  return { heads: fields.size('index_n_heads'), headDim: fields.size('index_head_dim') }
}
