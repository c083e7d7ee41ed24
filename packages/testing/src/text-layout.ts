import type { DimLayout } from '@shardloom/core'
import { oneOf } from './text-items.js'
import { type Cursor, wordText } from './text-line.js'

/** Writes a layout, without the keyword before it. */
export function layoutText({ order, axis, dims }: DimLayout): string {
  return `${order} over ${wordText(axis)} [${dims.map(wordText).join(' ')}]`
}

/** Reads what {@link layoutText} wrote. */
export function takeLayout(cursor: Cursor): DimLayout {
  const help = 'Write it like `layout zigzag over cp [seq kv_seq]`.'
  const order = oneOf(cursor, ['zigzag', 'round-robin'], 'order of positions')
  cursor.expectWord('over', help)
  const axis = cursor.word('an axis')
  cursor.expect('[', help)
  const dims: string[] = []
  while (!cursor.take(']')) dims.push(cursor.word('a dim or `]`'))
  return { axis, dims, order }
}
