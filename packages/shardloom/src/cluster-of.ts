import { type Cluster, clusterNames } from '@shardloom/cluster'
import { ShardloomError } from '@shardloom/core'
import type { LoadedSpec } from './plan.js'

/** The cluster of a loaded spec. Throws `NO_CLUSTER` where it names none. */
export function clusterOf({ cluster }: LoadedSpec): Cluster {
  if (cluster) return cluster
  throw new ShardloomError('NO_CLUSTER', 'The spec names no cluster: time depends on the hardware.', {
    subject: 'cluster',
    help: `Add one, such as \`cluster: dgx-h100\`. Known are ${clusterNames().join(', ')}.`,
  })
}
