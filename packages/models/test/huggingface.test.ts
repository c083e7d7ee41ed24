import { describe, expect, test } from 'vitest'
import { fromHuggingFace, supportedModelTypes } from '../src/huggingface/index.js'
import { countParameters } from '../src/parameters.js'

const gpt2 = { model_type: 'gpt2', n_embd: 768, n_head: 12, n_layer: 12, vocab_size: 50257 }

const neox = {
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  vocab_size: 96,
  intermediate_size: 256,
  model_type: 'gpt_neox',
}
const phi2 = { ...neox, model_type: 'phi' }

const llama31 = {
  model_type: 'llama',
  hidden_size: 4096,
  intermediate_size: 14336,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  vocab_size: 128256,
}

const mixtral = {
  model_type: 'mixtral',
  hidden_size: 4096,
  intermediate_size: 14336,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  num_local_experts: 8,
  num_experts_per_tok: 2,
  vocab_size: 32000,
}

const deepSeekV3 = {
  model_type: 'deepseek_v3',
  hidden_size: 7168,
  intermediate_size: 18432,
  moe_intermediate_size: 2048,
  num_hidden_layers: 61,
  num_attention_heads: 128,
  q_lora_rank: 1536,
  kv_lora_rank: 512,
  qk_nope_head_dim: 128,
  qk_rope_head_dim: 64,
  v_head_dim: 128,
  n_routed_experts: 256,
  n_shared_experts: 1,
  num_experts_per_tok: 8,
  first_k_dense_replace: 3,
  num_nextn_predict_layers: 1,
  vocab_size: 129280,
}

const gemma3 = {
  model_type: 'gemma3',
  text_config: { hidden_size: 2560, intermediate_size: 10240, num_hidden_layers: 34, sliding_window: 1024 },
  vision_config: {
    hidden_size: 1152,
    intermediate_size: 4304,
    num_hidden_layers: 27,
    num_attention_heads: 16,
    image_size: 896,
    patch_size: 14,
    vision_use_head: false,
  },
}

const llama4Scout = {
  model_type: 'llama4',
  text_config: {
    model_type: 'llama4_text',
    hidden_size: 5120,
    intermediate_size: 8192,
    intermediate_size_mlp: 16384,
    num_hidden_layers: 48,
    num_attention_heads: 40,
    num_key_value_heads: 8,
    num_local_experts: 16,
    num_experts_per_tok: 1,
    vocab_size: 202048,
  },
  vision_config: {
    hidden_size: 1408,
    intermediate_size: 5632,
    num_hidden_layers: 34,
    image_size: 336,
    patch_size: 14,
    projector_input_dim: 4096,
    projector_output_dim: 4096,
    vision_output_dim: 4096,
  },
}

describe('published counts', () => {
  test.each([
    ['GPT-2', 'the model card', 124_439_808, gpt2],
    ['Llama 3.1 8B', 'half the total_size of its safetensors index', 8_030_261_248, llama31],
    ['Mixtral 8x7B', 'half the total_size of its safetensors index', 46_702_792_704, mixtral],
    ['DeepSeek-V3', 'the safetensors index without the MTP module', 671_026_419_200, deepSeekV3],
    ['Gemma 3 4B', 'the safetensors total', 4_300_079_472, gemma3],
    ['Llama 4 Scout', 'the safetensors total', 108_641_793_536, llama4Scout],
  ])('%s, by %s: %d', (_model, _source, published, config) => {
    expect(countParameters(fromHuggingFace(config)).total).toBe(published)
  })
})

describe('what a config becomes', () => {
  test('a whole architecture', () => {
    expect(
      fromHuggingFace({ ...llama31, _name_or_path: 'meta-llama/Llama-3.1-8B', max_position_embeddings: 131072 }),
    ).toEqual({
      schema: 'shardloom.model/1',
      name: 'meta-llama/Llama-3.1-8B',
      family: 'llama',
      hidden: 4096,
      vocab: 128256,
      tiedEmbeddings: false,
      norm: { kind: 'rms', bias: false },
      maxPositions: 131072,
      layers: {
        layer: {
          attention: {
            kind: 'grouped',
            heads: 32,
            kvHeads: 8,
            headDim: 128,
            bias: { qkv: false, out: false },
            rotary: true,
          },
          ffn: { kind: 'dense', intermediate: 14336, activation: 'swiglu', bias: false },
          residual: 'sequential',
          norms: 'pre',
        },
      },
      order: { runs: [{ layer: 'layer', count: 32 }] },
    })
  })

  // transformers' documentation of GPT2Config, GPTNeoXConfig, PhiConfig and LlamaConfig.
  test.each([
    ['GPT-2 drops a tenth of everything where its config says nothing', gpt2, 0.1, 0.1, 0.1],
    ['each rate has a field', { ...gpt2, embd_pdrop: 0, attn_pdrop: 0.2, resid_pdrop: 0.3 }, 0, 0.2, 0.3],
    [
      'GPT-NeoX drops embeddings like branches',
      { ...neox, hidden_dropout: 0.1, attention_dropout: 0.2 },
      0.1,
      0.2,
      0.1,
    ],
    ['Phi-2', { ...phi2, attention_dropout: 0, embd_pdrop: 0, resid_pdrop: 0.1 }, 0, 0, 0.1],
    ['Llama drops probabilities alone', { ...llama31, attention_dropout: 0.1 }, 0, 0.1, 0],
  ])('dropout: %s', (_, config, ...rates) => {
    const { dropout } = fromHuggingFace(config)
    const { embedding = 0, attention = 0, residual = 0 } = typeof dropout === 'object' ? dropout : {}
    expect([embedding, attention, residual]).toEqual(rates)
  })

  test('rates of zero are no dropout, and rates that are no shares are refused', () => {
    expect(fromHuggingFace({ ...gpt2, embd_pdrop: 0, attn_pdrop: 0, resid_pdrop: 0 })).not.toHaveProperty('dropout')
    expect(fromHuggingFace({ ...llama31, attention_dropout: 0 })).not.toHaveProperty('dropout')
    for (const rate of [1, -0.1, '0.1', Number.NaN])
      expect(() => fromHuggingFace({ ...gpt2, attn_pdrop: rate })).toThrow(
        /attn_pdrop is .*, not a share of at least 0/,
      )
    const falcon = {
      model_type: 'falcon',
      hidden_size: 64,
      num_attention_heads: 4,
      num_hidden_layers: 2,
      vocab_size: 96,
    }
    expect(() => fromHuggingFace({ ...falcon, hidden_dropout: 0.1 })).toThrow(/hidden_dropout: 0.1 is not supported/)
  })

  test('the config is left as it was', () => {
    const config = structuredClone(gemma3)
    fromHuggingFace(config)
    expect(config).toEqual(gemma3)
  })

  test('layers of two kinds are coded as runs, and as a repeated part where they alternate', () => {
    expect(fromHuggingFace(deepSeekV3).order).toEqual({
      runs: [
        { layer: 'dense-layer', count: 3 },
        { layer: 'moe-layer', count: 58 },
      ],
    })
    const maverick = { ...llama4Scout.text_config, interleave_moe_layer_step: 2 }
    expect(fromHuggingFace(maverick).order).toEqual({
      runs: [
        { layer: 'chunked-dense-layer', count: 1 },
        { layer: 'chunked-moe-layer', count: 1 },
        { layer: 'chunked-dense-layer', count: 1 },
        { layer: 'full-moe-layer', count: 1 },
      ],
      repeat: 12,
    })
  })

  test('layer_types decides where sliding attention stands', () => {
    const types = ['sliding_attention', 'sliding_attention', 'full_attention']
    const { layers, order } = fromHuggingFace({
      ...llama31,
      model_type: 'olmo3',
      num_hidden_layers: 3,
      layer_types: types,
      sliding_window: 512,
    })
    expect(order.runs).toEqual([
      { layer: 'sliding-layer', count: 2 },
      { layer: 'full-layer', count: 1 },
    ])
    expect(layers['sliding-layer']?.attention).toMatchObject({ window: 512 })
    expect(layers['full-layer']?.attention).not.toHaveProperty('window')
  })

  test('what cannot be drawn is named', () => {
    const indexer = { index_n_heads: 64, index_head_dim: 128 }
    expect(fromHuggingFace({ ...deepSeekV3, ...indexer, model_type: 'deepseek_v32' }).undrawn).toEqual([
      'sparse attention indexer',
    ])
    expect(fromHuggingFace(gemma3).undrawn).toEqual(['vision tower'])
    expect(fromHuggingFace({ ...gemma3.text_config, model_type: 'gemma3_text' })).not.toHaveProperty('undrawn')
    const minimax = {
      ...mixtral,
      model_type: 'minimax_m1',
      head_dim: 128,
      num_hidden_layers: 2,
      attn_type_list: [0, 1],
    }
    expect(fromHuggingFace(minimax).undrawn).toEqual(['lightning attention'])
  })

  test('a null field counts as left out', () => {
    expect(fromHuggingFace({ ...llama31, head_dim: null, tie_word_embeddings: null })).toEqual(fromHuggingFace(llama31))
  })

  test('polluting keys are harmless', () => {
    const pollution =
      '"__proto__": {"hidden_size": 1, "polluted": true}, "constructor": {"prototype": {"polluted": true}}'
    const polluted = JSON.parse(`{${pollution}, ${JSON.stringify(llama31).slice(1)}`)
    expect(fromHuggingFace(polluted)).toEqual(fromHuggingFace(llama31))
    expect({}).not.toHaveProperty('polluted')
    const inherited = JSON.parse(`{"model_type": "llama", "__proto__": ${JSON.stringify(llama31)}}`)
    expect(() => fromHuggingFace(inherited)).toThrow('The config has no')
  })

  test('the supported types are sorted and each is known to the reader', () => {
    const types = supportedModelTypes()
    expect(types).toEqual([...types].sort())
    for (const model_type of types) {
      expect(() => fromHuggingFace({ model_type })).toThrow(expect.objectContaining({ code: 'MISSING_FIELD' }))
    }
  })
})

describe('the type that weights are stored in', () => {
  test.each<[string, object, string | undefined]>([
    // As of deepseek-ai/DeepSeek-V3 and Qwen/Qwen3-32B-FP8.
    [
      'fp8 in blocks',
      { activation_scheme: 'dynamic', fmt: 'e4m3', quant_method: 'fp8', weight_block_size: [128, 128] },
      'fp8',
    ],
    // As of RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8 and its like of integers.
    [
      'compressed-tensors of floats',
      { quant_method: 'compressed-tensors', config_groups: { group_0: { weights: { num_bits: 8, type: 'float' } } } },
      'fp8',
    ],
    [
      'compressed-tensors of integers',
      { quant_method: 'compressed-tensors', config_groups: { group_0: { weights: { num_bits: 8, type: 'int' } } } },
      undefined,
    ],
    ['four bits', { quant_method: 'awq', bits: 4 }, undefined],
    ['four bits, as gpt-oss', { quant_method: 'mxfp4' }, undefined],
  ])('%s', (_, quantization, dtype) => {
    expect(fromHuggingFace({ ...llama31, quantization_config: quantization }).weightDtype).toBe(dtype)
  })

  test('none is said of a config without', () => {
    expect('weightDtype' in fromHuggingFace(llama31)).toBe(false)
  })
})
