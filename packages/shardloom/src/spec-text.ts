import { stringify } from 'yaml'
import { checkSpec } from './parse-spec.js'
import { type Spec, specSchema } from './spec-schema.js'

/**
 * A spec as YAML, with the fields alone that are not as they would be without them. `preset` is spelled out; paths stay as they
 * were written.
 */
export function specText({ preset: _, ...spec }: Spec): string {
  const { model, ...rest } = spec
  const own = differing(rest, checkSpec({ model: '' }))
  // How large a step is nobody looks up.
  const size = spec.phase === 'serving' ? {} : { batch: spec.batch }
  const fields = new Map(Object.entries({ schema: spec.schema, model, ...size, ...(own as Record<string, unknown>) })) // a spec is an object
  const ordered = Object.keys(specSchema.shape).filter((key) => fields.has(key))
  return stringify(Object.fromEntries(ordered.map((key) => [key, fields.get(key)])), { lineWidth: 0 })
}

/** What of a value differs from a default, field by field; undefined where nothing does. */
function differing(value: unknown, fallback: unknown): unknown {
  if (!isObject(value) || !isObject(fallback))
    return JSON.stringify(value) === JSON.stringify(fallback) ? undefined : value
  const entries = Object.entries(value).flatMap(([key, each]) => {
    const own = differing(each, fallback[key])
    return own === undefined ? [] : [[key, own]]
  })
  return entries.length > 0 ? Object.fromEntries(entries) : undefined
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
