import { ShardloomError } from '@shardloom/core'

/** A line of a table: values by the names of its columns. */
export type TableRecord = Readonly<Record<string, unknown>>

/**
 * The records of a text: a JSON list of objects, or a CSV (RFC 4180) with a heading, whose values stay text. Blanks around
 * fields of a CSV, and empty ones, are left out. Throws `RECORDS`.
 */
export function readRecords(text: string, name: string): TableRecord[] {
  const isJson = /^\s*[[{]/.test(text)
  const list: unknown = isJson ? fromJson(text, name) : fromCsv(text)
  if (!Array.isArray(list) || list.some((each) => typeof each !== 'object' || each === null || Array.isArray(each)))
    throw bad(name, 'is no list of objects')
  return list
}

function fromJson(text: string, name: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw bad(name, `is no JSON: ${cause instanceof Error ? cause.message : String(cause)}`)
  }
}

function fromCsv(text: string): TableRecord[] {
  const lines: string[][] = [[]]
  let field = ''
  let quoted = false
  const end = () => {
    lines.at(-1)?.push(field.trim())
    field = ''
  }
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at)
    if (quoted) {
      if (char !== '"') field += char
      else if (text.charAt(at + 1) === '"') field += text.charAt(at++)
      else quoted = false
    } else if (char === '"' && field.trim() === '') {
      quoted = true
      field = ''
    } else if (char === ',' || char === '\n') {
      end()
      if (char === '\n') lines.push([])
    } else field += char
  }
  end()
  const [heading = [], ...rest] = lines.filter((line) => line.some((each) => each !== ''))
  return rest.map((line) =>
    Object.fromEntries(heading.flatMap((name, index) => (line[index] ? [[name, line[index]] as const] : []))),
  )
}

function bad(name: string, why: string): ShardloomError {
  return new ShardloomError('RECORDS', `${name} ${why}.`, {
    subject: name,
    help: 'Give a JSON list of objects, or a CSV whose first line names its columns.',
  })
}
