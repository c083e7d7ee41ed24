import { figure, idleShare, kindsIn, type Slice, slicer } from './label.js'
import type { TimedSchedule } from './time.js'

/** How a schedule is drawn as text. */
export interface TextOptions {
  /** The most columns that a line takes; default 80, at least 40. */
  readonly width?: number
}

const letters = ['F', 'I', 'W', 'B']
const meanings = ['F forward', 'I input gradient', 'W weight gradient', 'B full backward']

/** A longer drawing shows its first and its last blocks alone, half of these each. */
const mostBlocks = 6

/**
 * Draws a timed schedule as text: a row per rank, columns in time. Where there is room each action has its label, `F3` or
 * `B3b` (b, c, … are the further chunks of a rank), else the letter of its kind. A drawing that is too long for a line goes on
 * in a further block of rows; of more than six blocks the first and the last three stand, with a line for what is left out
 * between them. Dots are idle time; its share stands at the end of the row.
 */
export function drawText(timed: TimedSchedule, { width = 80 }: TextOptions = {}): string {
  const { schedule, makespan, idle } = timed
  const heads = schedule.orders.map((_, rank) => `rank ${rank}`)
  const gutter = heads.reduce((most, head) => Math.max(most, head.length), 0) + 2
  const tails = idle.global.map((each) => `${Math.round(makespan > 0 ? (100 * each) / makespan : 0)} %`)
  const tailWidth = tails.reduce((most, tail) => Math.max(most, tail.length), 0)
  const room = Math.max(10, Math.max(40, Math.floor(width) || 80) - gutter - 2 - tailWidth)
  const rows = schedule.orders.map((_, rank) => rank).map(slicer(timed))
  const { scale, labels } = scaleOf(rows, makespan, room)
  const columns = Math.max(1, Math.round(makespan * scale))
  const blocks = Math.ceil(columns / room)
  const lines: string[] = []
  for (let block = 0; block < blocks; block++) {
    const from = block * room
    const to = Math.min(columns, from + room)
    const time = (column: number) => figure(column / scale)
    if (blocks > mostBlocks && block === mostBlocks / 2) {
      block = blocks - mostBlocks / 2 - 1
      lines.push(`… from ${time(from)} to ${time((block + 1) * room)} left out`)
      continue
    }
    if (blocks > 1) lines.push(`from ${time(from)} to ${time(to)}`)
    for (const [rank, slices] of rows.entries()) {
      const cells = drawn(slices, from, to, scale, labels)
      const tail = block === blocks - 1 ? `  ${(tails[rank] as string).padStart(tailWidth)}` : ''
      lines.push(`${(heads[rank] as string).padEnd(gutter)}${cells}${tail}`)
    }
  }
  const share = `${(100 * idleShare(timed)).toFixed(1)} %`
  const title =
    `${printable(schedule.name)}: ${plural(schedule.ranks, 'rank')}, ${plural(schedule.microbatches, 'microbatch', 'es')}, ` +
    `makespan ${figure(makespan)}, idle ${share}`
  const legend = [...kindsIn(schedule)].sort().map((kind) => meanings[kind] as string)
  if (rows.some((slices) => slices.some(({ kinds }) => kinds.length > 1))) legend.push('X or & overlapped pair')
  legend.push('. idle')
  if (!labels && scale > 0) legend.push(`a column is ${figure(1 / scale)}`)
  return `${[title, ...lines, ...wrap(legend, width)].join('\n')}\n`
}

/** Columns per unit of time: as many as labels need, where they fit, else one for the shortest action. */
function scaleOf(rows: readonly Slice[][], makespan: number, room: number): { scale: number; labels: boolean } {
  let labels = 0
  let shortest = Infinity
  for (const { labels: each, start, end } of rows.flat()) {
    if (end <= start) continue
    shortest = Math.min(shortest, end - start)
    labels = Math.max(labels, (each.join('&').length + 1) / (end - start))
  }
  if (makespan <= 0) return { scale: 0, labels: false }
  // A label needs its length and a space; without the space the next label touches it.
  for (const scale of [Math.ceil(labels * shortest) / shortest, Math.ceil(labels * shortest - 1) / shortest]) {
    if (scale > 0 && makespan * scale <= room) return { scale, labels: true }
  }
  return { scale: 1 / shortest, labels: false }
}

/** The columns of one rank from `first` on, `last` left out. What takes no time takes no column. */
function drawn(slices: readonly Slice[], first: number, last: number, scale: number, withLabels: boolean): string {
  const cells: string[] = Array.from({ length: last - first }, () => '.')
  for (const { labels, kinds, start, end } of slices) {
    const from = Math.round(start * scale)
    const to = Math.round(end * scale)
    if (to <= first || from >= last) continue
    const letter = kinds.length > 1 ? 'X' : (letters[kinds[0] as number] as string)
    const text = withLabels ? labels.join('&').padEnd(to - from, '-') : letter.repeat(to - from)
    for (let at = Math.max(from, first); at < Math.min(to, last); at++) cells[at - first] = text[at - from] ?? '-'
    if (withLabels && to - from > labels.join('&').length) cells[to - 1 - first] = ' '
  }
  return cells.join('')
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
