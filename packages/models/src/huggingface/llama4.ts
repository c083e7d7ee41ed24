import type { GroupedAttention, ModelArchitecture } from '../architecture.js'
import { allOrNoBias, attentionKinds, rotaryAttention } from './attention.js'
import type { ConfigFields } from './config-fields.js'
import { readDecoder, readDepth } from './decoder.js'
import { denseAndSparse, readMixture } from './mixture.js'
import { llamaVision } from './vision.js'

/**
 * The text model of Llama 4: three layers of chunked attention with rotary positions before each full one without
 * positions; a dense layer or experts with one shared expert. Only rotary layers have a qk norm, without gains.
 */
export function readLlama4Text(fields: ConfigFields): ModelArchitecture {
  const layers = readDepth(fields)
  const rotaryAt = rotaryLayers(fields, layers)
  const kindAt = attentionKinds(fields, layers, ['full', 'chunked'], (depth) => (rotaryAt(depth) ? 'chunked' : 'full'))
  const full: GroupedAttention = {
    ...rotaryAttention(fields, { headDim: 128 }, { bias: allOrNoBias(fields) }),
    rotary: false,
  }
  const norm = fields.flag('use_qk_norm', true) ? ({ qkNorm: 'head', qkNormGain: false } as const) : {}
  const step = fields.size('interleave_moe_layer_step', 1)
  const sparse = fields.indices('moe_layers')
  return readDecoder(fields, 'llama4_text', {
    layers,
    attention: {
      kindAt,
      build: (kind) =>
        kind === 'full' ? full : { ...full, rotary: true, chunk: fields.size('attention_chunk_size', 8192), ...norm },
    },
    ffn: denseAndSparse(
      fields,
      (depth) => (sparse === undefined ? (depth + 1) % step === 0 : sparse.has(depth)),
      () => {
        const shared = { count: 1, intermediate: fields.size('intermediate_size'), gate: false }
        return readMixture(fields, { experts: 'num_local_experts', width: 'intermediate_size', shared })
      },
      'intermediate_size_mlp',
    ),
    tied: false,
  })
}

/** Llama 4; a vision tower, where the config has one, is counted and not drawn. */
export function readLlama4(fields: ConfigFields): ModelArchitecture {
  const textFields =
    fields.nested('text_config') ?? fields.missing('text_config', "an object with the text model's fields")
  const text = readLlama4Text(textFields)
  const vision = fields.nested('vision_config')
  return {
    ...text,
    name: 'llama4',
    family: 'llama4',
    tiedEmbeddings: fields.flag('tie_word_embeddings', text.tiedEmbeddings),
    ...(vision === undefined ? {} : { extras: llamaVision(vision, text.hidden), undrawn: ['vision tower'] }),
  }
}

/** `no_rope_layers` has a 1 for each layer with rotary positions and a 0 for each without, its name notwithstanding. */
function rotaryLayers(fields: ConfigFields, layers: number): (depth: number) => boolean {
  const interval = fields.size('no_rope_layer_interval', 4)
  if (fields.list('no_rope_layers')?.length) {
    const list = fields.listPerLayer('no_rope_layers', layers)
    return (depth) => Boolean(list?.[depth])
  }
  return (depth) => (depth + 1) % interval !== 0
}
