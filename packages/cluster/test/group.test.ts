import { collectiveCost, groupOver, mapAxes, resolveCluster } from '@shardloom/cluster'
import { createMesh } from '@shardloom/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'

const dgx = resolveCluster('dgx-h100')
const mesh = createMesh([
  { name: 'pp', degree: 2 },
  { name: 'dp', degree: 4 },
  { name: 'tp', degree: 8 },
])
const members = (atoms: readonly string[]) =>
  Object.fromEntries(groupOver(dgx, mesh, atoms).levels.map((level) => [level.name, level.members]))

test('ranks fill nodes in order, the last axis fastest', () => {
  expect(members(['tp'])).toEqual({ node: 8 })
  expect(members(['dp'])).toEqual({ network: 4 })
  expect(members(['dp', 'tp'])).toEqual({ node: 8, network: 4 })
  expect(members([])).toEqual({})
})

test('an axis is printed with the levels that it runs over', () => {
  const axes = createMesh([
    { name: 'dp', degree: 4 },
    { name: 'tp', degree: 4 },
  ])
  expect(mapAxes(dgx, axes).map(({ text }) => text)).toEqual([
    'dp 4: 2 in node (NVLink 4 + NVSwitch), 2 in network (InfiniBand NDR)',
    'tp 4: 4 in node (NVLink 4 + NVSwitch)',
  ])
})

test('members are those of an enumeration of ranks, for any degrees and sizes of nodes', () => {
  const degree = fc.integer({ min: 1, max: 6 })
  fc.assert(
    fc.property(degree, degree, degree, fc.integer({ min: 1, max: 12 }), fc.constantFrom('a', 'b', 'c'), (...all) => {
      const [a, b, c, perNode, axis] = all
      const on = createMesh([
        { name: 'a', degree: a },
        { name: 'b', degree: b },
        { name: 'c', degree: c },
      ])
      const atoms = on.atoms.filter(({ name }) => name === axis).map(({ name }) => name)
      const group = groupOver(resolveCluster({ accelerator: 'h100-sxm', perNode }), on, atoms)
      const stride = { a: b * c, b: c, c: 1 }[axis]
      const size = { a, b, c }[axis]
      let most = 0
      for (let rank = 0; rank < on.world; rank++) {
        if (Math.floor(rank / stride) % size !== 0) continue
        const nodes = new Set(Array.from({ length: size }, (_, i) => Math.floor((rank + i * stride) / perNode)))
        most = Math.max(most, nodes.size)
      }
      expect(group.size).toBe(size)
      expect(group.levels.find(({ name }) => name === 'network')?.members ?? 1).toBe(most)
    }),
    { numRuns: 500 },
  )
})

test('strided groups of one node share its network cards', () => {
  const dgx1 = resolveCluster('dgx-1-v100')
  const on = createMesh([
    { name: 'dp', degree: 2 },
    { name: 'tp', degree: 8 },
  ])
  // 4 cards of 12.5 GB/s for 8 ranks: half a card each, or a card for a group that is alone.
  const rate = (concurrent: 'all' | 'one') => groupOver(dgx1, on, ['dp'], { concurrent }).levels[0]?.bandwidth
  expect(rate('all')).toBeCloseTo(0.96 * 6.25e9)
  expect(rate('one')).toBeCloseTo(0.96 * 12.5e9)
  // All 8 ranks of a node in one group have 4 cards, alone or not.
  const whole = groupOver(dgx1, on, ['dp', 'tp'], { concurrent: 'one' })
  expect(whole.levels[1]?.bandwidth).toBeCloseTo(0.96 * 6.25e9)
})

test('a card behind PCIe is no faster than PCIe', () => {
  const on = createMesh([{ name: 'dp', degree: 16 }])
  const network = groupOver(resolveCluster('l40s-pcie'), on, ['dp']).levels.find(({ name }) => name === 'network')
  expect(network?.bandwidth).toBeCloseTo(0.75 * 32e9)
})

test('two ranks of a full mesh have one link, a part of a torus has no way around', () => {
  const level = (cluster: string, degree: number) =>
    groupOver(resolveCluster(cluster), createMesh([{ name: 'tp', degree }]), ['tp']).levels[0]
  const rate = (cluster: string, degree: number) => level(cluster, degree)?.bandwidth
  expect(rate('mi300x-node', 2)).toBeCloseTo(0.8 * 64e9)
  expect(rate('mi300x-node', 8)).toBeCloseTo(0.8 * 448e9)
  expect(level('tpu-v5p-pod', 16)).toMatchObject({ torus: 2, bandwidth: 90e9 })
  expect(level('tpu-v5p-pod', 8)).toMatchObject({ torus: 1, bandwidth: 90e9 })
})

test('a world of billions of ranks maps at once', () => {
  const huge = createMesh([
    { name: 'dp', degree: 2 ** 20 },
    { name: 'tp', degree: 2 ** 10 },
  ])
  expect(groupOver(dgx, huge, ['dp', 'tp']).levels.map((level) => level.members)).toEqual([8, 2 ** 27])
})

test('a ring over nodes sends as many hops between nodes as there are nodes, less one', () => {
  const group = groupOver(dgx, mesh, ['dp', 'tp'])
  const { levels } = collectiveCost(group, { op: 'all-gather', bytes: 3.2e9, algorithm: 'ring' })
  expect(levels.map(({ level, steps }) => [level, steps])).toEqual([
    ['node', 28],
    ['network', 3],
  ])
  // Each of 8 rings carries an eighth over the network.
  expect(levels[1]?.bytes).toBeCloseTo((3.2e9 * 31) / 32 / 8)
})
