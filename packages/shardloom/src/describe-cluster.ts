import { acceleratorNames, type Cluster, clusterNames, type Link } from '@shardloom/cluster'
import { ShardloomError } from '@shardloom/core'
import { loadCluster } from './load-cluster.js'
import type { ReadText } from './load-model.js'

/** A cluster in figures, without a plan. Rates are dense (no structured sparsity), bandwidths of one direction. */
export interface ClusterSummary {
  readonly schema: 'shardloom.cluster-summary/1'
  readonly name: string
  readonly accelerator: {
    /** The name in a spec. */
    readonly name: string
    readonly title: string
    readonly vendor: string
    /** Of matrix units, by element type; a type that is missing is not supported. */
    readonly peakFlopsPerSecond: Readonly<Record<string, number>>
    readonly memoryBytes: number
    readonly memoryBytesPerSecond: number
    readonly powerWatts?: number
  }
  readonly devicesPerNode: number
  /** Null where it holds as many as a plan needs. */
  readonly devices: number | null
  /** From the innermost outwards. */
  readonly levels: readonly {
    readonly name: string
    /** Units of the level below that it joins; null: as many as are needed. */
    readonly joins: number | null
    readonly link: string
    /** Nominal, of one rank; of a torus, of one link. */
    readonly bytesPerSecond: number
    /** Share of it that large transfers sustain. */
    readonly efficiency: number
    /** Of one step of an algorithm. */
    readonly latencySeconds: number
    readonly ranksPerLink: number
  }[]
}

/** The names that a spec may give: of clusters, and of accelerators for a cluster object. */
export interface ClusterNames {
  readonly clusters: readonly string[]
  readonly accelerators: readonly string[]
}

/** The names of all known clusters and accelerators. */
export function knownClusters(): ClusterNames {
  return { clusters: clusterNames(), accelerators: acceleratorNames() }
}

/**
 * The figures of the `cluster` of a spec: a preset, a file or an object. Throws `NO_CLUSTER` for none, and what `loadSpec`
 * throws of it.
 */
export async function describeCluster(cluster: unknown, readText?: ReadText): Promise<ClusterSummary> {
  const found = await loadCluster(cluster, readText)
  if (found) return summariseCluster(found)
  throw new ShardloomError('NO_CLUSTER', 'There is no cluster to describe.', {
    subject: 'cluster',
    help: `Name one of ${clusterNames().join(', ')}, a file, or give an object.`,
  })
}

function summariseCluster({ name, accelerator, levels, perNode, devices }: Cluster): ClusterSummary {
  const { title, vendor, peak, memoryBytes, memoryBandwidth, powerWatts } = accelerator
  return {
    schema: 'shardloom.cluster-summary/1',
    name,
    accelerator: {
      name: accelerator.name,
      title,
      vendor,
      peakFlopsPerSecond: peak,
      memoryBytes,
      memoryBytesPerSecond: memoryBandwidth,
      ...(powerWatts !== undefined && { powerWatts }),
    },
    devicesPerNode: perNode,
    devices: finite(devices),
    levels: levels.map(({ name, fanOut, sharedBy, link }) => ({
      name,
      joins: finite(fanOut),
      ...linkFigures(link),
      ranksPerLink: sharedBy,
    })),
  }
}

function linkFigures({ kind, bandwidth, efficiency, latency }: Link) {
  return { link: kind, bytesPerSecond: bandwidth, efficiency, latencySeconds: latency }
}

const finite = (count: number) => (Number.isFinite(count) ? count : null)
