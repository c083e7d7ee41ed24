import {
  type Level,
  levels,
  nearest,
  readSpecText,
  ShardloomError,
  type UnrollAxis,
  unrollAxes,
  type ViewOptions,
} from 'shardloom'
import { isMap, isScalar, LineCounter, parseDocument, visit } from 'yaml'

/** What a block shows. */
export type BlockView = 'dag' | 'timeline' | 'memory' | 'table'

/** One spec of a block, with what the picture of it is called where there are two. */
export interface BlockSpec {
  readonly name: string | undefined
  /** The path of the spec's file, relative to the Markdown file, if the block names one. */
  readonly file: string | undefined
  /** The fields that the block says itself; they override those of the file. */
  readonly fields: Readonly<Record<string, unknown>>
}

/** A fenced block, read: what is shown and how. */
export interface Block {
  readonly view: BlockView
  readonly format: 'svg' | 'mermaid'
  readonly level: Level | undefined
  readonly unroll: readonly UnrollAxis[] | undefined
  readonly where: ViewOptions['where']
  readonly rank: number | undefined
  readonly direction: 'down' | 'right' | undefined
  readonly theme: 'auto' | 'light' | 'dark'
  /** What the picture is called for those who do not see it; default: what is shown, of which model. */
  readonly alt: string | undefined
  readonly caption: string | undefined
  /** Whether the reasons of communication are listed below, and nodes lead to them. */
  readonly explain: boolean
  /** One, or what is before and after a change. */
  readonly specs: readonly BlockSpec[]
}

/** What a key of a block may be; every other key belongs to the spec. */
const fields = {
  file: text,
  view: oneOf('dag', 'timeline', 'memory', 'table'),
  format: oneOf('svg', 'mermaid'),
  level: oneOf(...levels),
  unroll: axes,
  where: mapping,
  rank: whole,
  direction: oneOf('down', 'right'),
  theme: oneOf('auto', 'light', 'dark'),
  alt: text,
  caption: text,
  explain: oneOf(true, false),
  before: mapping,
  after: mapping,
} as const

type Key = keyof typeof fields

/** What only some views have: an option that would change nothing is refused. */
const only: Partial<Record<Key, readonly BlockView[]>> = {
  format: ['dag'],
  level: ['dag'],
  unroll: ['dag'],
  where: ['dag'],
  rank: ['dag', 'table'],
  explain: ['dag'],
  direction: ['dag'],
  theme: ['dag', 'timeline', 'memory'],
  alt: ['dag', 'timeline', 'memory'],
}

/**
 * Reads the text of a block. `name` is what errors call it, and `line` how many lines stand before it, so that they name lines of
 * the Markdown file. Throws `SPEC_SYNTAX` and `BLOCK_VALUE`.
 */
export function readBlock(source: string, name = 'the block', line = 0): Block {
  const value = readSpecText('\n'.repeat(line) + source, name) ?? {}
  if (typeof value !== 'object' || Array.isArray(value))
    throw wrong('', 'The block is no list of fields.', 'Write `model: llama-3.1-8b`, and what else there is to say.')
  const given: Readonly<Record<string, unknown>> = { ...value }
  const read = <K extends Key>(key: K) =>
    given[key] === undefined ? undefined : (fields[key](given[key], key) as ReturnType<(typeof fields)[K]>)
  const view = read('view') ?? 'dag'
  for (const [key, of] of Object.entries(only)) {
    if (given[key] === undefined || of.includes(view)) continue
    throw wrong(key, `\`${key}\` changes nothing in the view ${view}.`, `Leave it out, or choose ${of.join(' or ')}.`)
  }
  const format = read('format') ?? 'svg'
  const inert = (['direction', 'alt'] as const).find((key) => format === 'mermaid' && given[key] !== undefined)
  if (inert) throw wrong(inert, `\`${inert}\` changes nothing in Mermaid.`, 'Leave it out, or write `format: svg`.')
  const [before, after] = [read('before'), read('after')]
  if ((before === undefined) !== (after === undefined))
    throw wrong(
      before ? 'before' : 'after',
      'A change has two sides; the block says one.',
      'Write `before: {}` where one side is the rest of the block.',
    )
  const shared = Object.fromEntries(Object.entries(given).filter(([key]) => !Object.hasOwn(fields, key)))
  const file = read('file')
  const side = (own: Readonly<Record<string, unknown>> = {}, called?: string): BlockSpec => {
    const { file: ownFile = file, ...rest } = own
    return { name: called, file: text(ownFile, 'file'), fields: merged(shared, rest) }
  }
  return {
    view,
    format,
    level: read('level'),
    unroll: read('unroll'),
    where: read('where'),
    rank: read('rank'),
    direction: read('direction'),
    theme: read('theme') ?? 'auto',
    alt: read('alt'),
    caption: read('caption'),
    explain: read('explain') ?? true,
    specs: before && after ? [side(before, 'before'), side(after, 'after')] : [side()],
  }
}

/**
 * The line of the block, from 1, on which a field stands, such as `parallel.tp`, or `tp` wherever it is; of a field that is not there, the
 * nearest around it.
 */
export function lineOfField(source: string, field: string): number {
  const counter = new LineCounter()
  const document = parseDocument(source, { lineCounter: counter })
  const lineOf = (key: unknown) => (isScalar(key) ? counter.linePos(key.range?.[0] ?? 0).line : 1)
  const keys = field.split('.')
  let line: number | undefined
  let node: unknown = document.contents
  for (const key of keys) {
    const pair = isMap(node)
      ? node.items.find((each) => isScalar(each.key) && String(each.key.value) === key)
      : undefined
    if (!pair) break
    line = lineOf(pair.key)
    node = pair.value
  }
  visit(document, {
    Pair: (_, { key }) => {
      if (line === undefined && isScalar(key) && String(key.value) === keys.at(-1)) line = lineOf(key)
    },
  })
  return line ?? 1
}

/** What a spec says, with what overrides it: mappings are merged, everything else is replaced. */
export function merged(
  base: Readonly<Record<string, unknown>>,
  over: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const result: Record<string, unknown> = { ...base }
  for (const [key, value] of Object.entries(over)) {
    const before = result[key]
    result[key] = isMapping(before) && isMapping(value) ? merged(before, value) : value
  }
  return result
}

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function oneOf<const T extends string | boolean>(...values: readonly T[]) {
  return (value: unknown, key: string): T => {
    const found = values.find((each) => each === value)
    if (found !== undefined) return found
    const near = nearest(String(value), values.map(String))
    throw wrong(
      key,
      `\`${key}\` cannot be ${JSON.stringify(value)?.slice(0, 60)}.`,
      `${near ? `Did you mean ${near}? ` : ''}It is one of ${values.join(', ')}.`,
    )
  }
}

function text<T>(value: T, key: string): T extends undefined ? undefined : string
function text(value: unknown, key: string): string | undefined {
  if (value === undefined || typeof value === 'string') return value
  throw wrong(key, `\`${key}\` is no text.`, 'Put it into quotes.')
}

function whole(value: unknown, key: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw wrong(key, `\`${key}\` is no whole number from 0.`, 'Such as `rank: 0`.')
}

function mapping(value: unknown, key: string): Readonly<Record<string, unknown>> {
  if (isMapping(value)) return value
  throw wrong(
    key,
    `\`${key}\` holds no fields.`,
    `Such as \`${key}: ${key === 'where' ? '{module: ffn}' : '{parallel: {tp: 2}}'}\`.`,
  )
}

/** `rank`, `layer,rank` or a list of them. */
function axes(value: unknown, key: string): UnrollAxis[] {
  const names = typeof value === 'string' ? value.split(',').map((each) => each.trim()) : value
  if (!Array.isArray(names)) throw wrong(key, `\`${key}\` names no axes.`, `Any of ${unrollAxes.join(', ')}.`)
  return names.map((name) => oneOf(...unrollAxes)(name, key))
}

function wrong(key: string, message: string, help: string): ShardloomError {
  return new ShardloomError('BLOCK_VALUE', message, { subject: key, help })
}
