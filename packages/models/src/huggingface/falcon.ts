import type { ModelArchitecture } from '../architecture.js'
import { headQuotient, plainAttention } from './attention.js'
import type { ConfigFields, FieldName } from './config-fields.js'
import { LAYER_NORM, readDecoder, readDepth } from './decoder.js'
import { plainFfn } from './ffn.js'
import { everyLayer } from './layer-order.js'

/**
 * Falcon: https://arxiv.org/abs/2311.16867. The new decoder architecture (40B and 180B) has grouped queries
 * and two norms; the older one (7B) has one key-value head and one norm, or, without `parallel_attn`, two in sequence.
 */
export function readFalcon(fields: ConfigFields): ModelArchitecture {
  const hiddenName: FieldName = ['hidden_size', 'n_embed']
  const newArchitecture = fields.flag('new_decoder_architecture', false)
  const parallel = newArchitecture || fields.flag('parallel_attn', true)
  const norms = newArchitecture ? fields.size('num_ln_in_parallel_attn', 2, 2) : parallel ? 1 : 2
  const bias = fields.flag('bias', false)
  const alibi = fields.flag('alibi', false)
  // Parallel branches are dropped after their sum, and the older sequential one by the other rate.
  const drops = fields.share('hidden_dropout', 0)
  if (drops > 0) fields.unsupported('hidden_dropout', drops, '0')
  const heads = falconHeads(fields, hiddenName, newArchitecture)
  return readDecoder(fields, 'falcon', {
    layers: readDepth(fields),
    attention: everyLayer(plainAttention(heads, { qkv: bias, out: bias }, !alibi)),
    ffn: plainFfn(fields, fields.size('ffn_hidden_size', 4 * fields.size(hiddenName)), bias),
    norm: LAYER_NORM,
    norms: norms === 1 ? 'shared' : 'pre',
    residual: parallel ? 'parallel' : 'sequential',
    tied: true,
    names: { hidden: hiddenName },
    ...(alibi ? { undrawn: ['ALiBi positions'] } : {}),
  })
}

function falconHeads(fields: ConfigFields, hiddenName: FieldName, newArchitecture: boolean) {
  const heads = fields.size(['num_attention_heads', 'n_head'])
  const headDim = headQuotient(fields, hiddenName, heads)
  if (!newArchitecture) return { heads, kvHeads: fields.flag('multi_query', true) ? 1 : heads, headDim }
  const kvHeads = fields.size(['num_kv_heads', 'n_head_kv'], heads)
  if (heads % kvHeads !== 0) {
    fields.contradiction(
      'num_kv_heads',
      `is ${kvHeads}, which does not divide the ${heads} attention heads`,
      `Set num_kv_heads to a divisor of ${heads}.`,
    )
  }
  return { heads, kvHeads, headDim }
}
