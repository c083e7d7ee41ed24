import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { fromHuggingFace } from '../src/huggingface/index.js'
import { countParameters, layerCounts } from '../src/parameters.js'
import { findPreset, presetNames, presets } from '../src/presets/index.js'

const reference = process.env.SHARDLOOM_REFERENCE

test('the presets', () => {
  expect(presetNames()).toEqual([
    'deepseek-v3',
    'gpt-1t',
    'gpt-22b',
    'gpt-oss-120b',
    'gpt2',
    'gpt3-175b',
    'llama-2-13b',
    'llama-2-70b',
    'llama-2-7b',
    'llama-3.1-405b',
    'llama-3.1-70b',
    'llama-3.1-8b',
    'mixtral-8x7b',
    'mt-nlg-530b',
    'qwen3-235b-a22b',
    'qwen3-32b',
    'qwen3-8b',
    'tiny',
    'tiny-moe',
  ])
})

test.each(Object.entries(presets))(
  '%s: every run names a layer, heads share keys evenly, and JSON keeps it',
  (_, preset) => {
    for (const kind of layerCounts(preset).keys()) expect(preset.layers).toHaveProperty([kind])
    for (const { attention } of Object.values(preset.layers)) {
      if (attention.kind === 'grouped') expect(attention.heads % attention.kvHeads).toBe(0)
    }
    expect(JSON.parse(JSON.stringify(preset))).toEqual(preset)
  },
)

/** From model cards and safetensors indices; the formula is https://arxiv.org/abs/2104.04473, equation 2. */
describe('published counts', () => {
  test.each([
    ['gpt2', 124_439_808],
    ['llama-2-7b', 6_738_415_616],
    ['llama-2-13b', 13_015_864_320],
    ['llama-2-70b', 68_976_648_192],
    ['llama-3.1-8b', 8_030_261_248],
    ['llama-3.1-70b', 70_553_706_496],
    ['llama-3.1-405b', 405_853_388_800],
    ['mixtral-8x7b', 46_702_792_704],
    ['qwen3-8b', 8_190_735_360],
    ['qwen3-235b-a22b', 235_093_634_560],
    ['deepseek-v3', 671_026_419_200],
    ['gpt-oss-120b', 116_829_156_672],
  ])('%s', (name, published) => {
    expect(countParameters(findPreset(name)).total).toBe(published)
  })

  test.each([
    ['gpt-22b', 48, 6144],
    ['gpt3-175b', 96, 12288],
    ['mt-nlg-530b', 105, 20480],
    ['gpt-1t', 128, 25600],
  ])('%s follows 12lh²(1 + 13/12h + (V + s)/12lh), which leaves out the final norm', (name, layers, hidden) => {
    const formula = 12 * layers * hidden ** 2 + 13 * layers * hidden + (51200 + 2048) * hidden
    expect(countParameters(findPreset(name)).total).toBe(formula + 2 * hidden)
  })
})

// Korthikanti et al. 2022, section 4.1, counts the masks of dropout, whose rate is that of Shoeybi et al. 2019, section 4.2.
test.each(['gpt-22b', 'gpt3-175b', 'mt-nlg-530b', 'gpt-1t'])('%s drops a tenth', (name) => {
  expect(findPreset(name).dropout).toBe(0.1)
})

describe.skipIf(!reference)('the reference models', () => {
  test.each([
    ['gpt2', 'openai-community--gpt2'],
    ['llama-2-7b', 'meta-llama--Llama-2-7b-hf'],
    ['llama-2-13b', 'meta-llama--Llama-2-13b-hf'],
    ['llama-2-70b', 'meta-llama--Llama-2-70b-hf'],
    ['llama-3.1-8b', 'meta-llama--Meta-Llama-3.1-8B'],
    ['llama-3.1-70b', 'meta-llama--Meta-Llama-3.1-70B'],
    ['llama-3.1-405b', 'meta-llama--Meta-Llama-3.1-405B'],
    ['mixtral-8x7b', 'mistralai--Mixtral-8x7B-v0.1'],
    ['qwen3-8b', 'Qwen--Qwen3-8B'],
    ['qwen3-32b', 'Qwen--Qwen3-32B'],
    ['qwen3-235b-a22b', 'Qwen--Qwen3-235B-A22B'],
    ['deepseek-v3', 'deepseek-ai--DeepSeek-V3'],
    ['gpt-oss-120b', 'openai--gpt-oss-120b'],
  ])(
    '%s is %s in every field but the name, the type that is stored and the dropout, which few papers state',
    (name, file) => {
      const config = JSON.parse(readFileSync(join(reference ?? '', 'models', `${file}.json`), 'utf8'))
      const preset = findPreset(name)
      const { weightDtype: _, ...shape } = fromHuggingFace(config)
      expect(preset).toEqual({ ...shape, name: preset.name, dropout: preset.dropout })
    },
  )
})

describe('an unknown name', () => {
  test.each([
    ['lama-3.1-8b', 'Did you mean llama-3.1-8b?'],
    ['constructor', 'Presets: deepseek-v3, '],
    ['__proto__', 'Presets: deepseek-v3, '],
    ['', 'Presets: deepseek-v3, '],
  ])('%j', (name, help) => {
    expect(() => findPreset(name)).toThrow(
      expect.objectContaining({ code: 'UNKNOWN_PRESET', help: expect.stringContaining(help) }),
    )
  })
})
