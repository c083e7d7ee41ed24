import { type Block, type Rect, turned } from './placed.js'

/** A block and where it belongs: in which place along the flow, and in which row or column beside it. */
export interface Cell {
  readonly slot: number
  readonly band: number
  readonly block: Pick<Block, 'width' | 'height'>
  /** Edges of others may run behind it. */
  readonly passable?: boolean
  /** It is one of several rows of what is called so. */
  readonly stack?: string
  /** It stands at the beginning of its band, whatever its slot holds. */
  readonly loose?: boolean
}

export type Flow = 'right' | 'down'

/** What a grid is arranged by. */
export interface GridStyle {
  readonly flow: Flow
  /** Pixels between the cells of a band that follow each other, and between a band and the next. */
  readonly gaps: readonly [slots: (band: number) => number, bands: (before: number) => number]
  /** Pixels before the first band, for what slots are called. */
  readonly lead: number
  /** Where slots stand, if that is known. */
  readonly slots?: readonly Span[]
}

/** Where everything of a grid stands. Slots and bands are spans along and across the flow. */
export interface Grid<Of extends Cell> {
  readonly flow: Flow
  readonly cells: readonly { readonly cell: Of; readonly at: Rect }[]
  readonly slots: readonly Span[]
  readonly bands: readonly Span[]
}

export interface Span {
  readonly from: number
  readonly to: number
}

/**
 * Puts cells into slots that follow each other along the flow and bands beside each other: what returns stands beside what it returns
 * from. Each is in the middle of its place. Linear in the cells.
 */
export function arrange<Of extends Cell>(
  cells: readonly Of[],
  { flow, gaps, lead, slots: given }: GridStyle,
): Grid<Of> {
  const along = ({ block }: Cell) => (flow === 'down' ? block.height : block.width)
  const across = ({ block }: Cell) => (flow === 'down' ? block.width : block.height)
  const slots = given ?? slotsOf(cells, along, gaps[0])
  const bands = bandsOf(cells, across, gaps[1], lead)
  return {
    flow,
    slots,
    bands,
    cells: cells.map((cell) => {
      const [slot, band] = [slots[cell.slot], bands[cell.band]]
      const middle = (span: Span | undefined) => (span ? (span.from + span.to) / 2 : 0)
      const at = {
        x: middle(band) - across(cell) / 2,
        y: cell.loose ? 0 : middle(slot) - along(cell) / 2,
        width: across(cell),
        height: along(cell),
      }
      return { cell, at: flow === 'down' ? at : turned(at) }
    }),
  }
}

/** Slots as near to each other as the cells of every band allow: a band without a cell in a slot needs no room for it. */
function slotsOf(cells: readonly Cell[], sizeOf: (cell: Cell) => number, gapOf: (band: number) => number): Span[] {
  const sorted = cells.filter(({ loose }) => !loose).sort((a, b) => a.slot - b.slot)
  const middles: number[] = []
  const sizes: number[] = []
  const last = new Map<number, { readonly slot: number; readonly size: number }>()
  for (const cell of sorted) {
    const size = sizeOf(cell)
    const before = last.get(cell.band)
    const least = before ? (middles[before.slot] ?? 0) + before.size / 2 + gapOf(cell.band) : 0
    middles[cell.slot] = Math.max(middles[cell.slot] ?? middles[cell.slot - 1] ?? 0, least + size / 2)
    sizes[cell.slot] = Math.max(sizes[cell.slot] ?? 0, size)
    last.set(cell.band, { slot: cell.slot, size })
  }
  return Array.from(middles, (middle = 0, slot) => {
    const size = sizes[slot] ?? 0
    return { from: middle - size / 2, to: middle + size / 2 }
  })
}

function bandsOf(
  cells: readonly Cell[],
  sizeOf: (cell: Cell) => number,
  gapOf: (before: number) => number,
  begin: number,
): Span[] {
  const sizes: number[] = []
  for (const cell of cells) sizes[cell.band] = Math.max(sizes[cell.band] ?? 0, sizeOf(cell))
  let from = begin
  return Array.from(sizes, (size = 0, band) => {
    const span = { from, to: from + size }
    if (size > 0) from += size + gapOf(band)
    return span
  })
}
