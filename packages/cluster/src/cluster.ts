import { nearest, ShardloomError } from '@shardloom/core'
import { type Accelerator, acceleratorNames, resolveAccelerator } from './accelerator.js'
import { clusters as records } from './data/clusters.js'
import type { ClusterRecord } from './data/record.js'
import { splitFacts } from './facts.js'
import { type Link, resolveLink } from './link.js'
import { nearestFirst, readerOf } from './read.js'

/** A level of a cluster: what joins its units, each of which is a unit of the level below. */
export interface Level {
  /** Such as `node` or `network`. */
  readonly name: string
  /** How many units of the level below it joins: `Infinity` where it holds as many as are needed. */
  readonly fanOut: number
  /** How many ranks share one link (network card) of this level. */
  readonly sharedBy: number
  readonly link: Link
}

/** Accelerators and what joins them, from the innermost level outwards. Consecutive ranks fill the innermost first. */
export interface Cluster {
  readonly name: string
  readonly accelerator: Accelerator
  readonly levels: readonly Level[]
  /** Devices in one node. */
  readonly perNode: number
  /** Devices in all: `Infinity` where it holds as many as are needed. */
  readonly devices: number
}

const levelFields = 'name fanOut sharedBy link bandwidth efficiency latency perPeer torus reduction launch fill'
  .split(' ')
  .concat('copyBandwidth', 'reduceBandwidth', 'kind')
const example = '{accelerator: h100-sxm, nodes: 8, perNode: 8}'
const levelExample = '{name: node, fanOut: 8, link: nvlink-4} or {name: network, bandwidth: 50e9, latency: 5e-6}'

/** The names of the clusters that are known. */
export function clusterNames(): string[] {
  return Object.keys(records)
}

/**
 * The cluster of a spec: the name of a known one, `{preset, nodes}`, or `{accelerator, nodes, perNode, levels}`. Without
 * `levels` an accelerator is joined as it usually is; without `nodes` there are as many as a plan needs. Levels go from
 * the innermost outwards; each names a kind of link, gives its numbers, or both. Throws `UNKNOWN_CLUSTER`,
 * `UNKNOWN_ACCELERATOR`, `UNKNOWN_LINK`, `CLUSTER_KEY`, `CLUSTER_VALUE` and `CLUSTER_SIZE`.
 */
export function resolveCluster(input: unknown): Cluster {
  if (typeof input === 'string') return knownCluster(input, undefined)
  const reader = readerOf(
    input,
    'the cluster',
    ['preset', 'name', 'accelerator', 'nodes', 'perNode', 'levels'],
    example,
  )
  const nodes = reader.has('nodes') ? reader.whole('nodes') : undefined
  if (reader.has('preset')) {
    for (const key of ['accelerator', 'perNode', 'levels'].filter(reader.has)) {
      throw new ShardloomError('CLUSTER_KEY', `The cluster has a \`preset\` and \`${key}\`.`, {
        help: 'A preset takes `nodes` alone; leave one of both out.',
        subject: key,
      })
    }
    return knownCluster(reader.text('preset'), nodes)
  }
  const written = reader.any('accelerator')
  const accelerator = resolveAccelerator(written)
  // What the accelerator's own fields say of a node is as much a word of the user as the cluster's.
  const own = typeof written === 'object' && Object.hasOwn(Object(written), 'perNode') ? accelerator.perNode : undefined
  const perNode = reader.has('perNode') ? reader.whole('perNode') : own
  const levels = reader.has('levels')
    ? readLevels(reader.any('levels'), perNode)
    : usualLevels(accelerator, perNode ?? accelerator.perNode)
  return sized(reader.has('name') ? reader.text('name') : accelerator.name, accelerator, levels, { nodes, perNode })
}

/** The source of each value of a known cluster's levels, by place, such as `levels.0.fanOut`. Throws `UNKNOWN_CLUSTER`. */
export function clusterSources(name: string): Readonly<Record<string, string>> {
  return splitFacts({ levels: { ...recordOf(name).levels } }).sources
}

/**
 * How many nodes `world` ranks fill, and how many devices of the last stay idle. Throws `CLUSTER_SIZE` where the
 * cluster has fewer devices.
 */
export function fitWorld(cluster: Cluster, world: number): { readonly nodes: number; readonly idle: number } {
  const nodes = Math.ceil(world / cluster.perNode)
  if (world <= cluster.devices) return { nodes, idle: nodes * cluster.perNode - world }
  const all = cluster.devices / cluster.perNode
  const has = `${all} ${all === 1 ? 'node' : 'nodes'} of ${cluster.perNode}`
  throw new ShardloomError(
    'CLUSTER_SIZE',
    `The mesh has ${world} ranks, but \`${cluster.name}\` has ${cluster.devices} devices (${has}).`,
    { help: `Use \`nodes: ${nodes}\`, or degrees whose product is at most ${cluster.devices}.`, subject: 'nodes' },
  )
}

/** How many ranks one unit of each level holds, from the innermost outwards. */
export function unitSizes(cluster: Cluster): number[] {
  let size = 1
  return cluster.levels.map(({ fanOut }) => (size *= fanOut))
}

/** Nodes around a network, joined as the accelerator usually is. */
function usualLevels({ name, scaleUp, scaleOut, nicSharedBy }: Accelerator, perNode: number): Level[] {
  const outer = scaleOut ?? scaleUp
  if (scaleUp && outer)
    return [
      { name: 'node', fanOut: perNode, sharedBy: 1, link: scaleUp },
      { name: 'network', fanOut: Infinity, sharedBy: nicSharedBy, link: outer },
    ]
  throw new ShardloomError(
    'CLUSTER_VALUE',
    `The accelerator \`${name}\` has no \`scaleUp\`, and the cluster no \`levels\`.`,
    {
      help: 'Give it the links inside of a node, such as `scaleUp: {bandwidth: 200e9, latency: 2e-6}`, or write `levels`.',
      subject: 'scaleUp',
    },
  )
}

function knownCluster(name: string, nodes: number | undefined): Cluster {
  const record = recordOf(name)
  const accelerator = resolveAccelerator(record.accelerator)
  const levels = record.levels.map((level) => ({
    name: level.name,
    fanOut: level.fanOut?.[0] ?? Infinity,
    sharedBy: level.sharedBy?.[0] ?? 1,
    link: resolveLink(level.link),
  }))
  return sized(name, accelerator, levels, { nodes, perNode: undefined })
}

function recordOf(name: string): ClusterRecord {
  const record = new Map<string, ClusterRecord>(Object.entries(records)).get(name)
  if (record) return record
  const chip = acceleratorNames().includes(name)
  // Of `dgx-h100` people say `h100`.
  const near =
    clusterNames().find((each) => name.length > 2 && each.split('-').includes(name)) ?? nearest(name, clusterNames())
  throw new ShardloomError('UNKNOWN_CLUSTER', `There is no cluster \`${name}\`.`, {
    help: chip
      ? `That is an accelerator: write {accelerator: ${name}, nodes: 2}.`
      : `${near === undefined ? '' : `Did you mean \`${near}\`? `}Known are ${nearestFirst(name, clusterNames()).join(', ')}; or write one of your own: ${example}.`,
    subject: name,
  })
}

function readLevels(value: unknown, perNode: number | undefined): Level[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw new ShardloomError('CLUSTER_VALUE', '`levels` of the cluster is no list with an entry.', {
      help: `List levels from the innermost outwards, each like ${levelExample}.`,
      subject: 'levels',
    })
  }
  return value.map((each: unknown, index): Level => {
    const subject = `level ${index + 1} of the cluster`
    const reader = readerOf(each, subject, levelFields, levelExample)
    const last = index === value.length - 1
    const { name: _, fanOut: _fanOut, sharedBy: _sharedBy, ...link } = Object(each)
    const otherwise = index === 0 && perNode !== undefined ? perNode : last ? Infinity : undefined
    return {
      name: reader.text('name'),
      fanOut: reader.has('fanOut') || otherwise === undefined ? reader.whole('fanOut') : otherwise,
      sharedBy: reader.has('sharedBy') ? reader.whole('sharedBy') : 1,
      link: resolveLink(link, subject),
    }
  })
}

/** Closes the outermost level at `nodes`, and checks that the numbers agree. */
function sized(
  name: string,
  accelerator: Accelerator,
  levels: readonly Level[],
  given: { readonly nodes: number | undefined; readonly perNode: number | undefined },
): Cluster {
  const node = levels.findIndex((level) => level.name === 'node')
  const inside = levels.slice(0, node + 1).reduce((size, { fanOut }) => size * fanOut, 1)
  const closed = node >= 0 && Number.isFinite(inside)
  const perNode = given.perNode ?? (closed ? inside : accelerator.perNode)
  const capacity = levels.reduce((size, { fanOut }) => size * fanOut, 1)
  const devices = given.nodes === undefined ? capacity : given.nodes * perNode
  if (given.perNode !== undefined && closed && given.perNode !== inside) {
    throw new ShardloomError(
      'CLUSTER_SIZE',
      `\`perNode\` is ${perNode}, but the levels up to \`node\` hold ${inside} devices.`,
      { help: `Use \`perNode: ${inside}\`, or leave it out.`, subject: 'perNode' },
    )
  }
  if (devices > capacity) {
    const most = Math.floor(capacity / perNode)
    throw new ShardloomError(
      'CLUSTER_SIZE',
      `${given.nodes} nodes of ${perNode} are ${devices} devices, but the levels hold ${capacity}.`,
      { help: `Use \`nodes: ${most}\`, or leave out the \`fanOut\` of the last level.`, subject: 'nodes' },
    )
  }
  return { name, accelerator, levels, perNode, devices }
}
