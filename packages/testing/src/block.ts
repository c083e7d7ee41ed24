import { atomDegree, type DimLayout, findAxis, layoutShare, type Mesh, type Program, shareOf } from '@shardloom/core'

/** The elements of a tensor that one rank holds: row-major in float64, with the global positions along each dim. */
export interface Block {
  readonly positions: readonly Int32Array[]
  readonly values: Float64Array
  /** Of one term of a log-sum-exp merge: a weight per row, that is for all positions but the last. */
  readonly logSumExp?: Float64Array
}

/** Positions that a block was asked for and does not have, along one of its dims. */
export interface Missing {
  readonly dim: number
  readonly positions: readonly number[]
}

const ranges = new Map<number, Map<number, Int32Array>>()

/** The positions `start` up to `start + count`; equal ranges are one object, so that they are compared at once. */
function range(start: number, count: number): Int32Array {
  const known = ranges.get(start) ?? new Map<number, Int32Array>()
  ranges.set(start, known)
  const found = known.get(count) ?? Int32Array.from({ length: count }, (_, index) => start + index)
  known.set(count, found)
  return found
}

/** Positions that are no range, by their text. */
const scattered = new Map<string, Int32Array>()

/**
 * The positions of a dim of `size` that the rank at `at` holds when it is split over `atoms`, major first. `layouts` are
 * those of the program, by which ranks may share `dim` otherwise than in runs over some of the atoms.
 */
export function shardPositions(
  size: number,
  atoms: readonly string[],
  mesh: Mesh,
  at: ReadonlyMap<string, number>,
  { layouts = [], dim }: { readonly layouts?: Program['layouts']; readonly dim?: string | undefined } = {},
): Int32Array {
  const own = layouts.filter(({ dims }) => dim !== undefined && dims.includes(dim))
  const orders = new Map(
    own.flatMap(({ axis, order }) => (findAxis(mesh, axis)?.atoms ?? []).map((atom) => [atom, order] as const)),
  )
  if (atoms.some((atom) => orders.has(atom))) return laidOutPositions(size, atoms, mesh, at, orders)
  let [start, count] = [0, size]
  for (const atom of atoms) {
    const degree = atomDegree(mesh, atom)
    const index = at.get(atom) ?? 0
    start += index * Math.floor(count / degree) + Math.min(index, count % degree)
    count = shareOf(count, degree, index)
  }
  return range(start, count)
}

function laidOutPositions(
  size: number,
  atoms: readonly string[],
  mesh: Mesh,
  at: ReadonlyMap<string, number>,
  orders: ReadonlyMap<string, DimLayout['order']>,
): Int32Array {
  let left = range(0, size)
  for (const atom of atoms) {
    const [degree, index] = [atomDegree(mesh, atom), at.get(atom) ?? 0]
    const order = orders.get(atom)
    if (order) left = layoutShare(order, left, degree, index)
    else {
      const start = index * Math.floor(left.length / degree) + Math.min(index, left.length % degree)
      left = left.subarray(start, start + shareOf(left.length, degree, index))
    }
  }
  const key = left.join()
  const known = scattered.get(key) ?? left
  scattered.set(key, known)
  return known
}

/** How many elements a block with these positions has. */
export function elementsOf(positions: readonly Int32Array[]): number {
  return positions.reduce((count, each) => count * each.length, 1)
}

/** For every element at `inner`, row-major, its offset in a block with the positions `outer`, which contain them. */
export function offsetsIn(outer: readonly Int32Array[], inner: readonly Int32Array[]): Int32Array {
  const table = new Int32Array(elementsOf(inner))
  let filled = table.length > 0 ? 1 : 0
  let stride = 1
  for (let dim = inner.length - 1; dim >= 0; dim--) {
    const [all, wanted] = [outer[dim] ?? range(0, 0), inner[dim] ?? range(0, 0)]
    const places = all === wanted ? undefined : placesIn(all, wanted)
    const block = filled
    for (let index = wanted.length - 1; index >= 0 && block > 0; index--) {
      const shift = (places ? (places[index] ?? 0) : index) * stride
      for (let place = 0; place < block; place++) table[index * block + place] = (table[place] ?? 0) + shift
    }
    filled = block * wanted.length
    stride *= all.length
  }
  return table
}

/** Where each of the positions `wanted` stands in `all`; −1 where it does not. */
function placesIn(all: Int32Array, wanted: Int32Array): Int32Array {
  // Both ascend nearly always: each is then looked for behind the one before it.
  let place = -1
  return wanted.map((position) => {
    place = all[place + 1] === position ? place + 1 : all.indexOf(position)
    return place
  })
}

/** The values at these places, undefined numbers where there is none. */
export function valuesAt(values: Float64Array, places: Int32Array): Float64Array {
  const taken = new Float64Array(places.length)
  for (let index = 0; index < places.length; index++) taken[index] = values[places[index] ?? 0] ?? Number.NaN
  return taken
}

function sameAll(a: readonly Int32Array[], b: readonly Int32Array[]): boolean {
  return a.every((each, dim) => each === b[dim])
}

/** The part of a block at `positions`, or what it lacks of them. */
export function take(block: Block, positions: readonly Int32Array[]): Block | Missing {
  if (sameAll(block.positions, positions)) return block
  for (const [dim, wanted] of positions.entries()) {
    const held = block.positions[dim]
    if (held === wanted) continue
    const places = placesIn(held ?? range(0, 0), wanted)
    if (!places.includes(-1) || elementsOf(positions) === 0) continue
    return { dim, positions: Array.from(wanted).filter((_, index) => places[index] === -1) }
  }
  const { values, logSumExp } = block
  const from = offsetsIn(block.positions, positions)
  const rows = logSumExp && offsetsIn(block.positions.slice(0, -1), positions.slice(0, -1))
  return {
    positions,
    values: valuesAt(values, from),
    ...(rows && { logSumExp: valuesAt(logSumExp, rows) }),
  }
}

/** The positions of `wanted` that are in `held`; the same object when all are. */
export function commonPositions(wanted: Int32Array, held: Int32Array): Int32Array {
  if (wanted === held) return wanted
  const places = placesIn(held, wanted)
  const found = wanted.filter((_, index) => places[index] !== -1)
  return found.length === wanted.length ? wanted : found
}

/** Puts blocks together that hold the elements at `positions` between them; what none of them has stays undefined. */
export function assemble(blocks: readonly Block[], positions: readonly Int32Array[]): Block | undefined {
  const values = new Float64Array(elementsOf(positions))
  const found = new Uint8Array(values.length)
  let count = 0
  for (const block of blocks) {
    const common = positions.map((wanted, dim) => commonPositions(wanted, block.positions[dim] ?? range(0, 0)))
    const [from, to] = [offsetsIn(block.positions, common), offsetsIn(positions, common)]
    for (let index = 0; index < to.length; index++) {
      const place = to[index] ?? 0
      values[place] = block.values[from[index] ?? 0] ?? 0
      if (found[place] === 0) count++
      found[place] = 1
    }
  }
  return count === values.length ? { positions, values } : undefined
}

/** Adds positions at the end of dims that have grown; their elements are undefined numbers until they are written. */
export function grow(block: Block, positions: readonly Int32Array[]): Block {
  if (sameAll(block.positions, positions)) return block
  const values = new Float64Array(elementsOf(positions)).fill(Number.NaN)
  const to = offsetsIn(positions, block.positions)
  for (let index = 0; index < to.length; index++) values[to[index] ?? 0] = block.values[index] ?? Number.NaN
  return { positions, values }
}

/** Combines blocks with the same positions, one term of the whole value each; undefined when their positions differ. */
export function combine(blocks: readonly Block[], reduction: 'sum' | 'max' | 'lse'): Block | undefined {
  const [first, ...others] = blocks
  if (!first || !others.every((block) => sameAll(block.positions, first.positions))) return undefined
  if (reduction === 'lse') return mergeRows(blocks, first)
  const values = first.values.slice()
  for (const { values: terms } of others) {
    for (let index = 0; index < values.length; index++) {
      const [a, b] = [values[index] ?? 0, terms[index] ?? 0]
      values[index] = reduction === 'sum' ? a + b : Math.max(a, b)
    }
  }
  return { positions: first.positions, values }
}

/** Σ exp(lse_r) · row_r / Σ exp(lse_r), with the logarithm of the denominator as the new weight (Milakov and Gimelshein 2018). */
function mergeRows(blocks: readonly Block[], first: Block): Block | undefined {
  if (!blocks.every((block) => block.logSumExp)) return undefined
  const width = first.positions.at(-1)?.length ?? 1
  const values = new Float64Array(first.values.length)
  const logSumExp = Float64Array.from(first.logSumExp ?? [], (_, row) => {
    const weights = blocks.map((block) => block.logSumExp?.[row] ?? 0)
    const largest = Math.max(...weights)
    const total = weights.reduce((sum, weight) => sum + Math.exp(weight - largest), 0)
    for (const [rank, block] of blocks.entries()) {
      const share = Math.exp((weights[rank] ?? 0) - largest) / total
      for (let index = row * width; index < (row + 1) * width; index++)
        if (share > 0) values[index] = (values[index] ?? 0) + share * (block.values[index] ?? 0)
    }
    return largest + Math.log(total)
  })
  return { positions: first.positions, values, logSumExp }
}
