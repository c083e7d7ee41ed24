import { atomDegree, coordinates, type Mesh, type Placement, shareOf } from '@shardloom/core'

/** A tensor as the ranks of one pool hold it. A pool may have more room than the other has elements. */
export interface Held {
  readonly mesh: Mesh
  readonly placement: Placement
  readonly shape: readonly number[]
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
 * O(ranks of the second pool × distinct shards of the first).
 */
export function planTransfer(source: Held, target: Held): Transfer[] {
  const shards = new Map<string, { readonly box: Box; readonly ranks: number[] }>()
  for (let rank = 0; rank < source.mesh.world; rank++) {
    const box = boxOf(source, rank)
    const key = `${box.start} ${box.shape}`
    const known = shards.get(key)
    if (known) known.ranks.push(rank)
    else shards.set(key, { box, ranks: [rank] })
  }
  return Array.from({ length: target.mesh.world }, (_, to) => {
    const wanted = boxOf(target, to)
    return [...shards.values()].flatMap(({ box, ranks }): Transfer[] => {
      const start = box.start.map((each, dim) => Math.max(each, wanted.start[dim] ?? 0))
      const shape = start.map((each, dim) => Math.min(end(box, dim), end(wanted, dim)) - each)
      const from = ranks[to % ranks.length] ?? 0
      return shape.every((size) => size > 0) ? [{ from, to, start, shape }] : []
    })
  }).flat()
}

const end = ({ start, shape }: Box, dim: number) => (start[dim] ?? 0) + (shape[dim] ?? 0)

/** The elements that a rank holds: consecutive shards along the atoms of each position, the first shares larger. */
function boxOf({ mesh, placement, shape }: Held, rank: number): Box {
  const at = coordinates(mesh, rank)
  const starts: number[] = []
  const sizes = shape.map((size, position) => {
    let [start, count] = [0, size]
    for (const atom of placement.shards[position] ?? []) {
      const [degree, index] = [atomDegree(mesh, atom), at.get(atom) ?? 0]
      start += index * Math.floor(count / degree) + Math.min(index, count % degree)
      count = shareOf(count, degree, index)
    }
    starts.push(start)
    return count
  })
  return { start: starts, shape: sizes }
}
