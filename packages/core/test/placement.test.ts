import {
  along,
  coordinates,
  createMesh,
  groupOf,
  groupSize,
  isSlice,
  localShape,
  type Mesh,
  type Placement,
  payloadOf,
  placementText,
  type Reduction,
  replicated,
  ringBytes,
  samePlacement,
  type TransitionStep,
  transition,
  withoutPartial,
} from '@shardloom/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { thrown } from './thrown.js'

const matrix = (
  first: readonly string[],
  second: readonly string[],
  partial: Placement['partial'] = {},
): Placement => ({
  shards: [first, second],
  partial,
})

/**
 * The transitions of one axis and the bytes that a rank sends by a ring, S logical bytes and n ranks: PyTorch DTensor's
 * redistribution table; bytes by Thakur, Rabenseifner and Gropp 2005, section 4, all-to-all as a direct exchange.
 */
const table: readonly [from: string, to: string, op: string, bytes: (s: number, n: number) => number][] = [
  ['R', 'R', '', () => 0],
  ['R', 'S0', 'slice', () => 0],
  ['S0', 'S0', '', () => 0],
  ['S0', 'R', 'all-gather', (s, n) => (s * (n - 1)) / n],
  ['S0', 'S1', 'all-to-all', (s, n) => (s * (n - 1)) / n ** 2],
  ['P', 'P', '', () => 0],
  ['P', 'R', 'all-reduce', (s, n) => (2 * s * (n - 1)) / n],
  ['P', 'S1', 'reduce-scatter', (s, n) => (s * (n - 1)) / n],
]

describe('transition along one axis', () => {
  const states: Record<string, Placement> = {
    R: matrix([], []),
    S0: matrix(['a'], []),
    S1: matrix([], ['a']),
    P: matrix([], [], { a: 'sum' }),
  }
  for (const [from, to, op, bytes] of table) {
    it(`${from} → ${to}: ${op || 'nothing'}`, () => {
      for (const n of [2, 3, 4, 8]) {
        const mesh = createMesh([{ name: 'a', degree: n }])
        const steps = transition(states[from] as Placement, states[to] as Placement, mesh) // both are keys of `states`
        expect(steps.map((step) => step.op).join()).toBe(op)
        const size = 24 * 24 * 2
        const local = (placement: Placement) =>
          localShape([24, 24], placement, mesh, new Map()).reduce((product, each) => product * each, 2)
        const sent = steps.map((step) => ringBytes(step.op, payloadOf(step, local), groupSize(mesh, step.atoms)))
        expect(sent.reduce((a, b) => a + b, 0)).toBeCloseTo(bytes(size, n), 9)
      }
    })
  }

  it('never makes a partial value of a whole one', () => {
    const mesh = createMesh([{ name: 'a', degree: 2 }])
    for (const from of ['R', 'S0'])
      expect(thrown(() => transition(states[from] as Placement, states['P'] as Placement, mesh)).code).toBe('PLACEMENT') // both are keys of `states`
  })
})

describe('transition along several axes', () => {
  const mesh = createMesh([
    { name: 'a', degree: 2 },
    { name: 'b', degree: 3 },
    { name: 'c', degree: 4 },
  ])
  const show = (from: Placement, to: Placement) =>
    transition(from, to, mesh).map((step) => `${step.op}(${step.atoms.join('.')})`)

  it('joins atoms of one fate in one step', () => {
    expect(show(matrix(['a', 'b', 'c'], []), matrix([], []))).toEqual(['all-gather(a.b.c)'])
    expect(show(matrix(['a', 'b', 'c'], []), matrix(['a'], []))).toEqual(['all-gather(b.c)'])
    expect(show(matrix([], [], { a: 'sum', c: 'sum' }), matrix([], []))).toEqual(['all-reduce(a.c)'])
    expect(show(matrix(['a'], [], { b: 'sum', c: 'sum' }), matrix(['a', 'b', 'c'], []))).toEqual([
      'reduce-scatter(b.c)',
    ])
  })

  it('reduces before it gathers, and slices first, so that less is sent', () => {
    expect(show(matrix(['a'], [], { b: 'sum' }), matrix([], ['c']))).toEqual([
      'slice(c)',
      'all-reduce(b)',
      'all-gather(a)',
    ])
  })

  it('moves several atoms to other positions by one all-to-all, from where they stand innermost', () => {
    const cube = (...shards: string[][]): Placement => ({ shards, partial: {} })
    // Experts over data and sequence ranks: one exchange among all of them, not one after the other.
    expect(show(cube(['a', 'b'], ['c'], []), cube(['a'], [], ['b', 'c']))).toEqual(['all-to-all(b.c)'])
    expect(show(cube(['a', 'b', 'c'], [], []), cube(['a'], [], ['b', 'c']))).toEqual(['all-to-all(b.c)'])
    expect(show(cube(['a', 'b'], [], []), cube([], ['a'], ['b']))).toEqual(['all-to-all(a.b)'])
  })

  it('keeps reductions of different kinds apart', () => {
    expect(show(matrix([], [], { a: 'sum', b: 'max' }), matrix([], []))).toEqual(['all-reduce(a)', 'all-reduce(b)'])
  })

  it('refuses to gather silently when two nest the same ranks in different orders', () => {
    for (const [from, to] of [
      [matrix(['a', 'b'], []), matrix(['b', 'a'], [])],
      [matrix(['a', 'b'], []), matrix(['b'], [])],
      [matrix(['a', 'b'], []), matrix(['b'], ['a'])],
    ] as const) {
      const error = thrown(() => transition(from, to, mesh))
      expect(error.code).toBe('ORDER_CONFLICT')
      expect(error.message).toContain(placementText(from))
      expect(error.message).toContain(placementText(to))
    }
  })
})

/** What a rank holds: the global indices per position, in order, and whose terms are summed along each atom. */
interface Held {
  readonly indices: readonly (readonly number[])[]
  readonly terms: Readonly<Record<string, readonly number[]>>
}

/** A matrix that every placement on the mesh divides evenly. */
const shapeOn = (mesh: Mesh) => [2 * mesh.world, mesh.world]
const chunk = (list: readonly number[], count: number, which: number) =>
  list.slice((list.length / count) * which, (list.length / count) * (which + 1))

/** What a placement says that a rank holds, by its definition: consecutive shards, major first. */
function holding(placement: Placement, mesh: Mesh, rank: number): Held {
  const shape = shapeOn(mesh)
  const at = coordinates(mesh, rank)
  const degree = (atom: string) => mesh.atoms.find((each) => each.name === atom)?.degree ?? 1
  const indices = shape.map((size, position) =>
    (placement.shards[position] ?? []).reduce<readonly number[]>(
      (list, atom) => chunk(list, degree(atom), at.get(atom) ?? 0),
      Array.from({ length: size }, (_, index) => index),
    ),
  )
  const terms = Object.keys(placement.partial).map((atom) => [atom, [at.get(atom) ?? 0]] as const)
  return { indices, terms: Object.fromEntries(terms) }
}

/** The ranks of a group in the order in which a collective over `atoms` numbers them. */
function members(mesh: Mesh, rank: number, atoms: readonly string[]): number[] {
  const order = (member: number) =>
    atoms.reduce((number, atom) => number * 100 + (coordinates(mesh, member).get(atom) ?? 0), 0)
  return groupOf(mesh, rank, atoms).sort((a, b) => order(a) - order(b))
}

/** Runs one collective on what all ranks hold, as its name says; returns it with the elements that each rank sends. */
function execute(step: TransitionStep, before: readonly Held[], mesh: Mesh): { after: Held[]; sent: number } {
  const count = (held: Held | undefined) => held?.indices.reduce((product, list) => product * list.length, 1) ?? 0
  const n = groupSize(mesh, step.atoms)
  const local = count(before[0])
  const sums = (group: readonly number[], terms: Held['terms']): Held['terms'] =>
    Object.fromEntries(
      Object.entries(terms).flatMap(([atom, own]) => {
        if (!step.atoms.includes(atom)) return [[atom, own]]
        const all = [...new Set(group.flatMap((member) => before[member]?.terms[atom] ?? []))]
        return all.length === mesh.atoms.find((each) => each.name === atom)?.degree ? [] : [[atom, all]]
      }),
    )
  const grown = (position: number) => step.to.shards[position]?.length !== step.from.shards[position]?.length
  const target = step.to.shards.findIndex(
    (_, position) =>
      grown(position) && (step.to.shards[position]?.length ?? 0) > (step.from.shards[position]?.length ?? 0),
  )
  const source = step.to.shards.findIndex((_, position) => grown(position) && position !== target)
  const after = before.map((held, rank): Held => {
    const group = members(mesh, rank, step.atoms)
    const own = group.indexOf(rank)
    const scattered = held.indices.map((list, position) => (position === target ? chunk(list, n, own) : list))
    const gathered = (lists: readonly (readonly number[])[]) =>
      lists.map((list, position) =>
        position === source ? group.flatMap((member) => before[member]?.indices[source] ?? []) : list,
      )
    if (step.op === 'slice') return { indices: scattered, terms: held.terms }
    if (step.op === 'reduce-scatter') return { indices: scattered, terms: sums(group, held.terms) }
    if (step.op === 'all-reduce') return { indices: held.indices, terms: sums(group, held.terms) }
    if (step.op === 'all-to-all') {
      // Every member has an equal part of what this rank gets, and no two have the same: blocks of one size are exchanged.
      const wanted = holding(step.to, mesh, rank).indices
      const parts = group.map((member) =>
        wanted.map((list, position) => list.filter((index) => before[member]?.indices[position]?.includes(index))),
      )
      for (const indices of parts) expect(count({ indices, terms: {} })).toBe(local / n)
      const keys = parts.map((part) => JSON.stringify(part))
      expect(new Set(keys).size).toBe(n)
      return { indices: wanted, terms: held.terms }
    }
    return { indices: gathered(held.indices), terms: held.terms }
  })
  const factor = { slice: 0, 'reduce-scatter': 1 / n, 'all-reduce': 2 / n, 'all-to-all': 1 / n, 'all-gather': 1 }[
    step.op
  ]
  return { after, sent: factor * local * (n - 1) }
}

const degrees = fc.array(fc.constantFrom(2, 3, 4), { minLength: 1, maxLength: 3 })
const meshes = degrees.map((list) => createMesh(list.map((degree, index) => ({ name: 'abc'[index] ?? '', degree }))))
const reduction = fc.constantFrom<Reduction>('sum', 'max')

/** A random placement of a matrix: every atom is replicated, partial or splits a position, in a random order of nesting. */
function placementOn(mesh: Mesh): fc.Arbitrary<Placement> {
  const names = mesh.atoms.map((atom) => atom.name)
  return fc
    .record({
      order: fc.shuffledSubarray(names, { minLength: names.length }),
      fates: fc.array(fc.nat(3), { minLength: names.length, maxLength: names.length }),
      reductions: fc.array(reduction, { minLength: names.length, maxLength: names.length }),
    })
    .map(({ order, fates, reductions }) => ({
      shards: [0, 1].map((position) => order.filter((_, index) => fates[index] === position)),
      partial: Object.fromEntries(
        order.flatMap((atom, index) => (fates[index] === 2 ? [[atom, reductions[index] ?? 'sum']] : [])),
      ),
    }))
}
const conversions = meshes.chain((mesh) =>
  fc.record({ mesh: fc.constant(mesh), from: placementOn(mesh), to: placementOn(mesh) }),
)

function attempt(from: Placement, to: Placement, mesh: Mesh): readonly TransitionStep[] | string {
  try {
    return transition(from, to, mesh)
  } catch (error) {
    expect(error).toMatchObject({ name: 'ShardloomError' })
    return (error as { code: string }).code // the line above checked it
  }
}

describe('transition, executed on every rank', () => {
  it('each step turns what its `from` says into what its `to` says, and sends what the formulas say', () => {
    fc.assert(
      fc.property(conversions, ({ mesh, from, to }) => {
        const steps = attempt(from, to, mesh)
        if (typeof steps === 'string') {
          expect(['ORDER_CONFLICT', 'PLACEMENT']).toContain(steps)
          return
        }
        const ranks = Array.from({ length: mesh.world }, (_, rank) => rank)
        let current = ranks.map((rank) => holding(from, mesh, rank))
        let placement = from
        for (const step of steps) {
          expect(step.from).toEqual(placement)
          const { after, sent } = execute(step, current, mesh)
          expect(after).toEqual(ranks.map((rank) => holding(step.to, mesh, rank)))
          const local = (each: Placement) =>
            localShape(shapeOn(mesh), each, mesh, new Map()).reduce((product, size) => product * size, 1)
          expect(ringBytes(step.op, payloadOf(step, local), groupSize(mesh, step.atoms))).toBeCloseTo(sent, 9)
          current = after
          placement = step.to
        }
        expect(placementText(placement)).toBe(placementText(to))
        expect(current).toEqual(ranks.map((rank) => holding(to, mesh, rank)))
      }),
      { numRuns: 2000 },
    )
  })

  it('fails only on different orders of nesting or for a whole value wanted as a partial one', () => {
    fc.assert(
      fc.property(conversions, ({ mesh, from, to }) => {
        const steps = attempt(from, to, mesh)
        const names = mesh.atoms.map((atom) => atom.name)
        const madePartial = names.some((atom) => to.partial[atom] && to.partial[atom] !== from.partial[atom])
        const one = names.length === 1
        if (madePartial) expect(typeof steps).toBe('string')
        else if (one) expect(typeof steps).not.toBe('string')
      }),
      { numRuns: 1000 },
    )
  })

  it('is needed exactly where a reader cannot slice', () => {
    fc.assert(
      fc.property(conversions, ({ mesh, from, to }) => {
        const steps = attempt(from, to, mesh)
        if (isSlice(from, to)) expect(steps).not.toBeTypeOf('string')
        if (typeof steps === 'string') return
        expect(steps.every((step) => step.op === 'slice')).toBe(isSlice(from, to))
      }),
      { numRuns: 1000 },
    )
  })

  it('goes back and forth to the same place', () => {
    fc.assert(
      fc.property(conversions, ({ mesh, from }) => {
        const whole = replicated(2)
        const start = withoutPartial(from)
        const there = transition(start, whole, mesh)
        const back = transition(whole, start, mesh)
        expect(there.every((step) => step.op === 'all-gather')).toBe(true)
        expect(back.every((step) => step.op === 'slice')).toBe(true)
        expect(back.at(-1)?.to ?? whole).toEqual(start)
      }),
    )
  })
})

describe('placements', () => {
  const pairs = meshes.chain((mesh) => fc.tuple(placementOn(mesh), placementOn(mesh)))

  it('have equal texts exactly when they are equal', () => {
    const plain = ({ shards, partial }: Placement) => JSON.stringify([shards, Object.entries(partial).sort()])
    fc.assert(
      fc.property(pairs, ([a, b]) => {
        expect(placementText(a) === placementText(b)).toBe(plain(a) === plain(b))
        expect(samePlacement(a, b)).toBe(plain(a) === plain(b))
      }),
      { numRuns: 1000 },
    )
  })

  it('have the text that outputs show', () => {
    const placement = matrix([], ['tp', 'cp'], { dp: 'sum' })
    expect(placementText(placement, ['batch', 'seq'])).toBe('seq/tp.cp · partial(sum)/dp')
    expect(placementText(placement)).toBe('1/tp.cp · partial(sum)/dp')
    expect(placementText(replicated(3))).toBe('replicate')
  })

  it('say of each atom one thing', () => {
    const placement = matrix(['a'], ['b', 'c'], { d: 'max' })
    expect(along(placement, 'c')).toEqual({ kind: 'shard', position: 1 })
    expect(along(placement, 'd')).toEqual({ kind: 'partial', reduction: 'max' })
    expect(along(placement, 'e')).toEqual({ kind: 'replicate' })
  })

  it('divide every element among the ranks as often as they replicate it, uneven sizes too', () => {
    const uneven = fc.tuple(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 30 }))
    fc.assert(
      fc.property(conversions, uneven, ({ mesh, from }, sizes) => {
        let total = 0
        for (let rank = 0; rank < mesh.world; rank++)
          total += localShape(sizes, from, mesh, coordinates(mesh, rank)).reduce((product, size) => product * size, 1)
        const copies = mesh.world / groupSize(mesh, from.shards.flat())
        expect(total).toBe(sizes[0] * sizes[1] * copies)
      }),
    )
  })
})
