import { bodyAt, type Item, type Region } from './program.js'

/** One iteration of one region's axis. */
export interface Iteration {
  readonly axis: string
  readonly iteration: number
}

/** One body laid out: where each of its items begins, counted in nodes from the start of an instance of the body. */
export interface Layout {
  readonly items: readonly Item[]
  readonly offsets: Int32Array
  readonly regions: ReadonlyMap<string, RegionLayout>
  readonly size: number
}

/** One region laid out, iteration after iteration in time order. */
export interface RegionLayout {
  readonly region: Region
  readonly bodies: readonly Layout[]
  /** Where the iteration that runs `i`-th begins, from the start of the region; one more entry holds the size. */
  readonly starts: Int32Array
  readonly offset: number
}

/** Regions of other axes shrink to one iteration for each of their bodies, in order of first appearance. */
export function foldOthers(items: readonly Item[], axes: ReadonlySet<string>): Item[] {
  return items.map((item) => {
    if (item.type === 'node') return item
    const bodies = item.bodies.map((body) => ({ ...body, items: foldOthers(body.items, axes) }))
    if (axes.has(item.axis)) return { ...item, bodies }
    const order = [...new Set(item.select.map((run) => run.body))]
    return { ...item, bodies, extent: order.length, select: order.map((body) => ({ body, count: 1 })) }
  })
}

/** Lays out a list of items and, below it, the bodies of its regions. O(items + iterations). */
export function layOut(items: readonly Item[]): Layout {
  const offsets = new Int32Array(items.length)
  const regions = new Map<string, RegionLayout>()
  let size = 0
  items.forEach((item, position) => {
    offsets[position] = size++
    if (item.type === 'node') return
    const offset = --size
    const bodies = item.bodies.map((body) => layOut(body.items))
    const starts = new Int32Array(item.extent + 1)
    for (let i = 0; i < item.extent; i++)
      starts[i + 1] = (starts[i] ?? 0) + (bodies[bodyAt(item, timed(item, i))]?.size ?? 0)
    regions.set(item.id, { region: item, bodies, starts, offset })
    size += starts[item.extent] ?? 0
  })
  return { items, offsets, regions, size }
}

/** The iteration that runs `place`-th, and the place of an iteration: a reverse region runs its last iteration first. */
export function timed(region: Region, place: number): number {
  return region.order === 'reverse' ? region.extent - 1 - place : place
}

/** Where an iteration begins, from the start of the body that the region stands in. */
export function startOf(layout: RegionLayout, iteration: number): number {
  return layout.offset + (layout.starts[timed(layout.region, iteration)] ?? 0)
}

/** The iterations that lead to a node, outermost first. O(depth · log size). */
export function iterationsAt(layout: Layout, node: number): Iteration[] {
  const item = layout.items[lastAtMost(layout.offsets, node)]
  const region = item && layout.regions.get(item.id)
  if (!region) return []
  const inside = node - region.offset
  const place = lastAtMost(region.starts, inside)
  const iteration = timed(region.region, place)
  const body = region.bodies[bodyAt(region.region, iteration)]
  return [
    { axis: region.region.axis, iteration },
    ...(body ? iterationsAt(body, inside - (region.starts[place] ?? 0)) : []),
  ]
}

/** The last position whose value is at most `value`, in ascending numbers. */
function lastAtMost(sorted: Int32Array, value: number): number {
  let low = 0
  let high = sorted.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((sorted[middle] ?? 0) <= value) low = middle
    else high = middle - 1
  }
  return low
}
