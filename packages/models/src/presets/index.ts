import { nearest, ShardloomError } from '@shardloom/core'
import type { ModelArchitecture } from '../architecture.js'
import { deepSeekPresets } from './deepseek.js'
import { gptPresets } from './gpt.js'
import { gptOssPresets } from './gpt-oss.js'
import { llamaPresets } from './llama.js'
import { mixtralPresets } from './mixtral.js'
import { qwen3Presets } from './qwen3.js'

/** Well-known models by name. Look a name from outside up with {@link findPreset}, not by index. */
export const presets: Readonly<Record<string, ModelArchitecture>> = {
  ...deepSeekPresets,
  ...gptPresets,
  ...gptOssPresets,
  ...llamaPresets,
  ...mixtralPresets,
  ...qwen3Presets,
}

/** The names of all presets, sorted. */
export function presetNames(): string[] {
  return Object.keys(presets).sort()
}

/** The preset of that name; throws `UNKNOWN_PRESET`, with the nearest name, when there is none. */
export function findPreset(name: string): ModelArchitecture {
  const preset = Object.hasOwn(presets, name) ? presets[name] : undefined
  if (preset !== undefined) return preset
  const near = nearest(name, presetNames())
  const shown = name.length > 60 ? `${name.slice(0, 60)}…` : name
  throw new ShardloomError('UNKNOWN_PRESET', `There is no model preset ${JSON.stringify(shown)}.`, {
    subject: shown,
    help: `${near === undefined ? '' : `Did you mean ${near}? `}Presets: ${presetNames().join(', ')}.`,
  })
}
