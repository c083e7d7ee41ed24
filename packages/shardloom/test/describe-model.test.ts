import { expect, test } from 'vitest'
import { describeModel, presetModels, presetNames } from '../src/index.js'

test('every preset in figures, of which each can be asked for alone', async () => {
  const models = presetModels()
  expect(models.map(({ preset }) => preset)).toEqual(presetNames())
  for (const model of models) expect(await describeModel(model.preset ?? '')).toEqual(model)
})

test('what the KV cache grows by', async () => {
  // DeepSeek-V3 report 2024, section 4.2: 512 compressed elements and 64 of rotary keys, in 61 layers.
  expect((await describeModel('deepseek-v3')).cacheElementsPerToken).toBe(61 * (512 + 64))
  // Brown et al. 2020, table 2.1: 96 layers, keys and values of 96 heads of 128.
  expect((await describeModel('gpt3-175b')).cacheElementsPerToken).toBe(96 * 2 * 96 * 128)
})

test('a model of no preset has no name for a spec', async () => {
  const config = { model_type: 'mixtral', hidden_size: 64, num_hidden_layers: 3, num_attention_heads: 4 }
  const sizes = {
    num_key_value_heads: 2,
    intermediate_size: 128,
    vocab_size: 100,
    num_local_experts: 4,
    num_experts_per_tok: 2,
  }
  const model = await describeModel({ ...config, ...sizes })
  expect(model).toMatchObject({ layers: 3, heads: 4, kvHeads: 2, experts: 4, expertsPerToken: 2 })
  expect(model).not.toHaveProperty('preset')
  expect(model.activeParameters).toBeLessThan(model.parameters)
})
