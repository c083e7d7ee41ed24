import { isMap, isPair, isScalar, LineCounter, parseDocument, visit } from 'yaml'

/** The longest text whose fields are shown in the form, in UTF-16 code units, and its most brackets. */
const longestText = 100_000
const mostBrackets = 2000

/** The fields of a text of YAML as data; undefined where it is none, and the form has to wait. */
export function fieldsOf(text: string): Readonly<Record<string, unknown>> | undefined {
  const document = readable(text)
  if (!document) return undefined
  try {
    const value: unknown = document.toJS({ maxAliasCount: 20 })
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>) // any object is one
      : undefined
  } catch {
    return undefined
  }
}

/** The value of a field of data, by its path. */
export function valueAt(fields: unknown, path: readonly string[]): unknown {
  let value = fields
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined
    value = (value as Readonly<Record<string, unknown>>)[key] // any object is one
  }
  return value
}

/** The text with another value of a field, or without it where the value is undefined; comments and order stay. */
export function withField(text: string, path: readonly string[], value: unknown): string {
  const document = readable(text)
  if (!document) return text
  for (let depth = 1; depth < path.length; depth++) {
    const outer = path.slice(0, depth)
    if (!isMap(document.getIn(outer))) document.setIn(outer, document.createNode({}))
  }
  if (value === undefined) document.deleteIn(path)
  else document.setIn(path, value)
  for (let depth = path.length - 1; depth > 0; depth--) {
    const outer = document.getIn(path.slice(0, depth))
    if (isMap(outer) && outer.items.length === 0) document.deleteIn(path.slice(0, depth))
  }
  return document.toString({ lineWidth: 0 })
}

/** A place in a text, counted from 1. */
export interface Place {
  readonly line: number
  readonly column: number
}

/**
 * Where in a text an error is: where it cannot be read on, else at the field that the error is about, which it names by its path or by its
 * last name alone. Undefined where the text does not have it.
 */
export function placeOf(text: string, subject: string | undefined): Place | undefined {
  if (isTooMuch(text)) return undefined
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { version: '1.2', logLevel: 'silent', lineCounter })
  const at = (offset: number): Place => {
    const { line, col } = lineCounter.linePos(offset)
    return { line, column: col }
  }
  const [error] = document.errors
  if (error) return at(error.pos[0])
  const path = subject?.split('.') ?? []
  let found: number | undefined
  visit(document, {
    Pair(_, pair, ancestors) {
      const names = [...ancestors.filter(isPair), pair].map(({ key }) => (isScalar(key) ? String(key.value) : ''))
      const ends = path.every((name, index) => names[names.length - path.length + index] === name)
      if (path.length === 0 || !ends || !isScalar(pair.key)) return undefined
      found = pair.key.range?.[0]
      return visit.BREAK
    },
  })
  return found === undefined ? undefined : at(found)
}

const isTooMuch = (text: string) => text.length > longestText || (text.match(/[[{]/g)?.length ?? 0) > mostBrackets

function readable(text: string) {
  if (isTooMuch(text)) return undefined
  const document = parseDocument(text, { version: '1.2', logLevel: 'silent' })
  return document.errors.length === 0 && (document.contents === null || isMap(document.contents)) ? document : undefined
}
