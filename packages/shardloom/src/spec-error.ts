import { nearest, orList, ShardloomError } from '@shardloom/core'
import type { z } from 'zod'

/** What an error about a document needs to know. */
export interface DocumentNames {
  /** What the document is, such as `spec`; the start of the error codes. */
  readonly kind: 'cluster' | 'spec' | 'model' | 'options'
  /** The keys that an object at `path` may have, to suggest the nearest. */
  readonly keysAt: (path: readonly string[]) => readonly string[]
  /** The field of one value at `path`, where there is one that can be left out. */
  readonly fieldAt?: (path: readonly string[]) => { readonly default?: unknown } | undefined
}

/** The deepest nesting that a document may have. */
const deepest = 64

/** Names that would reach an object's prototype if a key were copied carelessly; no document has a use for them. */
const reserved: readonly string[] = ['__proto__', 'constructor', 'prototype']

/**
 * Refuses what no schema should see: values nested deeper than 64 levels (or in a cycle), and keys that reach prototypes.
 * Throws `<KIND>_VALUE` or `<KIND>_KEY`.
 */
export function checkNesting(value: unknown, kind: DocumentNames['kind'], path: readonly string[] = []): void {
  if (typeof value !== 'object' || value === null) return
  const code = kind.toUpperCase()
  if (path.length > deepest) {
    throw new ShardloomError(`${code}_VALUE`, `The ${kind} is nested deeper than ${deepest} levels.`, {
      help: 'Write it flatter.',
    })
  }
  for (const [key, inner] of Object.entries(value)) {
    if (reserved.includes(key)) {
      throw new ShardloomError(`${code}_KEY`, `The key ${pathText([...path, key])} may not stand in a ${kind}.`, {
        subject: key,
        help: 'Remove it.',
      })
    }
    checkNesting(inner, kind, [...path, key])
  }
}

/** The error for the first issue that a schema found, with the path, what was got and what was expected. */
export function schemaError(issues: readonly z.core.$ZodIssue[], input: unknown, names: DocumentNames): ShardloomError {
  const code = names.kind.toUpperCase()
  const issue = issues[0]
  if (!issue) return new ShardloomError(`${code}_VALUE`, `The ${names.kind} is not valid.`)
  const path = issue.path.map(String)
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? ''
    const known = names.keysAt(path)
    const below = known.find((each) => names.keysAt([...path, each]).includes(key))
    if (below === undefined) return unknownKey(path, key, known, names.kind)
    return keyError(path, key, names.kind, `Did you mean \`${[...path, below, key].join('.')}\`?`)
  }
  // Of several forms the one that fits but for something inside of it.
  const inner = issue.code === 'invalid_union' ? issue.errors.flat().find(isInside) : undefined
  if (inner) return schemaError([{ ...inner, path: [...issue.path, ...inner.path] }], input, names)
  const got = valueAt(input, path)
  const subject = path.join('.')
  const named = path.length ? pathText(path) : `The ${names.kind}`
  if (got === undefined) {
    const help = `Give ${expectation(issue)}.`
    return new ShardloomError(`${code}_VALUE`, `${named} is missing.`, { subject, help })
  }
  const near =
    issue.code === 'invalid_value' && typeof got === 'string' ? nearest(got, issue.values.map(String)) : undefined
  const field = names.fieldAt?.(path)
  return new ShardloomError(`${code}_VALUE`, `${named} is ${shown(got)}, but it must be ${expectation(issue)}.`, {
    subject,
    help: near ? `Did you mean \`${near}\`?` : `Give ${expectation(issue)}${field ? leftOut(field) : ''}.`,
  })
}

/** What a field is where it is left out. */
function leftOut({ default: fallback }: { readonly default?: unknown }): string {
  return `, or leave it out${fallback === undefined ? '' : `: then it is ${String(fallback)}`}`
}

const isInside = ({ code, path }: z.core.$ZodIssue) => path.length > 0 || code === 'unrecognized_keys'

/** What an issue's field expects, in words; schemas without messages of their own, such as a plugin's, have Zod's. */
function expectation(issue: z.core.$ZodIssue): string {
  if (!/^(Invalid|Too|Unrecognized)\b/.test(issue.message)) return issue.message
  switch (issue.code) {
    case 'invalid_type':
      return kindText(issue.expected)
    case 'invalid_value':
      return orList(issue.values.map(String))
    case 'too_small':
      return `${issue.inclusive === false ? 'more than' : 'at least'} ${sizeText(issue.minimum, issue.origin)}`
    case 'too_big':
      return `${issue.inclusive === false ? 'less than' : 'at most'} ${sizeText(issue.maximum, issue.origin)}`
    case 'not_multiple_of':
      return `a multiple of ${issue.divisor}`
    case 'invalid_format':
      return `of the format ${issue.format}`
    case 'invalid_union':
      return orList([...new Set(issue.errors.flatMap((each) => each[0] ?? []).map(expectation))]) || 'of another kind'
    default:
      return 'of another kind'
  }
}

function kindText(kind: string): string {
  const known: Readonly<Record<string, string>> = { int: 'a whole number', array: 'a list', null: 'null' }
  return known[kind] ?? `${/^[aeiou]/.test(kind) ? 'an' : 'a'} ${kind}`
}

/** How large something must be: a number itself, the length of a list or a text. */
function sizeText(size: number | bigint, origin: string): string {
  if (origin === 'string') return `${size} characters long`
  return origin === 'array' || origin === 'set' ? `${size} entries long` : String(size)
}

/** The error for a key that nothing reads: suggests the nearest of the known ones, or lists them. */
export function unknownKey(
  path: readonly string[],
  key: string,
  known: readonly string[],
  kind: DocumentNames['kind'],
): ShardloomError {
  const near = nearest(key, known)
  const all = known.length ? `Known here: ${[...new Set(known)].join(', ')}.` : 'Remove it.'
  return keyError(path, key, kind, near ? `Did you mean \`${[...path, near].join('.')}\`?` : all)
}

/** The error for a key that nothing reads, with help of the caller's. */
export function keyError(
  path: readonly string[],
  key: string,
  kind: DocumentNames['kind'],
  help: string,
): ShardloomError {
  return new ShardloomError(`${kind.toUpperCase()}_KEY`, `There is no key ${pathText([...path, key])} in a ${kind}.`, {
    subject: [...path, key].join('.'),
    help,
  })
}

/** A value for an error message: short, on one line, strings in quotes. */
export function shown(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) return String(value)
  if (typeof value === 'string') {
    return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
  }
  if (Array.isArray(value)) return value.length ? `a list of ${value.length}` : 'an empty list'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

function pathText(path: readonly string[]): string {
  const text = path.map((part) => (part.length > 40 ? `${part.slice(0, 40)}…` : part)).join('.')
  return `\`${text.replace(/[\p{Cc}`]/gu, '?')}\``
}

function valueAt(input: unknown, path: readonly string[]): unknown {
  let value = input
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined
    value = Object.getOwnPropertyDescriptor(value, key)?.value
  }
  return value
}
