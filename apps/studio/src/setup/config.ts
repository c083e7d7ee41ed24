/** The largest file that is taken as a config, in bytes, and its deepest nesting: what a spec may hold, of which it is a part. */
const largestConfig = 200_000
const deepest = 60

/** The most characters that are said of a name. */
const longestName = 60

/** What is read as a config: a file, or text that was pasted. */
export type ConfigSource = Pick<File, 'name' | 'size' | 'text'>

/** The `config.json` of a model as data. Throws an Error that says why it is none. */
export async function configOf(file: ConfigSource): Promise<object> {
  if (file.size > largestConfig)
    throw new Error(
      `${file.name} has ${file.size} bytes; a config.json has at most ${largestConfig}. Is it the right file?`,
    )
  let value: unknown
  try {
    value = JSON.parse(await file.text())
  } catch {
    throw new Error(`${file.name} is no JSON. Give the config.json that stands beside the weights.`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${file.name} is no object. Give the config.json that stands beside the weights.`)
  if (isDeeper(value, deepest))
    throw new Error(`${file.name} is nested deeper than ${deepest} levels. Is it the right file?`)
  return value
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1))
}

/** What a config calls its model. */
export function nameOfConfig(model: object): string {
  const {
    name,
    model_type: type,
    _name_or_path: path,
  }: { name?: unknown; model_type?: unknown; _name_or_path?: unknown } = model
  const found = [name, path, type].find((each) => typeof each === 'string' && each !== '')
  return String(found ?? 'a model of its own').slice(0, longestName)
}
