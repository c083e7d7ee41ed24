import type { GraphView } from '../worker/protocol.js'
import { arrange, type Span } from './grid.js'
import { type Cells, framesOf } from './grid-picture.js'
import { overlaps, type ViewEdge } from './placed.js'

/** A lane, and what it holds, one below the other. */
export interface Column {
  readonly view: GraphView
  readonly cells: Cells
}

/** What ranks do, by ids without theirs, in the order of the program. */
interface Steps {
  readonly ids: readonly string[]
  readonly edges: readonly Pick<ViewEdge, 'from' | 'to' | 'role'>[]
  /** In how many rows the bars of each collective stand. */
  readonly bars: ReadonlyMap<string, number>
  /** The frame around each step, if there is one: what is of several frames stands in several rows. */
  readonly frameOf: (id: string) => string | undefined
}

/** In which row each step stands; of a collective the first of its own. */
export function rowsOfSteps({ ids, edges, bars, frameOf }: Steps): Map<string, number> {
  const before = new Map<string, string[]>()
  for (const { from, to, role } of edges)
    if (role !== 'back' && from !== to) before.set(to, [...(before.get(to) ?? []), from])
  // What waits for nothing, as a weight to gather, comes when its reader has the rest.
  for (const { from, to, role } of edges)
    if (role !== 'back' && bars.has(from) && !before.has(from))
      before.set(
        from,
        (before.get(to) ?? []).filter((each) => !bars.has(each) || before.has(each)),
      )
  const groups: string[][] = [[]]
  const groupOf = new Map<string, number>()
  const order = inOrder(ids, before)
  for (const id of order) {
    const last = groups.length - 1
    if (!bars.has(id)) {
      // What follows a bar stands below all those that may stand together.
      groupOf.set(id, (groups[last]?.length ?? 0) > 0 ? last + 1 : last)
      continue
    }
    const waits = (before.get(id) ?? []).some((each) => (groupOf.get(each) ?? -1) >= (bars.has(each) ? last : last + 1))
    if (waits) groups.push([])
    groups.at(-1)?.push(id)
    groupOf.set(id, groups.length - 1)
  }
  const rows = new Map<string, number>()
  let row = 0
  for (const [index, group] of [...groups, []].entries()) {
    const frames = new Map<string | undefined, number>()
    for (const id of order) {
      if (bars.has(id) || groupOf.get(id) !== index) continue
      const frame = frameOf(id)
      if (!frames.has(frame)) frames.set(frame, row++)
      rows.set(id, frames.get(frame) ?? row)
    }
    for (const id of group) {
      rows.set(id, row)
      row += bars.get(id) ?? 1
    }
  }
  return rows
}

/** Steps behind those that they wait for, otherwise in their order. */
function inOrder(ids: readonly string[], before: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>()
  const visit = (id: string, open: Set<string>): string[] => {
    if (done.has(id) || open.has(id)) return []
    open.add(id)
    const first = (before.get(id) ?? []).flatMap((each) => visit(each, open))
    done.add(id)
    return [...first, id]
  }
  return ids.flatMap((id) => visit(id, new Set()))
}

/** Pixels between rows. */
const gap = 26

/** Where the rows of columns stand so that those of one number are side by side, with room for the frames that begin and end there. */
export function rowSpans(columns: readonly Column[]): Span[] {
  const heights: number[] = []
  for (const { cells } of columns.map((column) => column.cells))
    for (const { slot, block } of cells) heights[slot] = Math.max(heights[slot] ?? 0, block.height)
  // So far apart that every frame is clear of what it does not hold.
  const plain = stacked(
    heights,
    heights.map(() => 400),
    [],
  )
  const [above, below]: [number[], number[]] = [[], []]
  for (const { view, cells } of columns) {
    const grid = arrange(cells.cells, { flow: 'down', gaps: [() => 0, () => 0], lead: 0, slots: plain })
    for (const { at } of framesOf(view, grid, cells.cellOf)) {
      const slots = grid.cells.flatMap(({ cell, at: own }) => (overlaps(own, at) ? [cell.slot] : []))
      const [first, last] = [Math.min(...slots), Math.max(...slots)]
      above[first] = Math.max(above[first] ?? 0, (plain[first]?.from ?? 0) - at.y)
      below[last] = Math.max(below[last] ?? 0, at.y + at.height - (plain[last]?.to ?? 0))
    }
  }
  return stacked(heights, above, below)
}

function stacked(heights: readonly number[], above: readonly number[], below: readonly number[]): Span[] {
  let at = 0
  return Array.from(heights, (height = 0, slot) => {
    const from = at + (above[slot] ?? 0)
    at = from + height + (below[slot] ?? 0) + (height > 0 ? gap : 0)
    return { from, to: from + height }
  })
}
