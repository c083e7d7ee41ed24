import { coordinates, createMesh, localShape } from '@shardloom/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { planTransfer } from '../src/index.js'

const product = (sizes: readonly number[]) => sizes.reduce((all, size) => all * size, 1)

/** A cache of sequences, positions and heads on a mesh whose axes split these dims, or leave copies. */
const pools = fc
  .tuple(
    fc.constantFrom(1, 2, 3, 4),
    fc.constantFrom(1, 2, 3, 4),
    fc.constantFrom(1, 2, 3),
    fc.constantFrom(0, 1, 2, 3),
  )
  .map(([dp, tp, cp, whole]) => {
    const mesh = createMesh([
      { name: 'dp', degree: dp },
      { name: 'cp', degree: cp },
      { name: 'tp', degree: tp },
    ])
    const over = (name: string, split: boolean) =>
      split && mesh.atoms.some((atom) => atom.name === name) ? [name] : []
    const shards = [over('dp', true), over('cp', whole % 2 === 0), over('tp', whole < 2)]
    return { mesh, placement: { shards, partial: {} } }
  })

test('each rank gets every element of its shard once, from a rank that holds it', () => {
  fc.assert(
    fc.property(pools, pools, fc.constantFrom([12, 12, 12], [5, 7, 3]), (from, to, shape) => {
      const transfers = planTransfer({ ...from, shape }, { ...to, shape })
      for (let rank = 0; rank < to.mesh.world; rank++) {
        const elements = transfers
          .filter((each) => each.to === rank)
          .flatMap(({ start: [b = 0, s = 0, h = 0], shape: [batch = 0, seq = 0, heads = 0] }) =>
            Array.from({ length: batch * seq * heads }, (_, index) => {
              const [i, j, k] = [Math.floor(index / (seq * heads)), Math.floor(index / heads) % seq, index % heads]
              return `${b + i} ${s + j} ${h + k}`
            }),
          )
        expect(new Set(elements).size).toBe(elements.length)
        expect(elements.length).toBe(product(localShape(shape, to.placement, to.mesh, coordinates(to.mesh, rank))))
      }
      for (let rank = 0; rank < from.mesh.world; rank++) {
        const held = localShape(shape, from.placement, from.mesh, coordinates(from.mesh, rank))
        const sent = transfers.filter((each) => each.from === rank)
        expect(sent.every((each) => each.shape.every((size, dim) => size <= (held[dim] ?? 0)))).toBe(true)
      }
    }),
    { numRuns: 100 },
  )
})

test('tp 4 to tp 8: each rank halves its heads between two; copies take turns', () => {
  const pool = (tp: number, split: boolean) => ({
    mesh: createMesh([{ name: 'tp', degree: tp }]),
    placement: { shards: [[], [], split ? ['tp'] : []], partial: {} },
    shape: [1, 16, 8],
  })
  const wider = planTransfer(pool(4, true), pool(8, true))
  expect(wider.map(({ from, to, shape }) => [from, to, ...shape])).toEqual(
    Array.from({ length: 8 }, (_, to) => [Math.floor(to / 2), to, 1, 16, 1]),
  )
  expect(planTransfer(pool(4, false), pool(8, true)).map(({ from }) => from)).toEqual([0, 1, 2, 3, 0, 1, 2, 3])
})

test('room for the next token is left to the reader', () => {
  const mesh = createMesh([{ name: 'dcp', degree: 2 }])
  const from = { mesh: createMesh([]), placement: { shards: [[], []], partial: {} }, shape: [1, 7] }
  const to = { mesh, placement: { shards: [[], ['dcp']], partial: {} }, shape: [1, 8] }
  expect(planTransfer(from, to).map(({ start, shape }) => [...start, ...shape])).toEqual([
    [0, 0, 1, 4],
    [0, 4, 1, 3],
  ])
})
