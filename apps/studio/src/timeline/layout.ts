import type { TimelineData } from './data.js'

/** Heights in pixels: as in the exporters' pictures. */
export const heights = { row: 28, step: 38, head: 26, gap: 18, axis: 26 } as const

/** Where a row stands, before it is scrolled. */
export interface PlacedRow {
  readonly panel: number
  readonly row: number
  readonly y: number
}

/** Timelines above each other. */
export interface Layout {
  readonly rows: readonly PlacedRow[]
  /** The first row of each timeline, in `rows`. */
  readonly firstOf: readonly number[]
  readonly heads: readonly { readonly panel: number; readonly y: number }[]
  readonly height: number
  /** Pixels for names before the rows, and for shares behind them. */
  readonly left: number
  readonly right: number
  /** The longest of all, in their unit. */
  readonly end: number
}

/** Places the rows of timelines, one below the other. `widthOf` is that of a row's name, in pixels. */
export function layoutOf(panels: readonly TimelineData[], widthOf: (label: string) => number): Layout {
  const rows: PlacedRow[] = []
  const firstOf: number[] = []
  const heads: { panel: number; y: number }[] = []
  let [y, widest] = [6, 44]
  panels.forEach((data, panel) => {
    heads.push({ panel, y })
    y += heights.head
    firstOf.push(rows.length)
    data.rows.forEach(({ label }, row) => {
      rows.push({ panel, row, y })
      widest = Math.max(widest, widthOf(label))
      y += heights.step
    })
    y += heights.gap
  })
  const end = panels.reduce((most, data) => Math.max(most, data.end / data.perUnit), 0)
  return { rows, firstOf, heads, height: y, left: Math.ceil(Math.min(180, widest)) + 26, right: 76, end }
}

/** The row at a height, if it is one and not between two. */
export function rowAt({ rows }: Layout, y: number): number {
  let [low, high] = [0, rows.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((rows[middle]?.y ?? 0) + heights.row < y) low = middle + 1
    else high = middle
  }
  const found = rows[low]
  return found && found.y <= y ? low : -1
}
