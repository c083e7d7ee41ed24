import { specJsonSchema } from './spec-schema.js'

/** A scalar field of the spec, for programs that offer one flag or one form field each. */
export interface SpecField {
  /** Where the field stands, such as `['parallel', 'tp']`. */
  readonly path: readonly string[]
  /** The field's name as a kebab-case flag without dashes, such as `tp` or `tp-key-value-gradients`. */
  readonly flag: string
  readonly type: 'integer' | 'number' | 'string' | 'boolean'
  /** The values that it may have, where they are few. */
  readonly choices?: readonly string[]
  readonly default?: string | number | boolean
  readonly description: string
}

/** Objects of the spec whose fields need no prefix. */
const unprefixed: readonly string[] = ['parallel', 'options']

let known: readonly SpecField[] | undefined

/** Every scalar field of the spec in the order of the schema, derived from its JSON Schema. Selectors are no scalars. */
export function specFields(): SpecField[] {
  known ??= fieldsOf(specJsonSchema(), [])
  return [...known]
}

interface Property {
  readonly type?: string
  readonly properties?: Readonly<Record<string, Property>>
  readonly anyOf?: readonly Property[]
  readonly enum?: readonly string[]
  readonly default?: unknown
  readonly description?: string
  readonly const?: unknown
}

function fieldsOf(schema: Property, path: readonly string[]): SpecField[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]): SpecField[] => {
    const here = [...path, name]
    if (property.const !== undefined || name === 'where') return []
    if (property.properties) return fieldsOf(property, here)
    const types = property.type === undefined ? (property.anyOf ?? []).map((each) => each.type) : [property.type]
    // Of several the number: a flag's text that is none stays text.
    const type = (['number', 'string'] as const).find((each) => types.includes(each)) ?? types.find(isScalarType)
    if (!isScalarType(type)) return []
    const fallback = property.default
    return [
      {
        path: here,
        flag: here
          .filter((part) => !unprefixed.includes(part))
          .map(kebab)
          .join('-'),
        type,
        ...(property.enum && { choices: property.enum }),
        ...(isScalar(fallback) && { default: fallback }),
        description: property.description ?? name,
      },
    ]
  })
}

function isScalarType(type: string | undefined): type is SpecField['type'] {
  return type === 'integer' || type === 'number' || type === 'string' || type === 'boolean'
}

function isScalar(value: unknown): value is string | number | boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
