import type { ChartSlice, SliceKind } from './chart.js'
import { px, type Rect, rect, reference } from './pen.js'
import { fillOf } from './timeline.js'

/** What a column of a strip can be filled with; forward that is computed again is told apart. */
const fills = ['F', 'I', 'W', 'optimizer', 'communication', 'memory', 'control', 'again'] as const
type Fill = (typeof fills)[number]

/** The parts of a slice, in shares of its time. */
function partsOf(kind: SliceKind, again: number): readonly (readonly [Fill, number])[] {
  const rest = 1 - again
  const parts: (readonly [Fill, number])[] =
    kind === 'B'
      ? [
          ['I', (rest * 2) / 3],
          ['W', rest / 3],
        ]
      : [[kind, rest]]
  return again > 0 ? [['again', again], ...parts] : parts
}

/** Slices too thin to draw: columns of one pixel in the colour of what fills most of each, and nothing where that is too little. */
export function drawStrip(slices: readonly ChartSlice[], row: Rect, perUnit: number): string {
  const first = Math.floor((slices[0]?.start ?? 0) * perUnit)
  const last = Math.min(Math.ceil(row.width), Math.ceil((slices.at(-1)?.end ?? 0) * perUnit))
  const columns = Math.max(1, last - first)
  const filled = new Float64Array(columns * fills.length)
  const add = (fill: Fill, from: number, to: number) => {
    const kind = fills.indexOf(fill)
    for (let column = Math.max(0, Math.floor(from)); column < Math.min(columns, Math.ceil(to)); column++) {
      const at = column * fills.length + kind
      filled[at] = (filled[at] ?? 0) + Math.max(0, Math.min(to, column + 1) - Math.max(from, column))
    }
  }
  for (const { start, end, kind, again = 0, partner } of slices) {
    let from = start * perUnit - first
    const width = (end - start) * perUnit
    const both = partner ? [kind, partner.kind] : [kind]
    for (const each of both)
      for (const [fill, share] of partsOf(each, again)) {
        const size = (width * share) / both.length
        add(fill, from, from + size)
        from += size
      }
  }
  const dominant = (column: number) => {
    let [most, found] = [0.25, -1]
    for (let kind = 0; kind < fills.length; kind++) {
      const share = filled[column * fills.length + kind] ?? 0
      if (share > most) [most, found] = [share, kind]
    }
    return found
  }
  const parts: string[] = []
  let run = 1
  for (let column = 0; column < columns; column += run) {
    const kind = dominant(column)
    run = 1
    while (column + run < columns && dominant(column + run) === kind) run++
    const fill = fills[kind]
    if (fill === undefined) continue
    const at = {
      x: row.x + first + column,
      y: row.y,
      width: Math.min(run, row.width - first - column),
      height: row.height,
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
