import type { OperatorNode } from '@shardloom/core'
import { transformers } from '@shardloom/models'
import { describe, expect, it } from 'vitest'

const operators = transformers().operators ?? []

/** Twice the pairs, one by one: an earlier key counts, a query's own half, or all of it behind a window. */
function oneByOne(
  [from, to]: readonly number[],
  [first, end]: readonly number[],
  { window, chunk }: { window?: number; chunk?: number },
): bigint {
  let sum = 0n
  for (let query = from ?? 0; query < (to ?? 0); query++)
    for (let key = first ?? 0; key < (end ?? 0); key++) {
      if (key > query || (chunk && Math.floor(key / chunk) < Math.floor(query / chunk))) continue
      if (window && key <= query - window) continue
      sum += key < query || window ? 2n : 1n
    }
  return sum
}

const node = (pairs: Record<string, number>): OperatorNode => ({
  type: 'node',
  id: 'softmax',
  kind: 'compute',
  op: 'softmax',
  rule: 'seq kv_seq -> seq kv_seq',
  inputs: [],
  outputs: [],
  segment: 'forward',
  module: '',
  attributes: { pairs },
})

describe('causal pairs that count', () => {
  const count = (pairs: Record<string, number>) => {
    const found = operators.find(({ name }) => name === 'softmax')?.pairs?.(node(pairs))
    if (!found) throw new Error('softmax counts no pairs')
    return found.count
  }

  it.each([{}, { window: 5 }, { window: 1 }, { chunk: 4 }, { chunk: 7 }])(
    '%j, between any runs of queries and keys, are those counted one by one',
    (limit) => {
      for (const queries of [
        [0, 12],
        [3, 9],
        [8, 12],
        [5, 6],
      ] as const)
        for (const keys of [
          [0, 12],
          [0, 4],
          [2, 7],
          [9, 12],
        ] as const)
          expect(count(limit)([queries], [keys], 0)).toBe(oneByOne(queries, keys, limit))
    },
  )

  it('are half of all, and behind a window w n − w(w − 1)/2 of n queries', () => {
    const all = [[0, 100]] as const
    expect(count({})(all, all, 0)).toBe(100n ** 2n)
    expect(count({ window: 30 })(all, all, 0)).toBe(2n * 30n * 100n - 30n * 29n)
  })

  it('with a cache grow from iteration to iteration, and add up to those of the whole sequence', () => {
    const chunks = count({ position: 8, advance: 4 })
    const sum = [0, 1, 2].reduce((total, iteration) => total + chunks([[0, 4]], [[0, 20]], iteration), 0n)
    expect(sum).toBe(20n ** 2n - 8n ** 2n)
  })
})
