import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  acceleratorNames,
  clusterNames,
  clusterSources,
  collectiveSeconds,
  fitWorld,
  flatGroup,
  groupOver,
  linkNames,
  linkSources,
  resolveAccelerator,
  resolveCluster,
  resolveLink,
  sources,
} from '@shardloom/cluster'
import { createMesh, isShardloomError } from '@shardloom/core'
import { describe, expect, test } from 'vitest'

function errorOf(run: () => unknown): { code: string; message: string; help: string } {
  try {
    run()
  } catch (error) {
    if (isShardloomError(error)) return { code: error.code, message: error.message, help: error.help ?? '' }
    throw error
  }
  throw new Error('no error')
}

describe('facts', () => {
  test('every value of every accelerator, link and cluster names a source that exists', () => {
    const keys = new Set(Object.keys(sources))
    const named = [
      ...acceleratorNames().map((name) => resolveAccelerator(name).sources),
      ...linkNames().map(linkSources),
      ...clusterNames().map(clusterSources),
    ]
    for (const table of named) for (const source of Object.values(table)) expect(keys).toContain(source.split(':')[0])
    for (const name of acceleratorNames()) {
      const accelerator = resolveAccelerator(name)
      const listed = Object.keys(accelerator.sources)
      const values = [
        ...Object.keys(accelerator.peak).map((dtype) => `peak.${dtype}`),
        ...Object.entries(accelerator)
          .filter(([key, value]) => typeof value === 'number' && key !== 'nicSharedBy')
          .map(([key]) => key),
      ]
      expect(listed).toEqual(expect.arrayContaining(values))
    }
  })

  test('every source is used', () => {
    const used = [
      ...acceleratorNames().map((name) => resolveAccelerator(name).sources),
      ...linkNames().map(linkSources),
      ...clusterNames().map(clusterSources),
    ].flatMap((table) => Object.values(table).map((source) => source.split(':')[0]))
    expect(Object.keys(sources).filter((key) => !used.includes(key))).toEqual([])
  })

  test('the README lists all clusters, accelerators and links', () => {
    const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')
    const listed = (what: string) => [
      ...(new RegExp(`^\\| ${what} \\| (.*) \\|$`, 'm').exec(readme)?.[1] ?? '').matchAll(/`([^`]+)`/g),
    ]
    const rows = { clusters: clusterNames(), accelerators: acceleratorNames(), links: linkNames() }
    for (const [what, names] of Object.entries(rows)) expect(listed(what).map((match) => match[1])).toEqual(names)
  })

  test('figures of data sheets', () => {
    expect(resolveAccelerator('h100-sxm')).toMatchObject({
      peak: { bf16: 989.4e12, fp8: 1978.9e12 },
      memoryBytes: 80 * 2 ** 30,
      memoryBandwidth: 3.35e12,
      cores: 132,
    })
    expect(resolveAccelerator('a100-80-sxm').peak).not.toHaveProperty('fp8')
    expect(resolveCluster('dgx-a100').levels.map(({ link }) => link.bandwidth)).toEqual([300e9, 25e9])
  })

  test('every cluster and every accelerator has a group of two nodes', () => {
    const mesh = createMesh([{ name: 'dp', degree: 128 }])
    const inputs = [...clusterNames(), ...acceleratorNames().map((accelerator) => ({ accelerator }))]
    for (const input of inputs) {
      const group = groupOver(resolveCluster(input), mesh, ['dp'])
      expect(collectiveSeconds(group, { op: 'all-reduce', bytes: 1e9 })).toBeGreaterThan(1e-3)
    }
  })
})

describe('clusters of a spec', () => {
  test('a preset is as large as it must be, or has the nodes that are named', () => {
    expect(resolveCluster('dgx-h100').devices).toBe(Infinity)
    const cluster = resolveCluster({ preset: 'dgx-h100', nodes: 8 })
    expect(cluster.devices).toBe(64)
    expect(fitWorld(cluster, 60)).toEqual({ nodes: 8, idle: 4 })
    expect(errorOf(() => fitWorld(cluster, 128))).toEqual({
      code: 'CLUSTER_SIZE',
      message: 'The mesh has 128 ranks, but `dgx-h100` has 64 devices (8 nodes of 8).',
      help: 'Use `nodes: 16`, or degrees whose product is at most 64.',
    })
    const single = resolveCluster({ accelerator: 'h100-sxm', nodes: 1, perNode: 4 })
    expect(errorOf(() => fitWorld(single, 8))?.message).toContain('(1 node of 4)')
  })

  test('an accelerator with nodes is joined as usual, or by levels of its own', () => {
    const plain = resolveCluster({ accelerator: 'h100-sxm', nodes: 8, perNode: 4 })
    expect(plain).toMatchObject({ devices: 32, perNode: 4 })
    expect(plain.levels.map(({ link }) => link.name)).toEqual(['nvlink-4', 'infiniband-ndr'])
    const own = resolveCluster({
      accelerator: { accelerator: 'h100-sxm', name: 'h100-94', memoryBytes: 94e9 },
      nodes: 8,
      levels: [
        { name: 'node', fanOut: 8, link: 'nvlink-4' },
        { name: 'rack', fanOut: 4, bandwidth: 25e9, latency: 4e-6 },
        { name: 'network', link: 'infiniband-hdr', efficiency: 0.5, sharedBy: 2 },
      ],
    })
    expect(own.accelerator).toMatchObject({ name: 'h100-94', memoryBytes: 94e9, memoryBandwidth: 3.35e12 })
    expect(own.accelerator.sources).not.toHaveProperty('memoryBytes')
    expect(own.accelerator.changed).toEqual({ from: 'h100-sxm', fields: ['memoryBytes'] })
    const same = resolveAccelerator({ accelerator: 'h100-sxm', name: 'mine', memoryBandwidth: 3.35e12 })
    expect(same.changed).toEqual({ from: 'h100-sxm', fields: [] })
    expect(resolveAccelerator({ accelerator: 'h100-sxm' })).not.toHaveProperty('changed')
    expect(own.levels[1]?.link).toMatchObject({ bandwidth: 25e9, efficiency: 1, launch: 0 })
    expect(own.levels[2]?.link).toMatchObject({ bandwidth: 25e9, efficiency: 0.5 })
  })

  test('an accelerator of your own needs what time depends on', () => {
    const chip = { name: 'chip', peak: { bf16: 4e14 }, memoryBytes: 64e9, memoryBandwidth: 2e12 }
    const scaleUp = { bandwidth: 200e9, latency: 2e-6 }
    const cluster = resolveCluster({ accelerator: { ...chip, scaleUp }, perNode: 16 })
    expect(cluster.levels.map(({ fanOut, link }) => [fanOut, link.bandwidth])).toEqual([
      [16, 200e9],
      [Infinity, 200e9],
    ])
    expect(errorOf(() => resolveCluster({ accelerator: chip }))).toMatchObject({
      code: 'CLUSTER_VALUE',
      message: expect.stringContaining('`scaleUp`'),
      help: expect.stringContaining('`levels`'),
    })
    // Levels of one's own say what joins devices: the accelerator's links have no part in it.
    const levels = [{ name: 'node', fanOut: 4, bandwidth: 100e9, latency: 1e-6 }]
    expect(resolveCluster({ accelerator: chip, levels }).devices).toBe(4)
    expect(errorOf(() => resolveAccelerator({ ...chip, scaleUp, peak: { bf17: 1 } }))).toMatchObject({
      code: 'CLUSTER_KEY',
      help: 'Did you mean `bf16`?',
    })
  })
})

describe('errors', () => {
  const changed = (fields: object) => resolveCluster({ accelerator: { accelerator: 'h100-sxm', ...fields } })
  test.each([
    ['UNKNOWN_ACCELERATOR', () => resolveAccelerator('h100-sxn'), 'Known are h100-sxm, a100-40-sxm,'],
    ['UNKNOWN_ACCELERATOR', () => resolveAccelerator('h100'), 'Known are h100-sxm,'],
    ['UNKNOWN_ACCELERATOR', () => resolveAccelerator('constructor'), 'memoryBandwidth: 2e12'],
    ['UNKNOWN_CLUSTER', () => resolveCluster('dgx-h1000'), 'Known are dgx-h100,'],
    ['UNKNOWN_CLUSTER', () => resolveCluster('h100-sxm'), 'write {accelerator: h100-sxm, nodes: 2}'],
    ['UNKNOWN_LINK', () => resolveLink('nvlink-44'), 'Known are nvlink-4,'],
    ['CLUSTER_KEY', () => resolveCluster({ accelerator: 'h100-sxm', node: 8 }), 'Did you mean `nodes`?'],
    ['CLUSTER_KEY', () => resolveCluster({ preset: 'dgx-h100', perNode: 4 }), 'leave one of both out'],
    ['CLUSTER_VALUE', () => resolveCluster({ accelerator: 'h100-sxm', nodes: 0 }), 'a whole number of at least 1'],
    [
      'CLUSTER_VALUE',
      () => resolveCluster({ accelerator: { name: 'h100-sxm', memoryBytes: 141e9 } }),
      '{accelerator: h100-sxm',
    ],
    ['CLUSTER_VALUE', () => resolveCluster({ accelerator: 'h100-sxm', nodes: '8' }), 'a whole number of at least 1'],
    ['CLUSTER_VALUE', () => resolveCluster({ accelerator: 'h100-sxm', levels: [] }), 'from the innermost outwards'],
    [
      'CLUSTER_VALUE',
      () => resolveCluster({ accelerator: 'h100-sxm', levels: [{ name: 'a' }, { name: 'b' }] }),
      'fanOut',
    ],
    [
      'CLUSTER_VALUE',
      () => resolveCluster({ accelerator: { accelerator: 'h100-sxm', powerWatts: 1e308 } }),
      'at most 1000000',
    ],
    ['CLUSTER_VALUE', () => changed({ peak: { bf16: 1e300 } }), 'at most 1e+21'],
    ['CLUSTER_VALUE', () => changed({ peak: {} }), 'such as {bf16: 400e12, fp8: 800e12}'],
    ['CLUSTER_VALUE', () => changed({ memoryBandwidth: 1e300 }), 'at most 1e+21'],
    ['CLUSTER_VALUE', () => changed({ memoryBytes: 1e300 }), 'at most 1000000000000000000, or a text such as 80 GiB'],
    ['CLUSTER_VALUE', () => changed({ memoryBytes: '0 GB' }), 'a number above 0'],
    ['CLUSTER_VALUE', () => resolveCluster({ accelerator: 'h100-sxm', nodes: 1e300 }), 'up to 2147483648'],
    ['CLUSTER_VALUE', () => resolveCluster({ preset: 'dgx-h100', nodes: 1.5 }), 'a whole number'],
    ['CLUSTER_VALUE', () => resolveCluster(null), '{accelerator: h100-sxm'],
    ['CLUSTER_VALUE', () => resolveCluster({}), '{accelerator: h100-sxm'],
    ['CLUSTER_VALUE', () => resolveLink({ link: 'nvlink-4', efficiency: 1.5 }), 'at most 1'],
    ['CLUSTER_VALUE', () => resolveLink({ bandwidth: -1, latency: 0 }), 'a number above 0'],
    ['CLUSTER_VALUE', () => resolveLink({ bandwidth: 1e9 }), 'latency'],
    ['CLUSTER_SIZE', () => resolveCluster({ preset: 'dgx-h100', nodes: 2, name: 'x' }) && tooSmall(), 'nodes: 3'],
    [
      'CLUSTER_SIZE',
      () =>
        resolveCluster({ accelerator: 'h100-sxm', nodes: 9, levels: [{ name: 'node', fanOut: 8, link: 'nvlink-4' }] }),
      'Use `nodes: 1`',
    ],
    [
      'CLUSTER_SIZE',
      () =>
        resolveCluster({
          accelerator: 'h100-sxm',
          perNode: 4,
          levels: [{ name: 'node', fanOut: 8, link: 'nvlink-4' }],
        }),
      'Use `perNode: 8`',
    ],
    [
      'CLUSTER_SIZE',
      () =>
        resolveCluster({
          accelerator: { accelerator: 'h100-sxm', perNode: 8 },
          levels: [{ name: 'node', fanOut: 4, link: 'nvlink-4' }],
        }),
      'Use `perNode: 4`',
    ],
    ['COLLECTIVE', () => onFour({ algorithm: 'rings' }), 'Did you mean `ring`?'],
    ['COLLECTIVE', () => onFour({ algorithm: 'in-switch' }), 'Use ring, tree, halving-doubling or hierarchical.'],
    ['COLLECTIVE', () => onFour({ bytes: NaN }), 'at least 0'],
  ])('%s %#', (code, run, help) => {
    const error = errorOf(run)
    expect(error.code).toBe(code)
    expect(error.help).toContain(help)
  })
})

const tooSmall = () =>
  groupOver(resolveCluster({ preset: 'dgx-h100', nodes: 2 }), createMesh([{ name: 'dp', degree: 24 }]), ['dp'])

function onFour(change: { algorithm?: string; bytes?: number }): number {
  const collective = { op: 'all-reduce', bytes: 1e6, ...change } as const
  // An algorithm of a user is any text.
  return collectiveSeconds(
    flatGroup(4, { bandwidth: 1e9, latency: 0 }),
    collective as Parameters<typeof collectiveSeconds>[1],
  )
}

test('memory is a number of bytes, or a text in the unit that a maker counts in', () => {
  const bytes = (memoryBytes: unknown) =>
    resolveAccelerator({ accelerator: 'h100-sxm', name: 'own', memoryBytes }).memoryBytes
  expect(bytes('80 GiB')).toBe(85_899_345_920)
  expect(bytes('141 GB')).toBe(141e9)
  expect(bytes('1.5TB')).toBe(1.5e12)
  expect(bytes(94e9)).toBe(94e9)
  for (const wrong of ['80', '80 gigabytes', '-1 GB', 0]) expect(() => bytes(wrong)).toThrow(/memoryBytes/)
})

// Prefixes of the SI (BIPM, The International System of Units, 9th ed., table 7); a bit is an eighth of a byte.
test('rates, peaks and latencies are numbers, or texts in the units of data sheets', () => {
  const device = (change: object) => resolveAccelerator({ accelerator: 'h100-sxm', name: 'own', ...change })
  expect(device({ memoryBandwidth: '3.2 TB/s' }).memoryBandwidth).toBe(3.2e12)
  expect(device({ hostBandwidth: '64GB/s', cacheBytes: '50 MiB' })).toMatchObject({
    hostBandwidth: 64e9,
    cacheBytes: 52_428_800,
  })
  expect(device({ peak: { bf16: '989 TFLOP/s', fp8: '1.979 PFLOPS', int8: '1979 TOPS' } }).peak).toEqual({
    bf16: 989e12,
    fp8: 1.979e15,
    int8: 1.979e15,
  })
  const link = (bandwidth: unknown, latency: unknown = 0) => resolveLink({ bandwidth, latency })
  expect(link('300 GB/s').bandwidth).toBe(300e9)
  for (const bits of ['400 Gb/s', '400 Gbit/s', '400 Gbps']) expect(link(bits).bandwidth).toBe(50e9)
  expect(link(1e9, '2 us').latency).toBe(2e-6)
  expect(link(1e9, '2.5 µs').latency).toBe(2.5e-6)
  expect(link(1e9, '800 ns').latency).toBe(800e-9)
  expect(link(1e9, '0 s').latency).toBe(0)
})

test('a text in the unit of another quantity, or in none, is refused with an example', () => {
  const refused = (make: () => unknown) => {
    try {
      make()
    } catch (error) {
      return isShardloomError(error) ? `${error.code}: ${error.message} ${error.help}` : 'another error'
    }
    return 'read'
  }
  const link = (fields: object) => () => resolveLink({ bandwidth: 1e9, latency: 0, ...fields })
  for (const bandwidth of ['300 GB', '300', '300 GBps', '300 gB/s', '-3 GB/s', '0 GB/s', '3 TFLOP/s'])
    expect(refused(link({ bandwidth })), bandwidth).toMatch(/CLUSTER_VALUE: `bandwidth` .*3\.35 TB\/s, or 400 Gb\/s/)
  for (const latency of ['2', '2 us/s', '2 ks', '2 Us', '-2 us'])
    expect(refused(link({ latency })), latency).toMatch(/CLUSTER_VALUE: `latency` .*2 us/)
  expect(refused(link({ efficiency: '80 %' }))).toContain('`efficiency`')
})
