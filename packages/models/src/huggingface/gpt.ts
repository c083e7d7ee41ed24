import type { ModelArchitecture } from '../architecture.js'
import { headQuotient, plainAttention, readHeads } from './attention.js'
import type { ConfigFields } from './config-fields.js'
import { LAYER_NORM, readDecoder, readDepth } from './decoder.js'
import { plainFfn } from './ffn.js'
import { everyLayer } from './layer-order.js'

/** GPT-2, and GPT-3 as far as its shapes go: learned positions, layer norms and biases everywhere. */
export function readGpt2(fields: ConfigFields): ModelArchitecture {
  if (fields.flag('add_cross_attention', false)) fields.unsupported('add_cross_attention', true, 'a decoder without it')
  const names = { hidden: ['n_embd', 'hidden_size'], positions: ['n_positions', 'n_ctx'] } as const
  const hidden = fields.size(names.hidden)
  const heads = fields.size(['n_head', 'num_attention_heads'])
  const headDim = headQuotient(fields, names.hidden, heads)
  return readDecoder(fields, 'gpt2', {
    layers: readDepth(fields),
    attention: everyLayer(plainAttention({ heads, kvHeads: heads, headDim }, { qkv: true, out: true }, false)),
    ffn: plainFfn(fields, fields.size('n_inner', 4 * hidden), true),
    norm: LAYER_NORM,
    learnedPositions: fields.size(names.positions, 1024),
    tied: true,
    names,
    dropout: { rate: 0.1 },
  })
}

/** GPT-NeoX: attention and network read the same residual, each behind its norm. https://arxiv.org/abs/2204.06745. */
export function readGptNeox(fields: ConfigFields): ModelArchitecture {
  const bias = fields.flag('attention_bias', true)
  const heads = readHeads(fields, { kvHeads: 'heads', headDim: 'quotient' })
  return readDecoder(fields, 'gpt_neox', {
    layers: readDepth(fields),
    attention: everyLayer(plainAttention(heads, { qkv: bias, out: bias }, true)),
    ffn: plainFfn(fields, fields.size('intermediate_size'), true),
    norm: LAYER_NORM,
    residual: fields.flag('use_parallel_residual', true) ? 'parallel' : 'sequential',
    tied: false,
    dropout: { embedding: ['hidden_dropout', 'hidden_dropout_prob'] },
  })
}
