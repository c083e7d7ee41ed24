import { ShardloomError } from '@shardloom/core'
import { LineCounter, parseAllDocuments } from 'yaml'
import { withPreset } from './hybrids.js'
import { checkNesting, schemaError } from './spec-error.js'
import { type Spec, specSchema } from './spec-schema.js'

/** The longest text of a spec, in UTF-16 code units. */
const largestSpec = 1_000_000

/**
 * Reads the text of a spec, YAML or JSON, and checks it. `name` is what errors call the text, such as a file name.
 * Throws `SPEC_SIZE`, `SPEC_SYNTAX`, `SPEC_KEY` and `SPEC_VALUE`.
 */
export function parseSpec(text: string, name = 'the spec'): Spec {
  return checkSpec(readSpecText(text, name))
}

/** Reads the text of a spec like {@link parseSpec}, without checking it, so that a caller can change it first. */
export function readSpecText(text: string, name = 'the spec'): unknown {
  return parseText(text, name, 'SPEC', largestSpec)
}

/** Checks a spec object and fills in its defaults. Throws `SPEC_KEY` and `SPEC_VALUE`. */
export function checkSpec(input: unknown): Spec {
  checkNesting(input, 'spec')
  const whole = withPreset(input)
  const result = specSchema.safeParse(whole)
  if (result.success) return result.data
  throw schemaError(result.error.issues, whole, { kind: 'spec', keysAt: specKeysAt })
}

/**
 * The value of a YAML or JSON text, unchecked. Throws `<code>_SIZE` and `<code>_SYNTAX`, with the line where the text
 * stops making sense.
 */
export function parseText(
  text: string,
  name: string,
  code: 'SPEC' | 'MODEL' | 'CLUSTER' | 'EFFICIENCY',
  largest: number,
): unknown {
  if (text.length > largest) {
    throw new ShardloomError(`${code}_SIZE`, `${name} has ${text.length} characters; at most ${largest} are read.`, {
      subject: name,
      help: 'Is it the right file?',
    })
  }
  try {
    return text.trimStart().startsWith('{') ? parseJson(text) : parseYaml(text)
  } catch (problem) {
    const json = /\.json$/i.test(name)
    const cause = (json && jsonProblem(text)) || problem
    const reason = cause instanceof Error ? (cause.message.split('\n')[0] ?? '').replace(/[.:]$/, '') : String(cause)
    throw new ShardloomError(`${code}_SYNTAX`, `Cannot read ${name}: ${reason}.`, {
      subject: name,
      cause,
      help: json
        ? 'Write JSON: keys and texts in double quotes, a comma between entries and none behind the last one.'
        : 'Write YAML or JSON; in YAML indent with spaces and put one after each colon.',
    })
  }
}

/** Why a text is no JSON; undefined where it is. */
function jsonProblem(text: string): unknown {
  try {
    JSON.parse(text)
  } catch (problem) {
    return problem
  }
  return undefined
}

/** JSON where it is JSON; else YAML, of which `{a: 1}` is too. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    if (/^\s*\{\s*"/.test(text)) throw cause
    return parseYaml(text)
  }
}

function parseYaml(text: string): unknown {
  refuseEndless(text)
  const options = { version: '1.2', lineCounter: new LineCounter(), logLevel: 'silent' } as const
  const [document, ...others] = parseAllDocuments(text, options)
  if (others.length) throw new Error(`it holds ${others.length + 1} documents, and one is read`)
  if (!document || !('errors' in document)) return null
  const problem = document.errors[0] ?? document.warnings[0]
  if (problem) throw problem
  return document.toJS({ maxAliasCount: 100 })
}

/** The longest line and the deepest brackets of a YAML text; the parser needs time and memory beyond reason for more. */
const longestLine = 20_000
const deepestBrackets = 100

function refuseEndless(text: string): void {
  let start = 0
  let depth = 0
  for (let index = 0; index < text.length; index++) {
    const character = text[index]
    if (character === '\n') start = index + 1
    else if (character === '[' || character === '{') depth++
    else if ((character === ']' || character === '}') && depth > 0) depth--
    if (index - start > longestLine) throw new Error(`a line is longer than ${longestLine} characters`)
    if (depth > deepestBrackets) throw new Error(`brackets are nested deeper than ${deepestBrackets} levels`)
  }
}

/** The keys that a spec may have at `path`. */
function specKeysAt(path: readonly string[]): string[] {
  let schema: unknown = specSchema
  for (const key of path) schema = shapeOf(schema)[key]
  return Object.keys(shapeOf(schema))
}

/** The fields of an object schema, inside whatever defaults wrap it, or of the object among several forms. */
function shapeOf(schema: unknown): Readonly<Record<string, unknown>> {
  interface Wrapped {
    shape?: Record<string, unknown>
    def?: { innerType?: Wrapped; options?: Wrapped[] }
  }
  let inner = schema as Wrapped | undefined // zod's wrappers share no type that shows both
  while (inner && !inner.shape) {
    const { innerType, options = [] }: NonNullable<Wrapped['def']> = inner.def ?? {}
    inner = innerType ?? options.find(({ shape }) => shape)
  }
  return inner?.shape ?? {}
}
