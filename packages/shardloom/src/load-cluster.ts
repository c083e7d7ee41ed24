import { type Cluster, resolveCluster } from '@shardloom/cluster'
import { ShardloomError } from '@shardloom/core'
import { isModelPath, type ReadText } from './load-model.js'
import { parseText } from './parse-spec.js'
import { checkNesting, shown } from './spec-error.js'

/** The longest text of a cluster file, in UTF-16 code units. */
const largestCluster = 1_000_000

/**
 * The cluster that a spec names: a preset, a file (a path that ends in `.json`, `.yaml` or `.yml`, or has a slash), or the object
 * itself. Undefined without one. Throws `NO_ACCESS`, `CLUSTER_SYNTAX`, and what `resolveCluster` throws.
 */
export async function loadCluster(cluster: unknown, readText: ReadText | undefined): Promise<Cluster | undefined> {
  if (cluster === undefined || cluster === null) return undefined
  if (typeof cluster !== 'string' || !isModelPath(cluster)) {
    checkNesting(cluster, 'cluster')
    return resolveCluster(cluster)
  }
  if (!readText) {
    const message = `The spec names the cluster file ${shown(cluster)}, but no files can be read here.`
    throw new ShardloomError('NO_ACCESS', message, {
      subject: 'cluster',
      help: 'Give the cluster as an object, name a preset, or pass `readText`.',
    })
  }
  const value: unknown = parseText(await readText(cluster), cluster, 'CLUSTER', largestCluster)
  checkNesting(value, 'cluster')
  return resolveCluster(value)
}
