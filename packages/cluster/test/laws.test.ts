/** What must hold for any cluster, group and payload. */
import {
  type Algorithm,
  busBandwidth,
  type CollectiveOp,
  candidates,
  clusterNames,
  collectiveCost,
  collectiveOps,
  collectiveSeconds,
  flatGroup,
  type Group,
  groupOver,
  resolveCluster,
} from '@shardloom/cluster'
import { createMesh } from '@shardloom/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

const bytesOf = fc.double({ min: 0, max: 1e11, noNaN: true })
const op = fc.constantFrom(...collectiveOps)
const power = (most: number) => fc.integer({ min: 0, max: most }).map((exponent) => 2 ** exponent)

/** Groups on known clusters: over the inner, the outer or both of two axes. */
const group: fc.Arbitrary<Group> = fc
  .record({
    name: fc.constantFrom(...clusterNames()),
    outer: power(6),
    inner: power(6),
    which: fc.constantFrom(['inner'], ['outer'], ['outer', 'inner']),
    concurrent: fc.constantFrom('all' as const, 'one' as const),
  })
  .map(({ name, outer, inner, which, concurrent }) => {
    const axes = [
      { name: 'outer', degree: outer },
      { name: 'inner', degree: inner },
    ]
    const mesh = createMesh(axes)
    const atoms = which.filter((axis) => mesh.atoms.some((atom) => atom.name === axis))
    return groupOver(resolveCluster(name), mesh, atoms, { concurrent })
  })

const twoLevels = (inner: number, outer: number, fast: number, slow: number): Group => ({
  ...flatGroup(inner * outer, { bandwidth: 1, latency: 0 }),
  levels: [
    { name: 'node', members: inner, bandwidth: fast, latency: 0, network: false },
    { name: 'network', members: outer, bandwidth: slow, latency: 0, network: true },
  ],
})

/** The algorithms that carry out an op over a group. */
function able(of: Group, collective: CollectiveOp): Algorithm[] {
  const all: Algorithm[] = [
    'ring',
    'tree',
    'halving-doubling',
    'hierarchical',
    'torus',
    'in-switch',
    'direct',
    'pairwise',
  ]
  return all.filter((algorithm) => {
    try {
      collectiveSeconds(of, { op: collective, bytes: 1, algorithm })
      return true
    } catch {
      return false
    }
  })
}

describe('collectives', () => {
  test('more bytes never take less time, whatever is chosen', () => {
    fc.assert(
      fc.property(group, op, bytesOf, bytesOf, (on, each, a, b) => {
        const [less, more] = [Math.min(a, b), Math.max(a, b)].map((bytes) => collectiveSeconds(on, { op: each, bytes }))
        expect(more).toBeGreaterThanOrEqual(less ?? Infinity)
      }),
      { numRuns: 1000 },
    )
  })

  test('nothing and nobody take no time', () => {
    fc.assert(
      fc.property(group, op, bytesOf, (on, each, bytes) => {
        expect(collectiveSeconds(on, { op: each, bytes: 0 })).toBe(0)
        expect(collectiveSeconds(flatGroup(1, { bandwidth: 1, latency: 1 }), { op: each, bytes })).toBe(0)
        if (on.size > 1 && bytes > 0) expect(collectiveSeconds(on, { op: each, bytes })).toBeGreaterThan(0)
      }),
    )
  })

  test('the chosen algorithm is the fastest candidate, and its parts add up', () => {
    fc.assert(
      fc.property(group, op, bytesOf, (on, each, bytes) => {
        fc.pre(on.size > 1 && bytes > 0)
        const cost = collectiveCost(on, { op: each, bytes })
        const times = candidates(each, on).map((algorithm) => collectiveSeconds(on, { op: each, bytes, algorithm }))
        expect(cost.seconds).toBe(Math.min(...times))
        const parts = cost.launchSeconds + cost.stepSeconds + cost.transferSeconds + cost.fillSeconds
        expect(cost.seconds).toBeCloseTo(parts, 12)
      }),
    )
  })

  test('more ranks on one switch never take less time for the same tensor, whatever the algorithm', () => {
    const growing: readonly (readonly [CollectiveOp, Algorithm])[] = [
      ['all-reduce', 'ring'],
      ['all-reduce', 'tree'],
      ['all-reduce', 'halving-doubling'],
      ['all-gather', 'ring'],
      ['all-gather', 'halving-doubling'],
      ['reduce-scatter', 'ring'],
      ['broadcast', 'ring'],
      ['broadcast', 'tree'],
    ]
    fc.assert(
      fc.property(
        fc.constantFrom(...growing),
        fc.integer({ min: 1, max: 500 }),
        bytesOf,
        ([each, algorithm], p, bytes) => {
          const link = { bandwidth: 2e11, latency: 1e-6 }
          const time = (ranks: number) => collectiveSeconds(flatGroup(ranks, link), { op: each, bytes, algorithm })
          expect(time(p + 1)).toBeGreaterThanOrEqual(time(p) * (1 - 1e-12))
        },
      ),
    )
  })

  test('an all-reduce by rings is a reduce-scatter and an all-gather', () => {
    fc.assert(
      fc.property(group, bytesOf, (on, bytes) => {
        fc.pre(on.size > 1 && bytes > 0)
        const textbook = { ...on, launch: 0, fill: 0, copyBandwidth: Infinity }
        const time = (each: CollectiveOp) => collectiveSeconds(textbook, { op: each, bytes, algorithm: 'ring' })
        expect(time('all-reduce') / (time('reduce-scatter') + time('all-gather'))).toBeCloseTo(1, 9)
      }),
    )
  })

  test('over slow links a hierarchy is no slower than a ring, which sends (p − 1)/p over them instead of (m − 1)/m', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 16 }), fc.integer({ min: 2, max: 64 }), bytesOf, (inner, outer, bytes) => {
        const slow = 1e9
        const on = twoLevels(inner, outer, slow * inner * outer, slow)
        const time = (algorithm: Algorithm) => collectiveSeconds(on, { op: 'all-reduce', bytes, algorithm })
        expect(time('hierarchical')).toBeLessThanOrEqual(time('ring') * (1 + 1e-12))
      }),
    )
  })

  test('a hierarchy takes what the two-level formula says', () => {
    // 2(g−1)/g·S/Bi + 2(m−1)/m·(S/g)/Be with g = 8, m = 4, S = 1e9: 1.75e9/4e11 + 1.5·1.25e8/5e10.
    const on = twoLevels(8, 4, 4e11, 5e10)
    const seconds = collectiveSeconds(on, { op: 'all-reduce', bytes: 1e9, algorithm: 'hierarchical' })
    expect(seconds).toBeCloseTo(1.75e9 / 4e11 + (1.5 * 1.25e8) / 5e10, 12)
  })

  test('no algorithm beats the outermost links: a unit takes in what it has not, and sends what others want', () => {
    fc.assert(
      fc.property(group, op, bytesOf, (on, each, bytes) => {
        const outer = on.levels.at(-1)
        fc.pre(outer !== undefined && bytes > 1 && each !== 'send' && on.levels.every((level) => !level.torus))
        if (!outer) return
        const { members, bandwidth } = outer
        const missing = (bytes * (members - 1)) / members
        const least = {
          'all-reduce': 2 * missing,
          'all-gather': missing,
          'reduce-scatter': missing,
          'all-to-all': missing / members,
          broadcast: bytes,
          send: 0,
        }[each]
        for (const algorithm of able(on, each)) {
          // Switches that add take each byte once.
          const volume = algorithm === 'in-switch' ? least / 2 : least
          const seconds = collectiveSeconds(on, { op: each, bytes, algorithm })
          expect(seconds * bandwidth * (on.size / members)).toBeGreaterThanOrEqual(volume * (1 - 1e-9))
        }
      }),
      { numRuns: 300 },
    )
  })

  test('who has the network cards alone is no slower than who shares them', () => {
    fc.assert(
      fc.property(fc.constantFrom(...clusterNames()), power(4), power(4), bytesOf, op, (name, a, b, bytes, each) => {
        fc.pre(a > 1)
        const mesh = createMesh([
          { name: 'a', degree: a },
          { name: 'b', degree: b },
        ])
        const time = (concurrent: 'all' | 'one') =>
          collectiveSeconds(groupOver(resolveCluster(name), mesh, ['a'], { concurrent }), { op: each, bytes })
        expect(time('one')).toBeLessThanOrEqual(time('all'))
      }),
    )
  })

  test('the bus bandwidth of a large ring is the rate of the link', () => {
    const on = flatGroup(8, { bandwidth: 3e11, latency: 1e-6 })
    for (const each of ['all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all'] as const) {
      expect(busBandwidth(on, { op: each, bytes: 1e13 }) / 3e11).toBeCloseTo(1, 3)
    }
  })

  test('one axis of a torus takes what the bidirectional ring of How to Scale Your Model says', () => {
    // 16 TPU v5e in a ring, 45 GB/s one way per link, 1 µs per hop: ceil(15/2) hops, and 15/16·S over both links.
    const on = groupOver(resolveCluster('tpu-v5e-pod'), createMesh([{ name: 'tp', degree: 16 }]), ['tp'])
    const cost = collectiveCost(on, { op: 'all-gather', bytes: 1e9 })
    expect(cost).toMatchObject({ algorithm: 'torus', steps: 8 })
    expect(cost.seconds).toBeCloseTo(8e-6 + (15 / 16) * (1e9 / 90e9), 9)
    // An all-to-all takes a quarter of the gather of the same array, without the (p − 1)/p.
    const exchange = collectiveCost(on, { op: 'all-to-all', bytes: 1e9 })
    expect(exchange.transferSeconds).toBeCloseTo(1e9 / 90e9 / 4, 9)
  })

  test('over whole axes of a torus all links carry: six of 90 GB/s on a TPU v5p', () => {
    const mesh = createMesh([{ name: 'dp', degree: 16 * 20 * 28 }])
    const cost = collectiveCost(groupOver(resolveCluster('tpu-v5p-pod'), mesh, ['dp']), {
      op: 'all-gather',
      bytes: 1e12,
    })
    expect(cost.algorithm).toBe('torus')
    expect(cost.transferSeconds).toBeCloseTo(((8960 - 1) / 8960) * (1e12 / (6 * 90e9)), 9)
    expect(cost.steps).toBe(8 + 10 + 14)
  })

  test('in a full mesh all peers are reached at once: α + S/p over one peer link', () => {
    const on = groupOver(resolveCluster('mi300x-node'), createMesh([{ name: 'ep', degree: 8 }]), ['ep'])
    const efficiency = 0.8
    const seconds = collectiveSeconds(on, { op: 'all-to-all', bytes: 8e9 })
    expect(seconds).toBeCloseTo(4e-6 + 1e9 / 8 / (64e9 * efficiency), 9)
  })
})
