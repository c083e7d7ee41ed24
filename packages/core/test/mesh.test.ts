import {
  type Axis,
  atomDegree,
  axesOf,
  coordinates,
  createMesh,
  divisors,
  findAxis,
  groupOf,
  groupSize,
  maximumWorld,
  rankAt,
  shareOf,
} from '@shardloom/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { thrown } from './thrown.js'

const degree = fc.constantFrom(1, 2, 3, 4)
const axesOfDegrees = (degrees: readonly number[]): Axis[] =>
  degrees.map((each, index) => ({ name: `axis${index}`, degree: each }))
const meshes = fc.array(degree, { minLength: 1, maxLength: 4 }).map((degrees) => createMesh(axesOfDegrees(degrees)))

describe('createMesh', () => {
  it('counts ranks with the last axis fastest', () => {
    const mesh = createMesh([
      { name: 'dp', degree: 2 },
      { name: 'tp', degree: 3 },
    ])
    expect(mesh.world).toBe(6)
    expect([...coordinates(mesh, 4)]).toEqual([
      ['dp', 1],
      ['tp', 1],
    ])
    expect(groupOf(mesh, 4, ['tp'])).toEqual([3, 4, 5])
    expect(groupOf(mesh, 4, ['dp'])).toEqual([1, 4])
    expect(groupOf(mesh, 4, ['tp', 'dp'])).toEqual([0, 1, 2, 3, 4, 5])
    expect(groupOf(mesh, 4, [])).toEqual([4])
  })

  it('gives an axis of degree 1 no atoms', () => {
    const mesh = createMesh([
      { name: 'dp', degree: 1 },
      { name: 'tp', degree: 2 },
    ])
    expect(mesh.atoms).toEqual([{ name: 'tp', degree: 2 }])
    expect(findAxis(mesh, 'dp')).toEqual({ name: 'dp', degree: 1, atoms: [] })
    expect(createMesh([])).toEqual({ world: 1, atoms: [], axes: [] })
  })

  it('divides an axis by its factors, major first', () => {
    const mesh = createMesh([{ name: 'tp', degree: 8, factors: [4, 2] }])
    expect(mesh.atoms).toEqual([
      { name: 'tp.0', degree: 4 },
      { name: 'tp.1', degree: 2 },
    ])
    expect(groupOf(mesh, 5, ['tp.1'])).toEqual([4, 5])
    expect(groupOf(mesh, 5, ['tp.0'])).toEqual([1, 3, 5, 7])
  })

  it('lets a second factorisation of the same ranks share the atoms', () => {
    const dense = [
      { name: 'dp', degree: 4 },
      { name: 'tp', degree: 2 },
    ]
    const experts = [
      { name: 'edp', degree: 2 },
      { name: 'ep', degree: 4 },
    ]
    const mesh = createMesh(dense, experts)
    expect(mesh.atoms.map((atom) => atom.degree)).toEqual([2, 2, 2])
    // ep counts the fastest four ranks: the inner half of dp, and tp.
    expect(groupOf(mesh, 0, findAxis(mesh, 'ep')?.atoms ?? [])).toEqual([0, 1, 2, 3])
    expect(groupOf(mesh, 0, findAxis(mesh, 'dp')?.atoms ?? [])).toEqual([0, 2, 4, 6])
    expect(groupOf(mesh, 0, findAxis(mesh, 'edp')?.atoms ?? [])).toEqual([0, 4])
  })

  it('re-factors the innermost ranks alone when a further factorisation has fewer', () => {
    const first = ['pp', 'dp', 'tp'].map((name) => ({ name, degree: 2 }))
    const mesh = createMesh(first, [
      { name: 'edp', degree: 1 },
      { name: 'ep', degree: 4 },
    ])
    expect(mesh.world).toBe(8)
    expect(groupOf(mesh, 5, findAxis(mesh, 'ep')?.atoms ?? [])).toEqual([4, 5, 6, 7])
    expect(groupOf(mesh, 5, findAxis(mesh, 'pp')?.atoms ?? [])).toEqual([1, 5])
  })

  it('refuses factorisations that do not nest or do not match', () => {
    const pair = (a: number, b: number, names: string) => [
      { name: `${names}0`, degree: a },
      { name: `${names}1`, degree: b },
    ]
    expect(thrown(() => createMesh(pair(2, 3, 'a'), pair(3, 2, 'b')))).toMatchObject({ code: 'MESH_FACTORS' })
    const error = thrown(() => createMesh(pair(2, 3, 'a'), pair(2, 2, 'b')))
    expect(error.code).toBe('MESH_FACTORS')
    expect(error.message).toContain('4 ranks')
    expect(error.message).toContain('6')
    expect(thrown(() => createMesh([{ name: 'tp', degree: 8, factors: [4, 4] }]))).toMatchObject({
      code: 'MESH_FACTORS',
    })
  })

  it('refuses a name twice, and degrees that are none', () => {
    expect(thrown(() => createMesh([{ name: 'tp', degree: 2 }], [{ name: 'tp', degree: 2 }])).code).toBe('AXIS_TWICE')
    for (const wrong of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
      expect(thrown(() => createMesh([{ name: 'tp', degree: wrong }])).code, String(wrong)).toBe('DEGREE')
    expect(thrown(() => createMesh([{ name: 'tp', degree: 4, factors: [0.5, 8] }])).code).toBe('DEGREE')
  })

  it('refuses names of axes that would collide with atoms or with what every object has', () => {
    for (const name of ['', 'tp.0', 'a b', '__proto__', 'constructor', 'toString'])
      expect(thrown(() => createMesh([{ name, degree: 2 }])).code, name).toBe('AXIS_NAME')
  })

  it('refuses more ranks than can be numbered', () => {
    const error = thrown(() => createMesh(axesOfDegrees([65536, 65536])))
    expect(error.code).toBe('MESH_SIZE')
    expect(error.help).toContain(String(maximumWorld))
  })

  it('refines any two groupings of one chain of atoms', () => {
    const chain = fc.array(fc.constantFrom(2, 3, 4), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(chain, fc.array(fc.boolean(), { minLength: 5, maxLength: 5 }), (degrees, cuts) => {
        const grouped: number[] = []
        degrees.forEach((each, index) => {
          if (index > 0 && cuts[index]) grouped[grouped.length - 1] = (grouped.at(-1) ?? 1) * each
          else grouped.push(each)
        })
        const mesh = createMesh(
          axesOfDegrees(degrees),
          grouped.map((each, index) => ({ name: `other${index}`, degree: each })),
        )
        expect(mesh.atoms.map((atom) => atom.degree)).toEqual(degrees)
        for (const axis of mesh.axes) expect(groupSize(mesh, axis.atoms)).toBe(axis.degree)
        const others = mesh.axes.filter((axis) => axis.name.startsWith('other'))
        expect(others.flatMap((axis) => axis.atoms)).toEqual(mesh.atoms.map((atom) => atom.name))
      }),
    )
  })
})

describe('ranks and groups', () => {
  it('rankAt undoes coordinates', () => {
    fc.assert(
      fc.property(meshes, (mesh) => {
        for (let rank = 0; rank < mesh.world; rank++) expect(rankAt(mesh, coordinates(mesh, rank))).toBe(rank)
      }),
    )
  })

  it('groups over any atoms divide the ranks into equal classes', () => {
    fc.assert(
      fc.property(meshes, fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }), (mesh, chosen) => {
        const atoms = mesh.atoms.flatMap((atom, index) => (chosen[index] ? [atom.name] : []))
        const groups = new Set<string>()
        for (let rank = 0; rank < mesh.world; rank++) {
          const group = groupOf(mesh, rank, atoms)
          expect(group).toContain(rank)
          expect(group).toHaveLength(groupSize(mesh, atoms))
          for (const member of group) expect(groupOf(mesh, member, [...atoms].reverse())).toEqual(group)
          groups.add(group.join())
        }
        expect(groups.size * groupSize(mesh, atoms)).toBe(mesh.world)
      }),
    )
  })

  it('refuses ranks and atoms that do not exist', () => {
    const mesh = createMesh([{ name: 'tp', degree: 2 }])
    for (const rank of [-1, 2, 0.5, Number.NaN]) expect(thrown(() => coordinates(mesh, rank)).code).toBe('RANK')
    expect(thrown(() => atomDegree(mesh, 'pp')).code).toBe('UNKNOWN_ATOM')
  })

  it('names whole axes by their name and parts of a divided axis by their atom', () => {
    const mesh = createMesh([
      { name: 'dp', degree: 2 },
      { name: 'tp', degree: 4, factors: [2, 2] },
    ])
    expect(axesOf(mesh, ['tp.0', 'tp.1'])).toEqual(['tp'])
    expect(axesOf(mesh, ['tp.1'])).toEqual(['tp.1'])
    expect(axesOf(mesh, ['dp', 'tp.0'])).toEqual(['dp', 'tp.0'])
  })
})

describe('shares', () => {
  it('sum to the size, differ by one at most and do not grow', () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.integer({ min: 1, max: 40 }), (size, ranks) => {
        const shares = Array.from({ length: ranks }, (_, index) => shareOf(size, ranks, index))
        expect(shares.reduce((a, b) => a + b, 0)).toBe(size)
        expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1)
        expect(shares).toEqual([...shares].sort((a, b) => b - a))
      }),
    )
  })

  it('divisors are all the numbers that leave no rest', () => {
    for (let size = 1; size <= 200; size++) {
      const expected = Array.from({ length: size }, (_, index) => index + 1).filter((each) => size % each === 0)
      expect(divisors(size)).toEqual(expected)
    }
  })
})
