import type { View } from 'shardloom'
import { compose, type PlaceView } from './compose.js'
import type { Block, ViewCluster, ViewNode } from './placed.js'

/** Blocks that were laid out lately: opening one card leaves the others as they are. */
const known = new Map<string, Promise<Block>>()
const most = 400

/** Lays out nodes and what is between them, the regions around them included. */
export function blockOf(
  view: View,
  nodes: readonly ViewNode[],
  clusters: readonly ViewCluster[],
  place: PlaceView,
): Promise<Block> {
  const ownNodes = new Map(nodes.map((node) => [node.id, node]))
  const ownClusters = new Map(clusters.map((cluster) => [cluster.id, cluster]))
  const edges = view.edges.filter(({ from, to }) => ownNodes.has(from) && ownNodes.has(to))
  const key = JSON.stringify([nodes, clusters, edges])
  const before = known.get(key)
  if (before) return before
  const part: View = {
    ...view,
    title: '',
    subtitle: '',
    notice: '',
    legend: [],
    level: 'operator',
    direction: 'down',
    nodes: nodes.map(({ cluster, ...node }) => ({
      ...node,
      ...(cluster !== undefined && ownClusters.has(cluster) && { cluster }),
    })),
    clusters: clusters.map(({ parent, ...cluster }) => ({
      ...cluster,
      ...(parent !== undefined && ownClusters.has(parent) && { parent }),
    })),
    edges,
  }
  const made = compose(part, place).then((block) => ({
    ...block,
    nodes: block.nodes.map(({ node, at }) => ({ node: ownNodes.get(node.id) ?? node, at })),
    clusters: block.clusters.map((each) => ({ ...each, cluster: ownClusters.get(each.cluster.id) ?? each.cluster })),
  }))
  known.set(key, made)
  made.catch(() => known.delete(key))
  for (const oldest of known.keys()) if (known.size > most) known.delete(oldest)
  return made
}
