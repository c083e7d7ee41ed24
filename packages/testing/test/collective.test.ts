import {
  coordinates,
  createMesh,
  type Mesh,
  neighbour,
  type OperatorNode,
  type Placement,
  type Reduction,
  replicated,
  transition,
} from '@shardloom/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Block, elementsOf, shardPositions } from '../src/block.js'
import { exchange, groupsOver } from '../src/collective.js'

const line = (degree: number) => createMesh([{ name: 'a', degree }])

function nodeOf(op: string, from: Placement, to: Placement, atoms: readonly string[], reduction?: Reduction) {
  const communication = {
    atoms,
    from,
    to,
    ...(reduction && { reduction }),
    reason: { tensor: 'x', producer: null, consumer: 'y', strategies: [] },
  }
  const node: OperatorNode = {
    type: 'node',
    id: op,
    kind: 'communication',
    op,
    rule: '. -> .',
    inputs: ['x'],
    outputs: ['y'],
    segment: 'forward',
    module: '',
    communication,
  }
  return { node, communication }
}

const positionsOf = (shape: readonly number[], placement: Placement, mesh: Mesh, rank: number) =>
  shape.map((size, dim) => shardPositions(size, placement.shards[dim] ?? [], mesh, coordinates(mesh, rank)))

/** Runs one collective over all groups of a mesh. */
function run(
  mesh: Mesh,
  op: string,
  shape: readonly number[],
  from: Placement,
  to: Placement,
  atoms: readonly string[],
  blocks: readonly Block[],
  reduction?: Reduction,
): readonly Block[] {
  const results: Block[] = []
  for (const members of groupsOver(mesh, atoms)) {
    const given = members.map((rank) => blocks[rank] ?? { positions: [], values: new Float64Array() })
    const wanted = members.map((rank) => positionsOf(shape, to, mesh, rank))
    const received = exchange({ ...nodeOf(op, from, to, atoms, reduction), members, given, wanted })
    if ('why' in received) throw new Error(received.why)
    members.forEach((rank, index) => {
      const block = received[index]
      if (block) results[rank] = block
    })
  }
  return results
}

const vector = (...values: number[]): Block => ({
  positions: [shardPositions(values.length, [], line(2), new Map())],
  values: Float64Array.from(values),
})
const numbers = (blocks: readonly Block[]) => blocks.map(({ values }) => [...values])
const whole = replicated(1)
const shard: Placement = { shards: [['a']], partial: {} }
const partial = (reduction: Reduction): Placement => ({ shards: [[]], partial: { a: reduction } })
/** The part of a vector that a rank of a line holds. */
const own = (mesh: Mesh, rank: number, all: readonly number[]): Block => {
  const positions = positionsOf([all.length], shard, mesh, rank)
  return { positions, values: Float64Array.from(positions[0] ?? [], (at) => all[at] ?? Number.NaN) }
}

describe('collectives do what the MPI standard says', () => {
  const three = line(3)
  const terms = [vector(1, 2, 3, 4), vector(10, 20, 30, 40), vector(100, 200, 300, 400)]

  it('all-reduce: every rank gets the sum, or the maximum, of all', () => {
    const sums = run(three, 'all-reduce', [4], partial('sum'), whole, ['a'], terms, 'sum')
    expect(numbers(sums)).toEqual(Array(3).fill([111, 222, 333, 444]))
    const mixed = [vector(5, -2), vector(-1, 7), vector(3, 0)]
    const maxima = run(three, 'all-reduce', [2], partial('max'), whole, ['a'], mixed, 'max')
    expect(numbers(maxima)).toEqual(Array(3).fill([5, 7]))
  })

  it('reduce-scatter: rank i gets block i of the sum; the first size mod degree blocks have one more', () => {
    const result = run(three, 'reduce-scatter', [4], partial('sum'), shard, ['a'], terms, 'sum')
    expect(numbers(result)).toEqual([[111, 222], [333], [444]])
    expect(result.map(({ positions }) => [...(positions[0] ?? [])])).toEqual([[0, 1], [2], [3]])
  })

  it('all-gather: every rank gets all blocks in the order of the ranks', () => {
    const all = [7, 8, 9, 10, 11]
    const given = [0, 1, 2].map((rank) => own(three, rank, all))
    expect(numbers(given)).toEqual([[7, 8], [9, 10], [11]])
    expect(numbers(run(three, 'all-gather', [5], shard, whole, ['a'], given))).toEqual(Array(3).fill(all))
  })

  it('reduce-scatter and all-gather together are all-reduce', () => {
    const scattered = run(three, 'reduce-scatter', [4], partial('sum'), shard, ['a'], terms, 'sum')
    const gathered = run(three, 'all-gather', [4], shard, whole, ['a'], scattered)
    expect(gathered).toEqual(run(three, 'all-reduce', [4], partial('sum'), whole, ['a'], terms, 'sum'))
  })

  it('all-to-all: block j of rank i becomes block i of rank j', () => {
    const two = line(2)
    const rows: Placement = { shards: [['a'], []], partial: {} }
    const columns: Placement = { shards: [[], ['a']], partial: {} }
    // The matrix 0 1 2 / 3 4 5 / 6 7 8, by rows and then by columns.
    const given = [0, 1].map((rank): Block => {
      const positions = positionsOf([3, 3], rows, two, rank)
      const [held = new Int32Array()] = positions
      return { positions, values: Float64Array.from([...held].flatMap((row) => [3 * row, 3 * row + 1, 3 * row + 2])) }
    })
    const turned = run(two, 'all-to-all', [3, 3], rows, columns, ['a'], given)
    expect(numbers(turned)).toEqual([
      [0, 1, 3, 4, 6, 7],
      [2, 5, 8],
    ])
    expect(numbers(run(two, 'all-to-all', [3, 3], columns, rows, ['a'], turned))).toEqual(numbers(given))
  })

  it('broadcast: every rank gets what the first of the group has', () => {
    const result = run(three, 'broadcast', [2], whole, whole, ['a'], [vector(1, 2), vector(0, 0), vector(9, 9)])
    expect(numbers(result)).toEqual(Array(3).fill([1, 2]))
  })

  it('fewer elements than ranks leave ranks with nothing, and nothing is lost', () => {
    const five = line(5)
    const given = [0, 1, 2, 3, 4].map((rank) => own(five, rank, [3, 4]))
    expect(given.map(({ positions }) => elementsOf(positions))).toEqual([1, 1, 0, 0, 0])
    expect(numbers(run(five, 'all-gather', [2], shard, whole, ['a'], given))).toEqual(Array(5).fill([3, 4]))
    const scattered = run(five, 'reduce-scatter', [2], partial('sum'), shard, ['a'], Array(5).fill(vector(1, 2)), 'sum')
    expect(numbers(scattered)).toEqual([[5], [10], [], [], []])
  })

  it('the log-sum-exp merge is a softmax average of rows by their weights', () => {
    const row = (value: number, weight: number): Block => ({
      positions: positionsOf([1, 1], replicated(2), three, 0),
      values: Float64Array.of(value),
      logSumExp: Float64Array.of(weight),
    })
    // Weights log 1, log 2 and log 5: (1 · 8 + 2 · 4 + 5 · 16) / 8 = 12, and log(1 + 2 + 5).
    const terms = [row(8, 0), row(4, Math.log(2)), row(16, Math.log(5))]
    const [merged] = run(
      three,
      'all-reduce',
      [1, 1],
      { ...replicated(2), partial: { a: 'lse' } },
      replicated(2),
      ['a'],
      terms,
      'lse',
    )
    expect(merged?.values[0]).toBeCloseTo(12, 12)
    expect(merged?.logSumExp?.[0]).toBeCloseTo(Math.log(8), 12)
    // A term that attends to nothing weighs nothing; large weights do not overflow.
    const extreme = [row(8, 800), row(4, Number.NEGATIVE_INFINITY), row(16, 800)]
    const [same] = run(
      three,
      'all-reduce',
      [1, 1],
      { ...replicated(2), partial: { a: 'lse' } },
      replicated(2),
      ['a'],
      extreme,
      'lse',
    )
    expect(same?.values[0]).toBeCloseTo(12, 12)
  })

  it('terms of different parts cannot be added, and elements that nobody has cannot be given', () => {
    const parts = [0, 1, 2].map((rank) => own(three, rank, [1, 2, 3]))
    expect(() => run(three, 'all-reduce', [3], partial('sum'), whole, ['a'], parts, 'sum')).toThrow(/different parts/)
    expect(() => run(three, 'all-gather', [3], shard, whole, ['a'], [parts[0], parts[0], parts[1]] as Block[])).toThrow(
      /lack elements/,
    )
  })
})

describe('groups and neighbours', () => {
  const mesh = createMesh([
    { name: 'a', degree: 2 },
    { name: 'b', degree: 3 },
  ])

  it('groups differ on their atoms only, and every rank is in one', () => {
    expect(groupsOver(mesh, ['b'])).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ])
    expect(groupsOver(mesh, ['a'])).toEqual([
      [0, 3],
      [1, 4],
      [2, 5],
    ])
    expect(groupsOver(mesh, ['a', 'b'])).toEqual([[0, 1, 2, 3, 4, 5]])
    expect(groupsOver(mesh, [])).toEqual([[0], [1], [2], [3], [4], [5]])
  })

  it('a ring over some atoms closes, the first of them major', () => {
    expect([0, 1, 2, 3, 4, 5].map((rank) => neighbour(mesh, rank, ['b'], 1))).toEqual([1, 2, 0, 4, 5, 3])
    expect([0, 1, 2, 3, 4, 5].map((rank) => neighbour(mesh, rank, ['b'], -1))).toEqual([2, 0, 1, 5, 3, 4])
    expect([0, 1, 2, 3, 4, 5].map((rank) => neighbour(mesh, rank, ['a', 'b'], 1))).toEqual([1, 2, 3, 4, 5, 0])
    // With `b` major the ring goes 0, 3, 1, 4, 2, 5.
    expect([0, 3, 1, 4, 2, 5].map((rank) => neighbour(mesh, rank, ['b', 'a'], 1))).toEqual([3, 1, 4, 2, 5, 0])
    expect(neighbour(mesh, 0, ['b'], 7)).toBe(1)
  })
})

/** A placement of two positions, drawn atom by atom. */
const placementOver = (atoms: readonly string[], order: readonly string[], partials: boolean) =>
  fc
    .tuple(...atoms.map(() => fc.constantFrom('none', '0', '1', ...(partials ? ['sum'] : []))))
    .map((choices): Placement => {
      const at = (dim: string) => order.filter((atom) => choices[atoms.indexOf(atom)] === dim)
      const sums = atoms.filter((_, index) => choices[index] === 'sum')
      return { shards: [at('0'), at('1')], partial: Object.fromEntries(sums.map((atom) => [atom, 'sum' as const])) }
    })

it('any conversion between two placements, step by step, ends with each rank holding its part of the value', () => {
  const shapes = fc.tuple(fc.integer({ min: 1, max: 7 }), fc.integer({ min: 1, max: 5 }))
  const atoms = ['a', 'b', 'c']
  const placements = fc
    .constantFrom(atoms, ['c', 'a', 'b'])
    .chain((order) => fc.tuple(placementOver(atoms, order, true), placementOver(atoms, order, false)))
  let steps = 0
  const degrees = fc.tuple(fc.constantFrom(2, 3), fc.constantFrom(1, 2, 3), fc.constantFrom(2, 4))
  fc.assert(
    fc.property(degrees, shapes, placements, (sizes, shape, [from, goal]) => {
      const mesh = createMesh(atoms.map((name, index) => ({ name, degree: sizes[index] ?? 1 })))
      const known = new Set(mesh.atoms.map(({ name }) => name))
      const only = ({ shards, partial }: Placement): Placement => ({
        shards: shards.map((list) => list.filter((atom) => known.has(atom))),
        partial: Object.fromEntries(Object.entries(partial).filter(([atom]) => known.has(atom))),
      })
      let list: ReturnType<typeof transition>
      try {
        list = transition(only(from), only(goal), mesh)
      } catch {
        return
      }
      const value = (row: number, column: number) => 1 + row * 10 + column
      // Every term of a partial sum is another multiple of the value; together they make it once.
      const sums = Object.keys(only(from).partial)
      const share = (rank: number) => {
        const at = coordinates(mesh, rank)
        const last = sums.every(
          (atom) => at.get(atom) === (mesh.atoms.find(({ name }) => name === atom)?.degree ?? 1) - 1,
        )
        const terms = sums.reduce(
          (product, atom) => product * (mesh.atoms.find(({ name }) => name === atom)?.degree ?? 1),
          1,
        )
        return last ? 1 - 2 * (terms - 1) : 2
      }
      const filled = (placement: Placement, factor: (rank: number) => number) =>
        Array.from({ length: mesh.world }, (_, rank): Block => {
          const positions = positionsOf(shape, placement, mesh, rank)
          const [rows = new Int32Array(), columns = new Int32Array()] = positions
          const values = [...rows].flatMap((row) => [...columns].map((column) => factor(rank) * value(row, column)))
          return { positions, values: Float64Array.from(values) }
        })
      let blocks: readonly Block[] = filled(only(from), share)
      for (const step of list) {
        steps++
        blocks =
          step.op === 'slice'
            ? blocks.map((block, rank) => sliced(block, positionsOf(shape, step.to, mesh, rank)))
            : run(mesh, step.op, shape, step.from, step.to, step.atoms, blocks, step.reduction)
      }
      const expected = filled(only(goal), () => 1)
      for (const [rank, block] of blocks.entries())
        expect([...block.values]).toEqual([...(expected[rank]?.values ?? [])])
    }),
    { seed: 3, numRuns: 300 },
  )
  expect(steps).toBeGreaterThan(300)
})

/** The elements of a matrix at some rows and columns, by search. */
function sliced({ positions, values }: Block, wanted: readonly Int32Array[]): Block {
  const [rows = new Int32Array(), columns = new Int32Array()] = positions
  const [wantedRows = new Int32Array(), wantedColumns = new Int32Array()] = wanted
  const found = [...wantedRows].flatMap((row) =>
    [...wantedColumns].map(
      (column) => values[rows.indexOf(row) * columns.length + columns.indexOf(column)] ?? Number.NaN,
    ),
  )
  return { positions: wanted, values: Float64Array.from(found) }
}
