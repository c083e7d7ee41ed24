import { ShardloomError } from '@shardloom/core'

/** One published measurement of a training run. In `vp`, `cp`, `ep`, `sp` and `zero` null means not used, elsewhere unknown. */
export interface Row {
  readonly source: string
  readonly model: string
  readonly params: number | null
  readonly hardware: string
  readonly gpus: number | null
  readonly dp: number | null
  readonly tp: number | null
  readonly pp: number | null
  readonly vp: number | null
  readonly cp: number | null
  readonly ep: number | null
  readonly sp: number | null
  readonly zero: number | null
  readonly global_batch: number | null
  readonly micro_batch: number | null
  readonly seq: number | null
  readonly recompute: string | null
  readonly precision: string | null
  readonly metric: string
  readonly value: number | readonly number[]
  readonly unit: string
  readonly seen: string | null
  readonly note: string | null
  readonly recalled_fields: readonly string[]
}

const numbers = 'params gpus dp tp pp vp cp ep sp zero global_batch micro_batch seq'.split(' ')
const texts = 'source model hardware recompute precision metric unit seen note'.split(' ')

/** Reads rows from the text of a JSON list, or of a CSV with a heading. Throws `ROWS`. */
export function readRows(text: string, name: string): Row[] {
  const isJson = /^\s*[[{]/.test(text)
  const list: unknown = isJson ? parse(text, name) : recordsOf(text)
  if (!Array.isArray(list)) throw bad(name, 'is no list of rows')
  return list.map((each, index) => rowOf(each, `${name}, row ${index + 1}`))
}

function parse(text: string, name: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw bad(name, cause instanceof Error ? cause.message : 'is no JSON')
  }
}

function rowOf(each: unknown, name: string): Row {
  if (typeof each !== 'object' || each === null) throw bad(name, 'is no object')
  const fields = new Map<string, unknown>(Object.entries(each))
  const given = (key: string) => {
    const value = fields.get(key)
    return value === undefined || value === '' ? null : value
  }
  const number = (key: string) => {
    const value = given(key)
    if (value === null) return null
    const read = typeof value === 'boolean' ? Number(value) : typeof value === 'number' ? value : Number(value)
    if (!Number.isFinite(read)) throw bad(name, `has no number in \`${key}\``)
    return read
  }
  const entries = [
    ...numbers.map((key) => [key, number(key)] as const),
    ...texts.map((key) => [key, given(key) === null ? null : String(given(key))] as const),
  ]
  for (const key of ['source', 'model', 'hardware', 'metric', 'unit'])
    if (given(key) === null) throw bad(name, `lacks \`${key}\``)
  const value = listOf(given('value')).map(Number)
  if (value.length === 0 || value.some((one) => !Number.isFinite(one))) throw bad(name, 'has no number in `value`')
  const [only = 0] = value
  const recalled = listOf(given('recalled_fields')).map(String)
  // Every key of a row was set and checked above.
  return {
    ...Object.fromEntries(entries),
    value: value.length > 1 ? value : only,
    recalled_fields: recalled,
  } as unknown as Row
}

function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value
  if (typeof value !== 'string') return value === null ? [] : [value]
  return value
    .replace(/^\[|\]$/g, '')
    .split(/[,;]\s*/)
    .map((each) => each.replace(/^["']|["']$/g, ''))
    .filter((each) => each !== '')
}

/** The records of a CSV (RFC 4180), by the names in its first line. */
function recordsOf(text: string): Record<string, string>[] {
  const lines: string[][] = [[]]
  let field = ''
  let quoted = false
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at)
    if (quoted) {
      if (char !== '"') field += char
      else if (text.charAt(at + 1) === '"') field += text.charAt(at++)
      else quoted = false
    } else if (char === '"') quoted = true
    else if (char === ',' || char === '\n') {
      lines.at(-1)?.push(field.replace(/\r$/, ''))
      field = ''
      if (char === '\n') lines.push([])
    } else field += char
  }
  if (field !== '') lines.at(-1)?.push(field)
  const [heading = [], ...rest] = lines.filter((line) => line.length > 0 && line.some((each) => each !== ''))
  return rest.map((line) => Object.fromEntries(heading.map((name, index) => [name.trim(), line[index] ?? ''])))
}

function bad(name: string, why: string): ShardloomError {
  return new ShardloomError('ROWS', `${name} ${why}.`, {
    subject: name,
    help: 'Give a JSON list or a CSV with the fields source, model, hardware, gpus, …, metric, value and unit.',
  })
}
