import type { TimelineData } from './data.js'

/** Heights in pixels: as in the exporters' pictures; `links` is that of all links of a rank when they are folded. */
export const heights = { row: 28, step: 38, head: 26, gap: 18, axis: 26, links: 18 } as const

/** Where a row stands, before it is scrolled; the links of a rank that are folded share the height of one. */
export interface PlacedRow {
  readonly panel: number
  readonly row: number
  readonly y: number
  readonly height: number
}

/** What stands at the begin of rows: of a stream that computes, of one link, or of the links of a rank together. */
export interface RowName {
  readonly panel: number
  readonly row: number
  readonly y: number
  readonly height: number
  /** Of links that can be folded: whether they are. */
  readonly folded?: boolean
}

/** Timelines above each other. */
export interface Layout {
  /** By the rows of each timeline. */
  readonly places: readonly (readonly PlacedRow[])[]
  readonly names: readonly RowName[]
  readonly heads: readonly { readonly panel: number; readonly y: number }[]
  readonly height: number
  /** Pixels for names before the rows, and for shares behind them. */
  readonly left: number
  readonly right: number
  /** The longest of all, in their unit. */
  readonly end: number
}

/** More links than these are folded, until somebody unfolds them. */
const mostLinks = 3

/** A rank whose links are folded or not, as one name. */
export const linksOf = (panel: number, rank: number): string => `${panel} ${rank}`

/** The ranks whose links are folded when timelines open: all of them, where there are more links than fit below each other. */
export function foldedLinks(panels: readonly TimelineData[]): ReadonlySet<string> {
  const links = panels.flatMap(({ rows }, panel) =>
    rows.flatMap(({ stream, rank }) => (stream === 'compute' ? [] : [linksOf(panel, rank)])),
  )
  return new Set(links.length > mostLinks ? links : [])
}

/** Places the rows of timelines, one below the other. `widthOf` is that of a row's name, in pixels. */
export function layoutOf(
  panels: readonly TimelineData[],
  widthOf: (label: string) => number,
  folded: ReadonlySet<string> = foldedLinks(panels),
): Layout {
  const places: PlacedRow[][] = []
  const names: RowName[] = []
  const heads: { panel: number; y: number }[] = []
  let [y, widest] = [6, 44]
  panels.forEach((data, panel) => {
    heads.push({ panel, y })
    y += heights.head
    const own: PlacedRow[] = []
    places.push(own)
    for (let row = 0; row < data.rows.length; row++) {
      const { label, rank, stream } = data.rows[row] as TimelineData['rows'][number] // counted
      const links = stream === 'compute' ? 0 : linksFrom(data, row)
      if (links > 0 && folded.has(linksOf(panel, rank))) {
        // Timelines that are compared leave the room to what computes.
        if (panels.length > 1) {
          for (let each = 0; each < links; each++) own.push({ panel, row: row + each, y: y - 11, height: 0 })
          row += links - 1
          continue
        }
        y -= 4
        const high = (heights.links - (links - 1)) / links
        for (let each = 0; each < links; each++)
          own.push({ panel, row: row + each, y: y + each * (high + 1), height: high })
        names.push({ panel, row, y, height: heights.links, folded: true })
        y += heights.links + 10
        row += links - 1
        continue
      }
      own.push({ panel, row, y, height: heights.row })
      const first = stream !== 'compute' && data.rows[row - 1]?.stream === 'compute'
      names.push({ panel, row, y, height: heights.row, ...(first && { folded: false }) })
      widest = Math.max(widest, widthOf(label) + (stream === 'compute' ? 0 : 14))
      y += heights.step
    }
    y += heights.gap
  })
  const end = panels.reduce((most, data) => Math.max(most, data.end / data.perUnit), 0)
  return { places, names, heads, height: y, left: Math.ceil(Math.min(180, widest)) + 26, right: 76, end }
}

/** How many links of the same rank follow each other. */
function linksFrom({ rows }: TimelineData, first: number): number {
  let last = first
  while (rows[last]?.rank === rows[first]?.rank && rows[last]?.stream !== 'compute') last++
  return last - first
}

/** The row at a height, if it is one and not between two. */
export function rowAt({ places }: Layout, y: number): PlacedRow | undefined {
  for (const own of places) {
    let [low, high] = [0, own.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      const at = own[middle]
      if ((at?.y ?? 0) + (at?.height ?? 0) < y) low = middle + 1
      else high = middle
    }
    const found = own[low]
    if (found && found.height > 0 && found.y <= y) return found
  }
  return undefined
}

/** The name at a height. */
export const nameAt = ({ names }: Layout, y: number): RowName | undefined =>
  names.find((name) => name.y <= y && y <= name.y + name.height)
