import { type Document, isMap, isNode, isPair, isScalar, LineCounter, parseDocument, visit } from 'yaml'

/** The longest text that is read where the page waits for it, in UTF-16 code units, and its most brackets. */
const longestRead = 30_000
const mostBrackets = 2000

/** Whether a text is too long for the form; its plan is made all the same. */
export const isLong = (text: string): boolean =>
  text.length > longestRead || (text.match(/[[{]/g)?.length ?? 0) > mostBrackets

/** The parser's own search for keys that stand twice takes the square of their number. */
const parsing = { version: '1.2', logLevel: 'silent', uniqueKeys: false } as const

type Fields = Readonly<Record<string, unknown>>

/** The fields of the texts that were read last: that at hand, and the one before. */
const read = new Map<string, Fields | undefined>()

/** The fields of a text of YAML as data; undefined where it is none, or too long, and the form has to wait. */
export function fieldsOf(text: string): Fields | undefined {
  if (!read.has(text)) {
    if (read.size > 1) read.delete([...read.keys()][0] ?? '')
    read.set(text, fieldsIn(text))
  }
  return read.get(text)
}

function fieldsIn(text: string): Fields | undefined {
  const document = readable(text)
  if (!document) return undefined
  try {
    const value: unknown = document.toJS({ maxAliasCount: 20 })
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Fields) // any object is one
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
  if (isLong(text)) return undefined
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { ...parsing, lineCounter })
  const at = (offset: number): Place => {
    const { line, col } = lineCounter.linePos(offset)
    return { line, column: col }
  }
  const [error] = document.errors
  const broken = error ? (unclosed(text) ?? error.pos[0]) : keyTwice(document)
  if (broken !== undefined) return at(broken)
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

function readable(text: string) {
  if (isLong(text)) return undefined
  const document = parseDocument(text, parsing)
  if (document.errors.length > 0 || keyTwice(document) !== undefined) return undefined
  return document.contents === null || isMap(document.contents) ? document : undefined
}

/** Where the innermost bracket opens that nothing closes. */
function unclosed(text: string): number | undefined {
  let found: number | undefined
  visit(parseDocument(text, { ...parsing, keepSourceTokens: true }), {
    Collection(_, { srcToken }) {
      if (srcToken?.type === 'flow-collection' && !srcToken.end.some(({ type }) => /^flow-.*-end$/.test(type)))
        found = srcToken.start.offset
    },
  })
  return found
}

/** Where a key stands that its map has already. */
function keyTwice(document: Document.Parsed): number | undefined {
  let found: number | undefined
  visit(document, {
    Map(_, { items }) {
      const names = new Set<unknown>()
      for (const { key } of items) {
        const name = isScalar(key) ? key.value : key
        if (names.has(name)) {
          found = (isNode(key) && key.range?.[0]) || 0
          return visit.BREAK
        }
        names.add(name)
      }
      return undefined
    },
  })
  return found
}
