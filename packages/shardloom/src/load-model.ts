import { isShardloomError, nearest, ShardloomError } from '@shardloom/core'
import { findPreset, type ModelArchitecture, presetNames, readHuggingFace } from '@shardloom/models'
import { modelOfRepository } from './launch/model-names.js'
import { checkArchitecture } from './model-schema.js'
import { parseText } from './parse-spec.js'
import { checkNesting, shown } from './spec-error.js'

/** Reads a file that a spec names. The host decides what a path means and which paths may be read. */
export type ReadText = (path: string) => string | Promise<string>

/** The longest text of a model file, in UTF-16 code units. */
const largestModel = 16_000_000

/** Whether the `model` of a spec is a path, not the name of a preset: it has a slash or ends in `.json`, `.yaml` or `.yml`. */
export function isModelPath(model: string): boolean {
  return /[\\/]|\.(json|ya?ml)$/i.test(model)
}

/**
 * The architecture that the `model` of a spec names: a preset, a file, or the object itself, which is a Hugging Face
 * config (`model_type`) or Shardloom's own format (`schema: shardloom.model/1`). Throws `UNKNOWN_PRESET`, `NO_ACCESS`,
 * `MODEL_SYNTAX`, `MODEL_VALUE`, `MODEL_KEY`, and what `fromHuggingFace` throws. `warn` is told of keys that are misspelt.
 */
export async function loadModel(
  model: string | Readonly<Record<string, unknown>>,
  readText: ReadText | undefined,
  warn: (message: string) => void = () => {},
): Promise<ModelArchitecture> {
  if (typeof model !== 'string') return readModel(model, 'model', warn)
  if (presetNames().includes(model)) return findPreset(model)
  if (!isModelPath(model)) throw unknownPreset(model)
  if (!readText) {
    throw new ShardloomError(
      'NO_ACCESS',
      `The spec names the model file ${shown(model)}, but no files can be read here.`,
      {
        subject: 'model',
        help: 'Give the model as an object, name a preset, or pass `readText`.',
      },
    )
  }
  const value = parseText(await readOf(model, readText), model, 'MODEL', largestModel)
  const architecture = named(model, () => readModel(value, model, warn))
  const unnamed = architecture.name === architecture.family
  return unnamed ? { ...architecture, name: nameFromPath(model) } : architecture
}

/** The text of a model file; where there is none, and its name is that of a repository on Hugging Face, the error names the preset of it. */
async function readOf(path: string, readText: ReadText): Promise<string> {
  try {
    return await readText(path)
  } catch (cause) {
    const preset =
      /^[\w-]+\/[\w.-]+$/.test(path) && !/\.(json|ya?ml)$/i.test(path) ? modelOfRepository(path) : undefined
    if (preset === undefined || !presetNames().includes(preset)) throw cause
    throw new ShardloomError('UNKNOWN_PRESET', `There is no file ${shown(path)}, and repositories are not read.`, {
      subject: 'model',
      help: `Did you mean \`${preset}\`, the preset of that model? For others give its config.json: \`./config.json\`.`,
      cause,
    })
  }
}

/** A config.json says no name of its own; the folder it lies in, or else its file, does. */
function nameFromPath(path: string): string {
  const parts = path.split(/[\\/]/).filter((part) => part !== '' && !/^\.+$/.test(part))
  const file = (parts.at(-1) ?? path).replace(/\.(json|ya?ml)$/i, '')
  return file === 'config' ? (parts.at(-2) ?? file) : file
}

/** What `read` returns; its errors say which file they are about. */
function named<Result>(file: string, read: () => Result): Result {
  try {
    return read()
  } catch (cause) {
    if (!isShardloomError(cause)) throw cause
    const { code, message, subject, help } = cause
    throw new ShardloomError(code, `${file}: ${message}`, {
      ...(subject !== undefined && { subject }),
      ...(help !== undefined && { help }),
      cause,
    })
  }
}

function readModel(value: unknown, source: string, warn: (message: string) => void): ModelArchitecture {
  checkNesting(value, 'model')
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ShardloomError('MODEL_VALUE', `A model is an object, not ${shown(value)}.`, {
      subject: 'model',
      help: 'Give a Hugging Face config.json or an object with `schema: shardloom.model/1`.',
    })
  }
  if ('schema' in value) return checkArchitecture(value)
  if ('model_type' in value) {
    const { architecture, misspellings } = readHuggingFace(value)
    for (const { key, meant } of misspellings)
      warn(`${source} has \`${key}\`, which nothing reads, and no \`${meant}\`: is that meant?`)
    return architecture
  }
  throw new ShardloomError(
    'MODEL_VALUE',
    'The model has neither `model_type` nor `schema`, so its format is unknown.',
    {
      subject: 'model',
      help: 'A Hugging Face config has `model_type`; the own format has `schema: shardloom.model/1`.',
    },
  )
}

function unknownPreset(model: string): ShardloomError {
  const near = nearest(model, presetNames())
  const path = 'For a file write a path with a slash, such as `./config.json`.'
  return new ShardloomError('UNKNOWN_PRESET', `There is no preset ${shown(model)}.`, {
    subject: 'model',
    help: near ? `Did you mean \`${near}\`? ${path}` : `Presets: ${presetNames().join(', ')}. ${path}`,
  })
}
