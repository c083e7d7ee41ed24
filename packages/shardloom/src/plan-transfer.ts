import {
  atomDegree,
  coordinates,
  type DimLayout,
  findAxis,
  layoutShare,
  type Mesh,
  type Placement,
  shareOf,
} from '@shardloom/core'

/** A tensor as the ranks of one pool hold it. A pool may have more room than the other has elements. */
export interface Held {
  readonly mesh: Mesh
  readonly placement: Placement
  readonly shape: readonly number[]
  /** Where its first element stands in the whole tensor; default: at the start. */
  readonly origin?: readonly number[]
  /** The names of its dims, and how ranks share those that are no consecutive runs. */
  readonly dims?: readonly string[]
  readonly layouts?: readonly DimLayout[]
  /** The ranks that hold it, such as those of one stage of a pipeline; default: all. */
  readonly ranks?: readonly number[]
}

/** A block that a rank of one pool sends to a rank of another: where it begins in the whole tensor, and its sizes. */
export interface Transfer {
  readonly from: number
  readonly to: number
  readonly start: readonly number[]
  readonly shape: readonly number[]
}

interface Box {
  readonly start: readonly number[]
  readonly shape: readonly number[]
}

/**
 * Which rank sends which block to which, so that a tensor such as a KV cache passes from a pool to one with another mesh
 * and placement. Every rank that reads an element gets it from one rank; the ranks that hold copies of a block take turns.
 * With `onePool` both are the same ranks: what a rank holds already it takes from itself (`from` is `to`).
 * O(ranks of the second pool × distinct shards of the first).
 */
export function planTransfer(source: Held, target: Held, onePool = false): Transfer[] {
  const shards = new Map<string, { readonly box: Box; readonly ranks: number[] }>()
  for (const rank of ranksOf(source)) {
    for (const box of boxesOf(source, rank)) {
      const key = `${box.start} ${box.shape}`
      const known = shards.get(key)
      if (known) known.ranks.push(rank)
      else shards.set(key, { box, ranks: [rank] })
    }
  }
  return ranksOf(target).flatMap((to, turn) =>
    boxesOf(target, to).flatMap((wanted) =>
      [...shards.values()].flatMap(({ box, ranks }): Transfer[] => {
        const start = box.start.map((each, dim) => Math.max(each, wanted.start[dim] ?? 0))
        const shape = start.map((each, dim) => Math.min(end(box, dim), end(wanted, dim)) - each)
        const from = onePool && ranks.includes(to) ? to : (ranks[turn % ranks.length] ?? 0)
        return shape.every((size) => size > 0) ? [{ from, to, start, shape }] : []
      }),
    ),
  )
}

const end = ({ start, shape }: Box, dim: number) => (start[dim] ?? 0) + (shape[dim] ?? 0)

const ranksOf = ({ mesh, ranks }: Held) => ranks ?? Array.from({ length: mesh.world }, (_, rank) => rank)

/** The elements that a rank holds: the product of its runs along each position. */
function boxesOf(held: Held, rank: number): Box[] {
  const at = coordinates(held.mesh, rank)
  return held.shape.reduce<Box[]>(
    (boxes, size, position) => {
      const runs = runsOf(held, position, size, at)
      return boxes.flatMap(({ start, shape }) =>
        runs.map(([first, count]) => ({ start: [...start, first], shape: [...shape, count] })),
      )
    },
    [{ start: [], shape: [] }],
  )
}

/** The runs of one position that a rank holds: along each atom consecutive shares, the first larger, or those of a layout. */
function runsOf(
  { mesh, placement, origin = [], dims = [], layouts = [] }: Held,
  position: number,
  size: number,
  at: ReadonlyMap<string, number>,
): (readonly [number, number])[] {
  const atoms = placement.shards[position] ?? []
  const orders = new Map(
    layouts
      .filter((layout) => layout.dims.includes(dims[position] ?? ''))
      .flatMap(({ axis, order }) => (findAxis(mesh, axis)?.atoms ?? []).map((atom) => [atom, order] as const)),
  )
  const offset = origin[position] ?? 0
  if (!atoms.some((atom) => orders.has(atom))) {
    let [start, count] = [0, size]
    for (const atom of atoms) {
      const [degree, index] = [atomDegree(mesh, atom), at.get(atom) ?? 0]
      start += index * Math.floor(count / degree) + Math.min(index, count % degree)
      count = shareOf(count, degree, index)
    }
    return [[offset + start, count]]
  }
  let left: Int32Array = Int32Array.from({ length: size }, (_, index) => index)
  for (const atom of atoms) {
    const [degree, index] = [atomDegree(mesh, atom), at.get(atom) ?? 0]
    const start = index * Math.floor(left.length / degree) + Math.min(index, left.length % degree)
    const order = orders.get(atom)
    left = order
      ? layoutShare(order, left, degree, index)
      : left.subarray(start, start + shareOf(left.length, degree, index))
  }
  const starts = [...left.keys()].filter((each) => each === 0 || left[each] !== (left[each - 1] ?? 0) + 1)
  return starts.map((each, run) => [offset + (left[each] ?? 0), (starts[run + 1] ?? left.length) - each])
}
