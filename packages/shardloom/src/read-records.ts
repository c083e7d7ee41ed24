import { ShardloomError } from '@shardloom/core'
import { shown } from './spec-error.js'

/** A line of a table: values by the names of its columns. */
export type TableRecord = Readonly<Record<string, unknown>>

/** A record with the line of the text where it begins, from 1. */
export interface PlacedRecord {
  readonly record: TableRecord
  readonly line: number
}

/**
 * The records of a text: a JSON list of objects, or a CSV (RFC 4180) with a heading, whose values stay text. Blanks around
 * fields of a CSV, and empty ones, are left out. Throws `RECORDS` with the line, also for a column or key that is there twice and
 * for a line with more or fewer cells than the heading has.
 */
export function readRecords(text: string, name: string): TableRecord[] {
  return readPlacedRecords(text, name).map(({ record }) => record)
}

/** {@link readRecords} with the line of each. */
export function readPlacedRecords(text: string, name: string): PlacedRecord[] {
  return /^\s*[[{]/.test(text) ? fromJson(text, name) : fromCsv(text, name)
}

function fromJson(text: string, name: string): PlacedRecord[] {
  const { repeated, starts } = scanJson(text, parseJson(text, name))
  if (repeated) {
    const { key, line } = repeated
    throw bad(name, `has the key \`${key}\` twice in one object, again in line ${line}`, 'Leave one of the two out.')
  }
  return starts
}

function parseJson(text: string, name: string): readonly object[] {
  let list: unknown
  try {
    list = JSON.parse(text)
  } catch (cause) {
    throw bad(name, `is no JSON: ${cause instanceof Error ? cause.message : String(cause)}`)
  }
  if (!Array.isArray(list) || list.some((each) => typeof each !== 'object' || each === null || Array.isArray(each)))
    throw bad(name, 'is no list of objects')
  return list
}

/** What a parser of JSON does not tell: where the records begin, and of keys that are there twice the first. */
function scanJson(text: string, records: readonly object[]) {
  const open: Set<string>[] = []
  const starts: PlacedRecord[] = []
  let line = 1
  let string = ''
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]:\n]/g)) {
    if (token === '\n') line++
    else if (token === '}' || token === ']') open.pop()
    else if (token === '{' || token === '[') {
      const record = token === '{' && open.length === 1 ? records[starts.length] : undefined
      if (record) starts.push({ record: { ...record }, line })
      open.push(new Set())
    } else if (token === ':') {
      const key = String(JSON.parse(string))
      if (open.at(-1)?.has(key)) return { starts, repeated: { key, line } }
      open.at(-1)?.add(key)
    } else string = token
  }
  return { starts }
}

interface CsvLine {
  readonly number: number
  readonly cells: string[]
}

function fromCsv(text: string, name: string): PlacedRecord[] {
  const [heading, ...rest] = csvLines(text, name).filter(({ cells }) => cells.some((each) => each !== ''))
  if (!heading) return []
  const { cells: names } = heading
  const twice = names.find((each, index) => each !== '' && names.indexOf(each) < index)
  if (twice !== undefined) {
    const columns = names.flatMap((each, index) => (each === twice ? [index + 1] : []))
    const where = `in line ${heading.number}, column ${columns.join(' and ')}`
    throw bad(
      name,
      `has the heading \`${twice}\` twice: ${where}`,
      'Leave one of the columns out, or call it otherwise.',
    )
  }
  return rest.map(({ number, cells }) => {
    if (cells.length !== names.length) {
      const counts = `line ${number} has ${cells.length} cells, the heading ${names.length}`
      const lost = names.slice(cells.length).join(', ')
      const what = lost ? `: none for ${lost}` : `: the first without a heading is ${shown(cells[names.length])}`
      const help =
        'Give each line a cell for each column, empty ones too; put a cell that has a comma in double quotes.'
      throw bad(name, `is no table: ${counts}${what}`, help)
    }
    const nameless = cells.findIndex((each, index) => each !== '' && names[index] === '')
    if (nameless >= 0) {
      const where = `in line ${number}, column ${nameless + 1}`
      throw bad(name, `has ${shown(cells[nameless])} ${where}, which has no heading`, 'Name the column, or empty it.')
    }
    const fields = names.flatMap((each, index) => (cells[index] ? [[each, cells[index]] as const] : []))
    return { record: Object.fromEntries(fields), line: number }
  })
}

function csvLines(text: string, name: string): CsvLine[] {
  let current: CsvLine = { number: 1, cells: [] }
  const lines = [current]
  let number = 1
  let field = ''
  let quoted: number | undefined
  const end = () => {
    current.cells.push(field.trim())
    field = ''
  }
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at)
    if (char === '\n') number++
    if (quoted !== undefined) {
      if (char !== '"') field += char
      else if (text.charAt(at + 1) === '"') field += text.charAt(at++)
      else quoted = undefined
    } else if (char === '"' && field.trim() === '') {
      quoted = number
      field = ''
    } else if (char === ',' || char === '\n') {
      end()
      if (char === '\n') lines.push((current = { number, cells: [] }))
    } else field += char
  }
  if (quoted !== undefined)
    throw bad(name, `has a quote in line ${quoted} that does not end`, 'Close it, or leave it out.')
  end()
  return lines
}

function bad(
  name: string,
  why: string,
  help = 'Give a JSON list of objects, or a CSV whose first line names its columns.',
): ShardloomError {
  return new ShardloomError('RECORDS', `${name} ${why}.`, { subject: name, help })
}
