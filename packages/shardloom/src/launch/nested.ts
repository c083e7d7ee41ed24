import { type Setting, type Settings, settingsOf } from './launcher.js'

/** Entries of nested objects by their paths: `zero_optimization.stage`. Lists are values. */
export function flattened(value: unknown, path = ''): Settings {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return settingsOf({ [path]: value as Setting }) // what JSON and TOML hold
  return new Map(Object.entries(value).flatMap(([key, each]) => [...flattened(each, path ? `${path}.${key}` : key)]))
}

/** The nested objects of entries by their paths. */
export function nested(settings: Settings): Record<string, unknown> {
  const whole: Record<string, unknown> = {}
  for (const [path, value] of settings) {
    const keys = path.split('.')
    const last = keys.pop() ?? path
    const place = keys.reduce<Record<string, unknown>>((object, key) => {
      object[key] ??= {}
      return object[key] as Record<string, unknown> // made the line before
    }, whole)
    place[last] = value
  }
  return whole
}
