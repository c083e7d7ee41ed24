import type { ModelArchitecture } from '../architecture.js'
import { allOrNoBias, rotaryAttention, slidingAndFull } from './attention.js'
import type { ConfigFields } from './config-fields.js'
import { readDecoder, readDepth } from './decoder.js'
import { readActivation } from './ffn.js'
import { everyLayer } from './layer-order.js'
import { gemmaVision } from './vision.js'

/** Gemma 2: sliding and full attention in turn, norms on both sides. https://arxiv.org/abs/2408.00118, section 2. */
export function readGemma2(fields: ConfigFields): ModelArchitecture {
  const layers = readDepth(fields)
  const attention = rotaryAttention(fields, { headDim: 256 }, { bias: allOrNoBias(fields) })
  return readDecoder(fields, 'gemma2', {
    layers,
    attention: slidingAndFull(fields, layers, attention, (depth) => depth % 2 === 0, 4096),
    ffn: gemmaFfn(fields),
    norms: 'sandwich',
    tied: true,
  })
}

/** Gemma 3 without images: five sliding layers to each full one. https://arxiv.org/abs/2503.19786, section 2. */
export function readGemma3Text(fields: ConfigFields): ModelArchitecture {
  const layers = readDepth(fields)
  const pattern = fields.size(['sliding_window_pattern', '_sliding_window_pattern'], 6)
  const heads = { heads: 8, kvHeads: 4, headDim: 256 }
  const attention = rotaryAttention(fields, heads, { bias: allOrNoBias(fields), qkNorm: 'head' })
  return readDecoder(fields, 'gemma3_text', {
    layers,
    attention: slidingAndFull(fields, layers, attention, (depth) => (depth + 1) % pattern !== 0, 4096),
    ffn: gemmaFfn(fields),
    norms: 'sandwich',
    tied: true,
    vocab: 262208,
  })
}

/** Gemma 3 with its vision tower, which is counted and not drawn: the same report, section 2.1. */
export function readGemma3(fields: ConfigFields): ModelArchitecture {
  const textFields =
    fields.nested('text_config') ?? fields.missing('text_config', "an object with the text model's fields")
  const text = readGemma3Text(textFields)
  const vision = fields.nested('vision_config')
  return {
    ...text,
    name: 'gemma3',
    family: 'gemma3',
    tiedEmbeddings: fields.flag('tie_word_embeddings', text.tiedEmbeddings),
    ...(vision === undefined ? {} : { extras: gemmaVision(vision, text.hidden), undrawn: ['vision tower'] }),
  }
}

function gemmaFfn(fields: ConfigFields) {
  return everyLayer({
    kind: 'dense',
    intermediate: fields.size('intermediate_size'),
    activation: readActivation(fields, true, 'gelu_pytorch_tanh'),
    bias: false,
  } as const)
}
