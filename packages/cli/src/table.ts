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

/** Names on the left, values on the right of one gutter; values stay as they are. */
export function pairs(entries: readonly (readonly [name: string, value: string])[]): string[] {
  const widest = Math.max(...entries.map(([name]) => name.length))
  return entries.map(([name, value]) => `  ${name.padEnd(widest)}  ${value}`.trimEnd())
}

/** Breaks text between words so that each line fits, `indent` spaces included. */
export function wrapped(text: string, indent: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line && indent + line.length + 1 + word.length > terminalWidth) {
      lines.push(line)
      line = word
    } else line = line ? `${line} ${word}` : word
  }
  return [...lines, line].map((each) => ' '.repeat(indent) + each)
}

function padded(cell: string, target: number, align: Column['align']): string {
  const blanks = ' '.repeat(Math.max(0, target - width(cell)))
  return align === 'left' ? cell + blanks : blanks + cell
}

function width(cell: string): number {
  return [...stripVTControlCharacters(cell)].length
}
