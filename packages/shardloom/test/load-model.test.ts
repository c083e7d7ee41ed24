import { isShardloomError } from '@shardloom/core'
import { presets } from '@shardloom/models'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isModelPath, loadModel } from '../src/load-model.js'

const config = {
  model_type: 'llama',
  vocab_size: 256,
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 128,
}

async function errorOf(model: string | Record<string, unknown>, text?: string): Promise<string> {
  const error: unknown = await loadModel(model, text === undefined ? undefined : () => text).then(
    () => undefined,
    (cause: unknown) => cause,
  )
  if (!isShardloomError(error)) throw error ?? new Error('nothing was thrown')
  return `${error.code} ${error.message} ${error.help ?? ''}`
}

describe('a model', () => {
  test('is a preset, by name', async () => {
    expect(await loadModel('tiny', undefined)).toBe(presets.tiny)
  })

  test('is a Hugging Face config, inline or in a file, named after its folder', async () => {
    expect(await loadModel(config, undefined)).toMatchObject({ schema: 'shardloom.model/1', hidden: 64 })
    const file = () => JSON.stringify(config)
    expect((await loadModel('./Llama-small/config.json', file)).name).toBe('Llama-small')
    expect((await loadModel('small.json', file)).name).toBe('small')
  })

  test('is an object of our own format, inline or in a file, taken as it is', async () => {
    const tiny = presets.tiny
    expect(await loadModel(JSON.parse(JSON.stringify(tiny)), undefined)).toEqual(tiny)
    expect(await loadModel('./tiny.yaml', () => JSON.stringify(tiny))).toEqual(tiny)
  })

  test('every preset passes the check of our own format', async () => {
    for (const [name, preset] of Object.entries(presets)) {
      expect(await loadModel(JSON.parse(JSON.stringify(preset)), undefined), name).toEqual(preset)
    }
  })

  test('is a path when it has a slash or an extension', () => {
    expect(['./a', 'a/b', 'a\\b', 'config.json', 'm.yml'].every(isModelPath)).toBe(true)
    expect(['tiny', 'llama-3.1-8b'].some(isModelPath)).toBe(false)
  })
})

describe('a bad model', () => {
  test.each([
    ['llama-3.1-8', undefined, 'UNKNOWN_PRESET There is no preset "llama-3.1-8". Did you mean `llama-3.1-8b`?'],
    ['xyzzy', undefined, 'Presets: '],
    ['./config.json', undefined, 'NO_ACCESS'],
    ['./config.json', '{"model_type": "lama"}', 'UNKNOWN_MODEL_TYPE'],
    ['./config.json', '{"model_type": "llama"}', 'MISSING_FIELD'],
    [
      './config.json',
      '{"hidden_size": 3}',
      'MODEL_VALUE ./config.json: The model has neither `model_type` nor `schema`',
    ],
    ['./config.json', '[]', 'MODEL_VALUE ./config.json: A model is an object, not an empty list.'],
    ['./config.json', '{"model_type": NaN}', 'MODEL_SYNTAX'],
    ['./config.json', '{"model_type": "llama", "__proto__": {"x": 1}}', 'MODEL_KEY'],
    [
      { schema: 'shardloom.model/2' },
      undefined,
      'MODEL_VALUE `schema` is "shardloom.model/2", but it must be shardloom.model/1.',
    ],
    [{ ...presets.tiny, hiden: 3 }, undefined, 'MODEL_KEY There is no key `hiden` in a model. Did you mean `hidden`?'],
    [{ ...presets.tiny, hidden: Number.NaN }, undefined, 'MODEL_VALUE `hidden` is NaN, but it must be a whole number'],
    [{ ...presets.tiny, order: { runs: [{ layer: 'other', count: 1 }] } }, undefined, 'names the layer "other"'],
  ])('%s %s', async (model, text, expected) => {
    expect(await errorOf(model, text)).toContain(expected)
  })

  test('contradictions of attention and experts are named', async () => {
    const text = JSON.stringify(presets.tiny)
    expect(await errorOf(JSON.parse(text.replace(/"kvHeads":\d+/, '"kvHeads":3')))).toContain(
      'heads, which its 3 KV heads do not divide',
    )
    const experts = JSON.stringify(presets['tiny-moe'])
    expect(await errorOf(JSON.parse(experts.replace(/"topK":\d+/, '"topK":99')))).toContain('chooses 99 of')
  })

  test('whatever object is given, nothing but a ShardloomError is thrown', async () => {
    const change = fc.record({ key: fc.constantFrom(...Object.keys(presets.tiny ?? {})), value: fc.jsonValue() })
    await fc.assert(
      fc.asyncProperty(change, async ({ key, value }) => {
        const model = { ...presets.tiny, [key]: value }
        const error: unknown = await loadModel(model, undefined).then(
          () => undefined,
          (cause: unknown) => cause,
        )
        if (error !== undefined && !isShardloomError(error)) throw error
      }),
    )
  })
})

test.each([
  ['num_kv_heads', 'num_key_value_heads'],
  ['tie_word_embedings', 'tie_word_embeddings'],
  ['intermediate_sze', 'intermediate_size'],
])('a config with %s, and without %s, makes one doubt', async (key, meant) => {
  const { [meant as 'model_type']: _, ...rest } = config
  const warnings: string[] = []
  const text = JSON.stringify({ ...rest, [key]: 4 })
  const read = loadModel(
    './m/config.json',
    () => text,
    (warning) => warnings.push(warning),
  )
  if (meant === 'intermediate_size')
    await expect(read).rejects.toThrow('./m/config.json: The config has no intermediate_size')
  else {
    await read
    expect(warnings).toEqual([
      `./m/config.json has \`${key}\`, which nothing reads, and no \`${meant}\`: is that meant?`,
    ])
  }
})

test('a .json file that is no JSON is answered about JSON', async () => {
  expect(await errorOf('./config.json', '{"model_type": "llama",\n "hidden_size": 64,}')).toMatch(
    /^MODEL_SYNTAX Cannot read .\/config.json: .*JSON.* Write JSON: /,
  )
})
