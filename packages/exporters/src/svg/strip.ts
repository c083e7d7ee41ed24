import { type ChartSlice, fillOf, type SliceKind } from './chart.js'
import { px, type Rect, rect, reference } from './pen.js'

/** What a column of a strip can be filled with; forward that is computed again is told apart. */
export const stripFills = ['F', 'I', 'W', 'optimizer', 'communication', 'memory', 'control', 'again'] as const
/** One of {@link stripFills}. */
export type StripFill = (typeof stripFills)[number]

/** The parts of a slice, in shares of its time. */
export function stripParts(kind: SliceKind, again: number): readonly (readonly [StripFill, number])[] {
  const rest = 1 - again
  const parts: (readonly [StripFill, number])[] =
    kind === 'B'
      ? [
          ['I', (rest * 2) / 3],
          ['W', rest / 3],
        ]
      : [[kind, rest]]
  return again > 0 ? [['again', again], ...parts] : parts
}

/** In how many steps the height of a strip says how much of a column is filled. */
const levels = 7

/** Slices too thin to draw: columns of one pixel in the colour of what fills most of each, as high as the share that is filled. */
export function drawStrip(slices: readonly ChartSlice[], row: Rect, perUnit: number): string {
  const first = Math.floor((slices[0]?.start ?? 0) * perUnit)
  const last = Math.min(Math.ceil(row.width), Math.ceil((slices.at(-1)?.end ?? 0) * perUnit))
  const columns = Math.max(1, last - first)
  const filled = new Float64Array(columns * stripFills.length)
  const add = (fill: StripFill, from: number, to: number) => {
    const kind = stripFills.indexOf(fill)
    for (let column = Math.max(0, Math.floor(from)); column < Math.min(columns, Math.ceil(to)); column++) {
      const at = column * stripFills.length + kind
      filled[at] = (filled[at] ?? 0) + Math.max(0, Math.min(to, column + 1) - Math.max(from, column))
    }
  }
  for (const { start, end, kind, again = 0, partner } of slices) {
    let from = start * perUnit - first
    const width = (end - start) * perUnit
    const both = partner ? [kind, partner.kind] : [kind]
    for (const each of both)
      for (const [fill, share] of stripParts(each, again)) {
        const size = (width * share) / both.length
        add(fill, from, from + size)
        from += size
      }
  }
  const columnOf = (column: number) => {
    const shares = filled.subarray(column * stripFills.length, (column + 1) * stripFills.length)
    const sum = shares.reduce((total, share) => total + share, 0)
    return {
      fill: sum > 0.005 ? shares.indexOf(Math.max(...shares)) : -1,
      level: Math.max(1, Math.round(sum * levels)),
    }
  }
  const parts: string[] = []
  let run = 1
  for (let column = 0; column < columns; column += run) {
    const { fill: kind, level } = columnOf(column)
    run = 1
    while (column + run < columns) {
      const next = columnOf(column + run)
      if (next.fill !== kind || next.level !== level) break
      run++
    }
    const fill = stripFills[kind]
    if (fill === undefined) continue
    const high = (row.height * level) / levels
    const at = {
      x: row.x + first + column,
      y: row.y + row.height - high,
      width: Math.min(run, row.width - first - column),
      height: high,
    }
    if (at.width <= 0) continue
    parts.push(rect(at, `${fillOf[fill === 'again' ? 'F' : fill]} strip`))
    if (fill === 'again')
      parts.push(
        `<rect x="${px(at.x)}" y="${px(at.y)}" width="${px(at.width)}" height="${px(at.height)}" fill="${reference('recompute')}"/>`,
      )
  }
  return parts.join('')
}
