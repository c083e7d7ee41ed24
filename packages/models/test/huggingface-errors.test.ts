import { isShardloomError } from '@shardloom/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromHuggingFace, supportedModelTypes } from '../src/huggingface/index.js'
import { countParameters } from '../src/parameters.js'

const llama = {
  model_type: 'llama',
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 256,
}
const mixtral = { ...llama, model_type: 'mixtral', num_local_experts: 4, num_experts_per_tok: 2 }
const deepSeek = {
  ...llama,
  model_type: 'deepseek_v3',
  q_lora_rank: 8,
  kv_lora_rank: 8,
  qk_nope_head_dim: 8,
  qk_rope_head_dim: 8,
  v_head_dim: 8,
  n_routed_experts: 4,
  n_shared_experts: 1,
  moe_intermediate_size: 32,
  num_experts_per_tok: 2,
  first_k_dense_replace: 1,
}
const gpt2 = { model_type: 'gpt2', n_embd: 64, n_head: 4, n_layer: 2, vocab_size: 256 }

describe('bad configs', () => {
  test.each([
    ['null', null, 'INVALID_CONFIG', 'null', 'config.json'],
    ['a list', [], 'INVALID_CONFIG', 'a list of 0', 'config.json'],
    ['text', '{}', 'INVALID_CONFIG', '"{}"', 'config.json'],
    ['no model_type', {}, 'MISSING_FIELD', 'no model_type', 'model_type'],
    ['model_type of another kind', { model_type: 3 }, 'INVALID_FIELD', 'model_type is 3', 'a string'],
    ['an unknown model_type', { model_type: 'lama' }, 'UNKNOWN_MODEL_TYPE', '"lama"', 'Did you mean llama?'],
    ['a method name as model_type', { model_type: 'constructor' }, 'UNKNOWN_MODEL_TYPE', '"constructor"', 'qwen3_moe'],
    [
      'an unknown wrapper of a known text model',
      { model_type: 'mistral3', text_config: { model_type: 'mistral' } },
      'UNKNOWN_MODEL_TYPE',
      '"mistral3"',
      'text_config can be read alone',
    ],
    ['a missing field', { ...llama, hidden_size: undefined }, 'MISSING_FIELD', 'no hidden_size', 'Add hidden_size'],
    ['a missing text_config', { model_type: 'gemma3' }, 'MISSING_FIELD', 'no text_config', 'Add text_config'],
    [
      'a missing nested field',
      { model_type: 'gemma3', text_config: {} },
      'MISSING_FIELD',
      'no text_config.num_hidden_layers',
      'Add text_config.num_hidden_layers',
    ],
    ['a number as text', { ...llama, vocab_size: '256' }, 'INVALID_FIELD', 'vocab_size is "256"', 'without quotes'],
    ['a fraction', { ...llama, vocab_size: 25.6 }, 'INVALID_FIELD', 'vocab_size is 25.6', 'whole number'],
    ['a negative size', { ...llama, hidden_size: -64 }, 'INVALID_FIELD', 'hidden_size is -64', 'from 1'],
    ['zero', { ...llama, num_attention_heads: 0 }, 'INVALID_FIELD', 'num_attention_heads is 0', 'from 1'],
    ['NaN', { ...llama, hidden_size: Number.NaN }, 'INVALID_FIELD', 'hidden_size is NaN', 'whole number'],
    [
      'infinity',
      { ...llama, hidden_size: Number.POSITIVE_INFINITY },
      'INVALID_FIELD',
      'hidden_size is Infinity',
      'whole number',
    ],
    ['a huge size', { ...llama, vocab_size: 2 ** 31 + 1 }, 'INVALID_FIELD', '2147483649', 'to 2147483648'],
    ['too many layers', { ...llama, num_hidden_layers: 1_000_001 }, 'INVALID_FIELD', '1000001', 'to 1000000'],
    ['a flag as text', { ...llama, tie_word_embeddings: 'yes' }, 'INVALID_FIELD', '"yes"', 'true or false'],
    ['an object as a list', { ...llama, model_type: 'olmo3', layer_types: {} }, 'INVALID_FIELD', 'an object', 'a list'],
    [
      'heads that do not divide the hidden size',
      { ...llama, hidden_size: 66 },
      'CONTRADICTORY_FIELDS',
      '66',
      'head_dim',
    ],
    [
      'heads that do not divide n_embd',
      { ...gpt2, n_embd: 66 },
      'CONTRADICTORY_FIELDS',
      'n_embd is 66',
      'multiple of 4',
    ],
    [
      'key-value heads that do not divide the heads',
      { ...llama, num_key_value_heads: 3 },
      'CONTRADICTORY_FIELDS',
      'does not divide the 4',
      'a divisor of 4',
    ],
    [
      'more chosen experts than experts',
      { ...mixtral, num_experts_per_tok: 8 },
      'CONTRADICTORY_FIELDS',
      'num_experts_per_tok is 8, but num_local_experts is 4',
      'at most 4',
    ],
    [
      'layer_types of another length',
      { ...llama, model_type: 'olmo3', layer_types: ['full_attention'] },
      'CONTRADICTORY_FIELDS',
      'layer_types has 1 entries, but the model has 2 layers',
      'one entry per layer',
    ],
    [
      'an unknown layer type',
      { ...llama, model_type: 'olmo3', layer_types: ['full_attention', 'linear_attention'] },
      'UNSUPPORTED_FIELD',
      'layer_types[1]: "linear_attention"',
      'full_attention or sliding_attention',
    ],
    ['an unknown activation', { ...llama, hidden_act: 'tanh' }, 'UNSUPPORTED_FIELD', 'hidden_act: "tanh"', 'silu'],
    [
      'latent attention with biases',
      { ...deepSeek, attention_bias: true },
      'UNSUPPORTED_FIELD',
      'attention_bias',
      'false',
    ],
    [
      'more parameters than can be counted',
      { ...llama, hidden_size: 2 ** 30, vocab_size: 2 ** 30 },
      'TOO_LARGE',
      'parameters',
      '2^53',
    ],
  ])('%s', (_, config, code, message, help) => {
    const error = errorOf(config)
    expect(error).toMatchObject({ code })
    expect(error?.message).toContain(message)
    expect(error?.help).toContain(help)
  })

  test('an error of a nested field names its whole path', () => {
    const config = { model_type: 'gemma3', text_config: { ...llama, vocab_size: 'many' } }
    expect(errorOf(config)).toMatchObject({ subject: 'text_config.vocab_size' })
  })

  test('a long value is cut short in the message', () => {
    expect(errorOf({ model_type: 'x'.repeat(1_000_000) })?.message.length).toBeLessThan(200)
  })

  test('the longest model is read', () => {
    const { order } = fromHuggingFace({ ...deepSeek, num_hidden_layers: 1_000_000, moe_layer_freq: 7 })
    expect(order.runs.reduce((sum, { count }) => sum + count, 0) * (order.repeat ?? 1)).toBe(1_000_000)
  })
})

describe('whatever the config, nothing but a ShardloomError is thrown', () => {
  const fieldNames = [...new Set([llama, mixtral, deepSeek, gpt2].flatMap((config) => Object.keys(config)))]
  const optional = ['head_dim', 'layer_types', 'sliding_window', 'mlp_only_layers', 'text_config', 'vision_config']
  const modelType = fc.constantFrom(...supportedModelTypes())
  const change = fc.dictionary(
    fc.constantFrom(...fieldNames.filter((name) => name !== 'model_type'), ...optional, 'attn_type_list', '__proto__'),
    fc.oneof(fc.jsonValue(), fc.nat(8), fc.constant(2 ** 31), fc.constant(undefined), fc.array(fc.nat(3))),
    { maxKeys: 4 },
  )

  test('any JSON', () => {
    fc.assert(fc.property(fc.jsonValue(), expectOnlyShardloomErrors))
  })

  test('any JSON under a known model_type', () => {
    const config = fc.tuple(fc.dictionary(fc.string(), fc.jsonValue()), modelType)
    fc.assert(fc.property(config, ([fields, model_type]) => expectOnlyShardloomErrors({ ...fields, model_type })))
  })

  test('a valid config with some fields changed', () => {
    const base = fc.constantFrom<object>(llama, mixtral, deepSeek, gpt2, { ...deepSeek, ...gpt2, ...mixtral })
    const config = fc.tuple(base, change, fc.option(modelType))
    fc.assert(
      fc.property(config, ([fields, changes, model_type]) => {
        const type = model_type === null ? {} : { model_type }
        expectOnlyShardloomErrors({ ...fields, ...changes, ...type })
        expectOnlyShardloomErrors({
          model_type: 'llama4',
          text_config: { ...fields, ...changes },
          vision_config: changes,
        })
      }),
      { numRuns: 1000 },
    )
  })
})

function errorOf(config: unknown) {
  try {
    fromHuggingFace(config)
  } catch (error) {
    if (isShardloomError(error)) return error
    throw error
  }
  return undefined
}

/** A config that is read after all must give a model that can be counted and written out. */
function expectOnlyShardloomErrors(config: unknown): void {
  if (errorOf(config) !== undefined) return
  const architecture = fromHuggingFace(config)
  expect(countParameters(architecture).total).toSatisfy(Number.isSafeInteger)
  expect(JSON.parse(JSON.stringify(architecture))).toEqual(architecture)
}
