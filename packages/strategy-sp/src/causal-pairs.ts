import { shareOf, zigzagShare } from '@shardloom/core'
import type { PositionOrder } from './order-positions.js'

/**
 * How many (query, key) pairs of a causal mask each rank of a ring computes in each step: `[rank][step]`, for `seq`
 * positions over `degree` ranks, where a rank meets in step `i` the keys of the rank `i` before it. A step takes as long
 * as its slowest rank, so that the rows say what the order of positions is worth. O(seq · degree).
 */
export function causalPairs(seq: number, degree: number, order: PositionOrder): number[][] {
  const all = Int32Array.from({ length: seq }, (_, position) => position)
  let start = 0
  const shares = Array.from({ length: degree }, (_, rank) => {
    const share =
      order === 'zigzag' ? zigzagShare(all, degree, rank) : all.subarray(start, start + shareOf(seq, degree, rank))
    start += share.length
    return share
  })
  const pairs = (queries: Int32Array, keys: Int32Array) => {
    let [seen, count] = [0, 0]
    for (const query of queries) {
      while (seen < keys.length && (keys[seen] ?? seq) <= query) seen++
      count += seen
    }
    return count
  }
  return shares.map((queries, rank) =>
    shares.map((_, step) => pairs(queries, shares[(rank - step + degree) % degree] ?? queries)),
  )
}
