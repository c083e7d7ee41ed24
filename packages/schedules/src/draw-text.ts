import { B, F, I, W } from './action.js'
import { figure, idleShare, kindsIn, type Slice, slicer } from './label.js'
import type { TimedSchedule } from './time.js'

/** How a schedule is drawn as text. */
export interface TextOptions {
  /** The most columns that a line takes; default 80, at least 40. */
  readonly width?: number
}

const letters = ['F', 'I', 'W', 'B']
const meanings = ['F forward', 'I input gradient', 'W weight gradient', 'B full backward']

/**
 * Draws a timed schedule as text: a row per rank, a column per span of time. Where there is room each action has its
 * label, `F3` or `B3b` (b, c, … are the further chunks of a rank), else the letter of its kind; where columns are
 * fewer than actions, the kind that fills most of a column. Dots are idle time; its share stands at the end of the row.
 */
export function drawText(timed: TimedSchedule, { width = 80 }: TextOptions = {}): string {
  const { schedule, makespan, idle } = timed
  const heads = schedule.orders.map((_, rank) => `rank ${rank}`)
  const gutter = heads.reduce((most, head) => Math.max(most, head.length), 0) + 2
  const tails = idle.global.map((each) => `${Math.round(makespan > 0 ? (100 * each) / makespan : 0)} %`)
  const tailWidth = tails.reduce((most, tail) => Math.max(most, tail.length), 0)
  const room = Math.max(10, Math.max(40, Math.floor(width) || 80) - gutter - 2 - tailWidth)
  const rows = schedule.orders.map((_, rank) => rank).map(slicer(timed))
  const { scale, mode } = scaleOf(rows, makespan, room)
  const columns = Math.max(1, Math.min(room, Math.round(makespan * scale)))
  const lines = rows.map((slices, rank) => {
    const cells = mode === 'dense' ? dense(slices, columns, scale) : labelled(slices, columns, scale, mode === 'labels')
    return `${(heads[rank] as string).padEnd(gutter)}${cells}  ${(tails[rank] as string).padStart(tailWidth)}`
  })
  const share = `${(100 * idleShare(timed)).toFixed(1)} %`
  const title =
    `${printable(schedule.name)}: ${plural(schedule.ranks, 'rank')}, ${plural(schedule.microbatches, 'microbatch', 'es')}, ` +
    `makespan ${figure(makespan)}, idle ${share}`
  const legend = [...kindsIn(schedule)].sort().map((kind) => meanings[kind] as string)
  if (rows.some((slices) => slices.some(({ kinds }) => kinds.length > 1))) legend.push('X or & overlapped pair')
  legend.push('. idle')
  if (mode !== 'labels' && scale > 0) legend.push(`a column is ${figure(1 / scale)}`)
  return `${[title, ...lines, ...wrap(legend, width)].join('\n')}\n`
}

type Mode = 'labels' | 'letters' | 'dense'

/** Columns per unit of time: as many as labels need, or one for the shortest action, or as many as there are. */
function scaleOf(rows: readonly Slice[][], makespan: number, room: number): { scale: number; mode: Mode } {
  let labels = 0
  let shortest = Infinity
  for (const { labels: each, start, end } of rows.flat()) {
    if (end <= start) continue
    shortest = Math.min(shortest, end - start)
    labels = Math.max(labels, (each.join('&').length + 1) / (end - start))
  }
  if (makespan <= 0) return { scale: 0, mode: 'dense' }
  // A label needs its length and a space; without the space the next label touches it.
  for (const scale of [Math.ceil(labels * shortest) / shortest, Math.ceil(labels * shortest - 1) / shortest]) {
    if (scale > 0 && makespan * scale <= room) return { scale, mode: 'labels' }
  }
  if (makespan / shortest <= room) return { scale: 1 / shortest, mode: 'letters' }
  return { scale: room / makespan, mode: 'dense' }
}

function labelled(slices: readonly Slice[], columns: number, scale: number, withLabels: boolean): string {
  const cells: string[] = Array.from({ length: columns }, () => '.')
  for (const { labels, kinds, start, end } of slices) {
    const from = Math.round(start * scale)
    const to = Math.min(columns, Math.max(from + 1, Math.round(end * scale)))
    const letter = kinds.length > 1 ? 'X' : (letters[kinds[0] as number] as string)
    const text = withLabels ? labels.join('&').padEnd(to - from, '-') : letter.repeat(to - from)
    for (let at = from; at < to; at++) cells[at] = text[at - from] ?? '-'
    if (withLabels && to - from > labels.join('&').length) cells[to - 1] = ' '
  }
  return cells.join('')
}

/** The kind that fills most of each column. */
function dense(slices: readonly Slice[], columns: number, scale: number): string {
  const letter = (kinds: readonly number[]) => (kinds.length > 1 ? 4 : (kinds[0] as number))
  const filled = new Float64Array(columns * 5)
  for (const { kinds, start, end } of slices) {
    const kind = letter(kinds)
    const last = Math.min(columns - 1, Math.floor(end * scale))
    for (let column = Math.floor(start * scale); column <= last; column++) {
      const part = Math.min(end * scale, column + 1) - Math.max(start * scale, column)
      const at = column * 5 + kind
      filled[at] = (filled[at] as number) + Math.max(0, part)
    }
  }
  let text = ''
  for (let column = 0; column < columns; column++) {
    const parts = [F, I, W, B, 4].map((kind) => filled[column * 5 + kind] as number)
    const idle = 1 - parts.reduce((sum, part) => sum + part, 0)
    const most = Math.max(...parts)
    text += most > idle ? 'FIWBX'[parts.indexOf(most)] : '.'
  }
  return text
}

/** Pieces with commas between them, on lines of at most `width` columns where the pieces allow. */
function wrap(pieces: readonly string[], width: number): string[] {
  const lines: string[] = []
  for (const piece of pieces) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 2 + piece.length < width) lines[lines.length - 1] = `${last}, ${piece}`
    else lines.push(piece)
  }
  return lines
}

const plural = (count: number, noun: string, ending = 's') => `${count} ${noun}${count === 1 ? '' : ending}`

/** A name from outside, without characters that would change the line. */
function printable(name: string): string {
  return name.replace(/[\p{C}\p{Z}]+/gu, ' ').slice(0, 60)
}
