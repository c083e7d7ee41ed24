import { stripVTControlCharacters } from 'node:util'
import type { Style } from './style.js'

/** A column: its header and on which side its cells stand. */
export interface Column {
  readonly header: string
  readonly align: 'left' | 'right'
}

/** The width that output for people keeps to, in columns of the terminal. */
export const terminalWidth = 80

/**
 * Aligned lines without boxes: two-space gutters, one rule under a dim header. A row may have one string only, which then
 * stands on a line of its own, dim, below the row before it.
 */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[], style: Style): string[] {
  const widths = columns.map((column, index) =>
    Math.max(column.header.length, ...rows.map((row) => (row.length > 1 ? width(row[index] ?? '') : 0))),
  )
  const line = (cells: readonly string[]) =>
    `  ${columns.map(({ align }, index) => padded(cells[index] ?? '', widths[index] ?? 0, align)).join('  ')}`.trimEnd()
  const rule = '─'.repeat(widths.reduce((total, each) => total + each + 2, 0))
  const header = line(columns.map((column) => column.header))
  return [
    style.dim(header),
    style.dim(rule),
    ...rows.map((row) => (row.length > 1 ? line(row) : style.dim(row[0] ?? ''))),
  ]
}

/**
 * Names on the left, values on the right of one gutter. A value that is a list flows: its entries stand side by side, and
 * on a further line where one is full; a text does so word by word.
 */
export function pairs(entries: readonly (readonly [name: string, value: string | readonly string[]])[]): string[] {
  const widest = Math.max(...entries.map(([name]) => name.length))
  return entries.flatMap(([name, value]) => {
    const lines = typeof value === 'string' ? flow(value.split(' '), ' ', widest + 4) : flow(value, '  ', widest + 4)
    return lines.map((line, index) => `  ${(index === 0 ? name : '').padEnd(widest)}  ${line}`.trimEnd())
  })
}

/** Packs entries into lines that fit beside `indent` columns. */
export function flow(entries: readonly string[], separator: string, indent: number): string[] {
  const lines: string[] = []
  for (const entry of entries) {
    const last = lines.at(-1)
    const joined = last === undefined ? entry : last + separator + entry
    if (last === undefined || indent + width(joined) > terminalWidth) lines.push(entry)
    else lines[lines.length - 1] = joined
  }
  return lines
}

/** Breaks text between words so that each line fits, `indent` spaces included. */
export function wrapped(text: string, indent: number): string[] {
  return flow(text.split(' '), ' ', indent).map((line) => ' '.repeat(indent) + line)
}

/**
 * A label and a text on one line or, for people at a terminal, on as many as its width takes, further ones indented.
 */
export function paragraph(label: string, text: string, terminal: boolean): string {
  return terminal ? flow([label, ...text.split(' ')], ' ', 2).join('\n  ') : `${label} ${text}`
}

function padded(cell: string, target: number, align: Column['align']): string {
  const blanks = ' '.repeat(Math.max(0, target - width(cell)))
  return align === 'left' ? cell + blanks : blanks + cell
}

function width(cell: string): number {
  return [...stripVTControlCharacters(cell)].length
}
