import type { DropoutRates, Layer, ModelArchitecture } from '../architecture.js'
import type { ConfigFields, FieldName } from './config-fields.js'
import { arrangeLayers, type PerLayer } from './layer-order.js'

/** What tells one family of decoders from another, once its attention and its feed-forward networks are read. */
export interface DecoderParts {
  readonly layers: number
  readonly attention: PerLayer<Layer['attention']>
  readonly ffn: PerLayer<Layer['ffn']>
  /** What `tie_word_embeddings` is when it is left out. */
  readonly tied: boolean
  /** Default: an RMS norm without bias. */
  readonly norm?: ModelArchitecture['norm']
  /** Default `pre`. */
  readonly norms?: Layer['norms']
  /** Default `sequential`. */
  readonly residual?: Layer['residual']
  readonly headBias?: true
  readonly learnedPositions?: number
  readonly undrawn?: readonly string[]
  /** The names of the fields that this family calls otherwise, and defaults of its own. */
  readonly names?: { readonly hidden?: FieldName; readonly vocab?: FieldName; readonly positions?: FieldName }
  readonly vocab?: number
  /** Dropout: what a rate is when it is left out, by default 0, and the field of the embeddings' rate. */
  readonly dropout?: { readonly rate?: number; readonly embedding?: FieldName }
}

/** The norm of the GPT families. */
export const LAYER_NORM: ModelArchitecture['norm'] = { kind: 'layer', bias: true }

const LARGEST_DEPTH = 1_000_000
const LAYER_NAMES: FieldName = ['num_hidden_layers', 'n_layer', 'num_layers', 'n_layers']

/** The number of layers. */
export function readDepth(fields: ConfigFields, names: FieldName = LAYER_NAMES): number {
  return fields.size(names, undefined, LARGEST_DEPTH)
}

/** Puts the parts of a decoder together with the fields that every family has. */
export function readDecoder(fields: ConfigFields, family: string, parts: DecoderParts): ModelArchitecture {
  const maxPositions = fields.optionalSize(parts.names?.positions ?? 'max_position_embeddings')
  return {
    schema: 'shardloom.model/1',
    name: family,
    family,
    hidden: fields.size(parts.names?.hidden ?? 'hidden_size'),
    vocab: fields.size(parts.names?.vocab ?? 'vocab_size', parts.vocab),
    tiedEmbeddings: fields.flag('tie_word_embeddings', parts.tied),
    ...(parts.learnedPositions === undefined ? {} : { learnedPositions: parts.learnedPositions }),
    ...(parts.headBias ? { headBias: true } : {}),
    norm: parts.norm ?? { kind: 'rms', bias: false },
    ...readDropout(fields, parts.dropout),
    ...(maxPositions === undefined ? {} : { maxPositions }),
    ...arrangeLayers(parts.layers, parts.attention, parts.ffn, {
      residual: parts.residual ?? 'sequential',
      norms: parts.norms ?? 'pre',
    }),
    ...(parts.undrawn?.length ? { undrawn: parts.undrawn } : {}),
  }
}

/** The rates of dropout that are not zero. A family's config has few of these names, and each says one thing. */
function readDropout(
  fields: ConfigFields,
  { rate = 0, embedding = 'embd_pdrop' }: NonNullable<DecoderParts['dropout']> = {},
): { readonly dropout?: DropoutRates } {
  const rates = {
    embedding: fields.share(embedding, rate),
    attention: fields.share(['attention_dropout', 'attn_pdrop', 'attention_probs_dropout_prob'], rate),
    residual: fields.share(['resid_pdrop', 'hidden_dropout', 'hidden_dropout_prob'], rate),
  }
  const dropped = Object.entries(rates).filter(([, share]) => share > 0)
  return dropped.length === 0 ? {} : { dropout: Object.fromEntries(dropped) }
}
