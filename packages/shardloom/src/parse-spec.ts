import { ShardloomError } from '@shardloom/core'
import { type Document, isNode, isScalar, LineCounter, parseAllDocuments, visit } from 'yaml'
import { withPreset } from './hybrids.js'
import { keyTwice } from './json-keys.js'
import { checkNesting, schemaError, shown } from './spec-error.js'
import { specFields } from './spec-fields.js'
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
  throw schemaError(result.error.issues, whole, {
    kind: 'spec',
    keysAt: specKeysAt,
    fieldAt: (path) => optionalFields().get(path.join('.')),
  })
}

/** What a text is of; errors about it have codes that begin so. */
type DocumentCode = 'SPEC' | 'MODEL' | 'CLUSTER' | 'EFFICIENCY'

/**
 * The value of a YAML or JSON text, unchecked. Throws `<code>_SIZE` and `<code>_SYNTAX`, with the line where the text
 * stops making sense.
 */
export function parseText(text: string, name: string, code: DocumentCode, largest: number): unknown {
  if (text.length > largest) {
    throw new ShardloomError(`${code}_SIZE`, `${name} has ${text.length} characters; at most ${largest} are read.`, {
      subject: name,
      help: 'Is it the right file?',
    })
  }
  try {
    return text.trimStart().startsWith('{') ? parseJson(text, code) : parseYaml(text)
  } catch (problem) {
    const json = /\.json$/i.test(name)
    const cause = (json && jsonProblem(text)) || problem
    const reason = cause instanceof Error ? (cause.message.split('\n')[0] ?? '').replace(/[.:]$/, '') : String(cause)
    throw new ShardloomError(`${code}_SYNTAX`, `Cannot read ${name}: ${reason}.`, {
      subject: name,
      cause,
      help: cause instanceof Unreadable ? cause.help : json ? jsonHelp : yamlHelp,
    })
  }
}

const jsonHelp = 'Write JSON: keys and texts in double quotes, a comma between entries and none behind the last one.'
const yamlHelp = 'Write YAML or JSON; in YAML indent with spaces and put one after each colon.'

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
function parseJson(text: string, code: DocumentCode): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    if (/^\s*\{\s*"/.test(text)) throw cause
    return parseYaml(text)
  }
  // A config.json of others is read as they read it: the last of both.
  const twice = code === 'MODEL' ? undefined : keyTwice(text)
  if (twice) throw standsTwice(twice.key, linePosition(text, twice.at))
  return value
}

const standsTwice = (key: unknown, { line, col }: Position) =>
  new Unreadable(`the key ${shown(key)} stands twice, again at line ${line}, column ${col}`, 'Keep one of them.')

interface Position {
  readonly line: number
  readonly col: number
}

function linePosition(text: string, at: number): Position {
  const before = text.slice(0, at).split('\n')
  return { line: before.length, col: (before.at(-1) ?? '').length + 1 }
}

function parseYaml(text: string): unknown {
  refuseEndless(text)
  const lineCounter = new LineCounter()
  // The parser's own search for keys that stand twice takes the square of their number.
  const options = { version: '1.2', lineCounter, logLevel: 'silent', uniqueKeys: false } as const
  const [document, ...others] = parseAllDocuments(text, options)
  if (others.length)
    throw new Unreadable(`it holds ${others.length + 1} documents, and one is read`, 'Give each a file of its own.')
  if (!document || !('errors' in document)) return null
  const problem = document.errors[0] ?? document.warnings[0]
  if (problem) {
    const open = unclosed(text)
    if (open === undefined) throw problem
    const { line, col } = lineCounter.linePos(open)
    throw new Error(`the \`${text[open]}\` at line ${line}, column ${col} is not closed`)
  }
  refuseKeys(document, lineCounter)
  try {
    return document.toJS({ maxAliasCount: mostAliases })
  } catch (problem) {
    // The only ones that it throws of a document without errors: an alias in itself, and too many.
    if (!(problem instanceof ReferenceError && /alias count/i.test(problem.message))) throw problem
    const reason = `its aliases (\`*name\`) would copy what \`&name\` marks more than ${mostAliases} times`
    throw new Unreadable(reason, 'Write what is marked where it is needed, or use fewer aliases of aliases.')
  }
}

/** Where the innermost bracket opens that nothing closes. */
function unclosed(text: string): number | undefined {
  const [document] = parseAllDocuments(text, { version: '1.2', logLevel: 'silent', keepSourceTokens: true })
  let found: number | undefined
  if (document && 'errors' in document)
    visit(document, {
      Collection(_, { srcToken }) {
        if (srcToken?.type === 'flow-collection' && !srcToken.end.some(({ type }) => /^flow-.*-end$/.test(type)))
          found = srcToken.start.offset
      },
    })
  return found
}

const mergeKey = ({ line, col }: Position) =>
  new Unreadable(
    `the merge key \`<<\` at line ${line}, column ${col} is of YAML 1.1, and YAML 1.2 is read`,
    'Write its fields where they are needed; an alias may stand for a whole value: `parallel: *name`.',
  )

/** Refuses keys that stand twice, and those that YAML 1.1 merges. */
function refuseKeys(document: Document.Parsed, lines: LineCounter): void {
  visit(document, {
    Map(_, { items }) {
      const names = new Set<unknown>()
      for (const { key } of items) {
        const name = isScalar(key) ? key.value : key
        const place = () => lines.linePos((isNode(key) && key.range?.[0]) || 0)
        if (names.has(name)) throw standsTwice(name, place())
        if (name === '<<' && isScalar(key) && key.type === 'PLAIN') throw mergeKey(place())
        names.add(name)
      }
    },
  })
}

/** Why a YAML text is not read that may well be one, with help of its own: some take the parser time and memory beyond reason. */
class Unreadable extends Error {
  constructor(
    reason: string,
    readonly help: string,
  ) {
    super(reason)
  }
}

/** The longest line, the deepest nesting and the most copies by aliases of a YAML text. */
const longestLine = 20_000
const deepest = 100
const mostAliases = 100

function refuseEndless(text: string): void {
  const flatter = `Write it flatter: a spec needs no more than ${deepest} levels.`
  let brackets = 0
  /** The columns at which what is open began. */
  let columns: number[] = []
  for (const [at, line] of text.split('\n').entries()) {
    const where = `line ${at + 1}`
    if (line.length > longestLine)
      throw new Unreadable(`${where} is longer than ${longestLine} characters`, 'Break it into several lines.')
    const [start = ''] = /^(?: |[-?](?= ))*/.exec(line) ?? []
    if (line.trim() !== '') {
      const begun = [...start].flatMap((character, column) => (character === ' ' ? [] : [column]))
      const [first = start.length] = begun
      columns = [...columns.filter((column) => column < first), ...begun, start.length]
    }
    if (columns.length > deepest) throw new Unreadable(`${where} is nested deeper than ${deepest} levels`, flatter)
    for (const character of line) {
      if (character === '[' || character === '{') brackets++
      else if ((character === ']' || character === '}') && brackets > 0) brackets--
      if (brackets > deepest)
        throw new Unreadable(`the brackets of ${where} are nested deeper than ${deepest} levels`, flatter)
    }
  }
}

/** The fields of one value that can be left out: all but the model. */
const optionalFields = () =>
  new Map(specFields().flatMap((field) => (field.path[0] === 'model' ? [] : [[field.path.join('.'), field] as const])))

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
