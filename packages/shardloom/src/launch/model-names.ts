/** Presets by the repositories of Hugging Face that hold such checkpoints; the first is written. */
const repositories: Readonly<Record<string, readonly string[]>> = {
  'deepseek-v3': ['deepseek-ai/DeepSeek-V3', 'deepseek-ai/DeepSeek-R1', 'deepseek-ai/DeepSeek-V3.1'],
  'gpt-oss-120b': ['openai/gpt-oss-120b'],
  gpt2: ['openai-community/gpt2'],
  'llama-2-7b': ['meta-llama/Llama-2-7b-hf'],
  'llama-2-13b': ['meta-llama/Llama-2-13b-hf'],
  'llama-2-70b': ['meta-llama/Llama-2-70b-hf'],
  'llama-3.1-8b': ['meta-llama/Llama-3.1-8B', 'meta-llama/Meta-Llama-3.1-8B', 'meta-llama/Meta-Llama-3-8B'],
  'llama-3.1-70b': [
    'meta-llama/Llama-3.1-70B',
    'meta-llama/Meta-Llama-3.1-70B',
    'meta-llama/Llama-3.3-70B',
    'meta-llama/Meta-Llama-3-70B',
  ],
  'llama-3.1-405b': ['meta-llama/Llama-3.1-405B', 'meta-llama/Meta-Llama-3.1-405B'],
  'mixtral-8x7b': ['mistralai/Mixtral-8x7B-v0.1'],
  'qwen3-8b': ['Qwen/Qwen3-8B'],
  'qwen3-32b': ['Qwen/Qwen3-32B'],
  'qwen3-235b-a22b': ['Qwen/Qwen3-235B-A22B'],
}

/** Presets whose repositories hold weights of eight bits, as their config.json says. */
const storedAsFp8: readonly string[] = ['deepseek-v3']

/** Whether the repository of a preset does. */
export const isPublishedAsFp8 = (preset: string): boolean => storedAsFp8.includes(preset)

/** Whether a repository holds weights of eight bits: one known to, or named so, such as `Qwen/Qwen3-32B-FP8`. */
export function isStoredAsFp8(repository: string): boolean {
  const preset = modelOfRepository(repository)
  return /[-_]fp8(?![a-z0-9])/i.test(repository) || (preset !== undefined && isPublishedAsFp8(preset))
}

/** Flavors of torchtitan's models that have the shapes of presets: `llama3` and `70B`. */
const flavors: Readonly<Record<string, readonly [name: string, flavor: string]>> = {
  'llama-3.1-8b': ['llama3', '8B'],
  'llama-3.1-70b': ['llama3', '70B'],
  'llama-3.1-405b': ['llama3', '405B'],
  'deepseek-v3': ['deepseek_v3', '671B'],
  'qwen3-8b': ['qwen3', '8B'],
  'qwen3-32b': ['qwen3', '32B'],
}

/** A name without what changes no shape: versions by instruction, dates, types in eight bits. */
const plain = (name: string) =>
  name
    .toLowerCase()
    .replace(/^.*\//, '')
    .replace(/-(instruct|chat|it|fp8|hf|base|\d{4})(?=-|$)/g, '')

/** The model that a repository or a folder holds, as a spec names it: a preset, or the path of its config. */
export function modelOfRepository(name: string): string | undefined {
  const found = Object.entries(repositories).find(([, names]) => names.some((each) => plain(each) === plain(name)))
  if (found) return found[0]
  return /^[./~]/.test(name) ? `${name.replace(/\/$/, '')}/config.json` : undefined
}

/** The repository or the folder of a model, as a spec names it. */
export function repositoryOf(model: unknown): string | undefined {
  if (typeof model !== 'string') return undefined
  const [first] = repositories[model] ?? []
  return first ?? (/\/config\.json$/.test(model) ? model.replace(/\/config\.json$/, '') : undefined)
}

/** The preset of a flavor. */
export function presetOfFlavor(name: string, flavor: string): string | undefined {
  return Object.entries(flavors).find(([, [own, size]]) => own === name && size === flavor)?.[0]
}

/** The flavor of a preset. */
export const flavorOf = (model: unknown) => (typeof model === 'string' ? flavors[model] : undefined)
