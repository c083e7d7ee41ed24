import { nearest, ShardloomError } from '@shardloom/core'
import type { ModelArchitecture } from '../architecture.js'
import { countParameters } from '../parameters.js'
import { ConfigFields, describe, type Misspelling } from './config-fields.js'
import { readDeepSeekV2, readDeepSeekV3, readDeepSeekV32, readGlmMoeDsa, readKimiK2 } from './deepseek.js'
import { readFalcon } from './falcon.js'
import { readGemma2, readGemma3, readGemma3Text } from './gemma.js'
import { readGlm4Moe } from './glm.js'
import { readGpt2, readGptNeox } from './gpt.js'
import { readGptOss } from './gpt-oss.js'
import { readLlama } from './llama.js'
import { readLlama4, readLlama4Text } from './llama4.js'
import { readMiniMaxM1, readMiniMaxM2 } from './minimax.js'
import { readMistral, readMixtral } from './mistral.js'
import { readOlmo2, readOlmo3, readOlmoe } from './olmo.js'
import { readPhi, readPhi3 } from './phi.js'
import { readQwen2, readQwen2Moe, readQwen3, readQwen3Moe } from './qwen.js'

/** The reader of each family, by `model_type`. */
const READERS: ReadonlyMap<string, (fields: ConfigFields) => ModelArchitecture> = new Map([
  ['deepseek_v2', readDeepSeekV2],
  ['deepseek_v3', readDeepSeekV3],
  ['deepseek_v32', readDeepSeekV32],
  ['falcon', readFalcon],
  ['gemma2', readGemma2],
  ['gemma3', readGemma3],
  ['gemma3_text', readGemma3Text],
  ['glm4_moe', readGlm4Moe],
  ['glm_moe_dsa', readGlmMoeDsa],
  ['gpt2', readGpt2],
  ['gpt_neox', readGptNeox],
  ['gpt_oss', readGptOss],
  ['kimi_k2', readKimiK2],
  ['llama', readLlama],
  ['llama4', readLlama4],
  ['llama4_text', readLlama4Text],
  ['minimax_m1', readMiniMaxM1],
  ['minimax_m2', readMiniMaxM2],
  ['mistral', readMistral],
  ['mixtral', readMixtral],
  ['olmo2', readOlmo2],
  ['olmo3', readOlmo3],
  ['olmoe', readOlmoe],
  ['phi', readPhi],
  ['phi3', readPhi3],
  ['qwen2', readQwen2],
  ['qwen2_moe', readQwen2Moe],
  ['qwen3', readQwen3],
  ['qwen3_moe', readQwen3Moe],
])

/** The values of `model_type` that {@link fromHuggingFace} reads, sorted. */
export function supportedModelTypes(): string[] {
  return [...READERS.keys()].sort()
}

/**
 * Reads a Hugging Face `config.json`, parsed, into Shardloom's own format. Fields that a config may leave out take the
 * defaults of the family's class; multi-token prediction modules are left out. What a model has that cannot be drawn is
 * named in `undrawn` and counted all the same.
 *
 * Throws a ShardloomError: `INVALID_CONFIG` when `config` is not an object, `UNKNOWN_MODEL_TYPE`, `MISSING_FIELD`,
 * `INVALID_FIELD` for a value of the wrong kind or out of range, `CONTRADICTORY_FIELDS`, `UNSUPPORTED_FIELD` for a
 * value that the family's reader cannot express, and `TOO_LARGE` for a model that cannot be counted exactly.
 */
export function fromHuggingFace(config: unknown): ModelArchitecture {
  return readHuggingFace(config).architecture
}

/** Reads a config like {@link fromHuggingFace}, and says which of its keys, which nothing reads, are nearly ones that are read. */
export function readHuggingFace(config: unknown): {
  readonly architecture: ModelArchitecture
  readonly misspellings: readonly Misspelling[]
} {
  if (typeof config !== 'object' || config === null || Array.isArray(config)) {
    throw new ShardloomError('INVALID_CONFIG', `A Hugging Face config is a JSON object, not ${describe(config)}.`, {
      help: 'Pass the parsed contents of a config.json.',
    })
  }
  const fields = new ConfigFields(config)
  const modelType = fields.word('model_type')
  const reader = READERS.get(modelType)
  if (reader === undefined) throw unknownModelType(modelType, fields)
  const architecture = reader(fields)
  const { total } = countParameters(architecture)
  if (!Number.isSafeInteger(total)) {
    throw new ShardloomError('TOO_LARGE', `The config describes a model of some ${total.toPrecision(3)} parameters.`, {
      help: 'Give sizes of a model with fewer than 2^53 parameters.',
    })
  }
  const name = fields.value('_name_or_path')?.value
  const named = typeof name === 'string' && name !== '' ? { ...architecture, name: name.slice(0, 200) } : architecture
  const stored = storesEightBits(fields) ? ({ ...named, weightDtype: 'fp8' } as const) : named
  return { architecture: stored, misspellings: fields.misspellings() }
}

/**
 * Whether matrices are stored as floating-point numbers of eight bits: the methods `fp8` and `fbgemm_fp8` of transformers, and
 * the files of compressed-tensors and of NVIDIA's modelopt that say so.
 */
function storesEightBits(fields: ConfigFields): boolean {
  const quantization = fields.value('quantization_config')?.value
  if (typeof quantization !== 'object' || quantization === null) return false
  const entry = (object: unknown, name: string): unknown =>
    typeof object === 'object' && object !== null ? Object.getOwnPropertyDescriptor(object, name)?.value : undefined
  const method = entry(quantization, 'quant_method')
  if (method === 'fp8' || method === 'fbgemm_fp8' || entry(quantization, 'quant_algo') === 'FP8') return true
  const groups = entry(quantization, 'config_groups')
  if (method !== 'compressed-tensors' || typeof groups !== 'object' || groups === null) return false
  const weights = Object.values(groups).map((group) => entry(group, 'weights'))
  return weights.length > 0 && weights.every((each) => entry(each, 'num_bits') === 8 && entry(each, 'type') === 'float')
}

function unknownModelType(modelType: string, fields: ConfigFields): ShardloomError {
  const types = supportedModelTypes()
  const near = nearest(modelType, types)
  const text = fields.value('text_config') === undefined ? undefined : fields.nested('text_config')?.value('model_type')
  const nested = typeof text?.value === 'string' && READERS.has(text.value)
  const first = near === undefined ? '' : `Did you mean ${near}? `
  const second = nested ? 'Its text_config can be read alone: pass that object. ' : ''
  return new ShardloomError('UNKNOWN_MODEL_TYPE', `model_type ${describe(modelType)} is not supported.`, {
    subject: 'model_type',
    help: `${first}${second}Supported: ${types.join(', ')}.`,
  })
}
