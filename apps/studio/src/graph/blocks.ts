import type { View } from 'shardloom'
import type { PlacedView } from 'shardloom/svg'
import { moved, type Placed, type ViewCluster, type ViewNode } from './placed.js'

/** A part of a picture that is laid out by itself: one card, or what an opened one holds. Its corner is at 0, 0. */
export interface Block extends Pick<Placed, 'clusters' | 'nodes' | 'edges'> {
  readonly width: number
  readonly height: number
}

/** Lays out a view of any shape, as `placeView` does. */
export type PlaceView = (view: View) => Promise<PlacedView>

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
  const inside = new Set(nodes.map(({ id }) => id))
  const kept = new Set(clusters.map(({ id }) => id))
  // Graphviz is told of regions by number: what they are called would decide about the picture.
  const numbers = new Map(clusters.map(({ id }, at) => [id, `region ${at}`]))
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
      ...(cluster !== undefined && kept.has(cluster) && { cluster: numbers.get(cluster) ?? cluster }),
    })),
    clusters: clusters.map(({ parent, ...cluster }) => ({
      ...cluster,
      id: numbers.get(cluster.id) ?? cluster.id,
      ...(parent !== undefined && kept.has(parent) && { parent: numbers.get(parent) ?? parent }),
    })),
    edges: view.edges.filter(({ from, to }) => inside.has(from) && inside.has(to)),
  }
  const key = JSON.stringify([nodes, clusters, part.edges])
  const before = known.get(key)
  if (before) return before
  const made = layOut(part, nodes, clusters, place)
  known.set(key, made)
  made.catch(() => known.delete(key))
  for (const oldest of known.keys()) if (known.size > most) known.delete(oldest)
  return made
}

async function layOut(
  part: View,
  given: readonly ViewNode[],
  regions: readonly ViewCluster[],
  place: PlaceView,
): Promise<Block> {
  const { bounds, clusters, nodes, edges } = await place(part)
  const own = new Map(given.map((node) => [node.id, node]))
  const [x, y] = [-bounds.x, -bounds.y]
  return {
    width: bounds.width,
    height: bounds.height,
    clusters: clusters.map(({ cluster, at, depth }) => ({
      cluster: regions[Number(cluster.id.slice(7))] ?? cluster,
      depth,
      at: moved(at, x, y),
    })),
    nodes: nodes.map(({ node, at }) => ({ node: own.get(node.id) ?? node, at: moved(at, x, y) })),
    edges: edges.map(({ edge, path, label }) => ({
      edge,
      path: movedPath(path, x, y),
      ...(label && { label: moved(label, x, y) }),
      quiet: false,
    })),
  }
}

/** A path of absolute commands somewhere else. */
export function movedPath(d: string, x: number, y: number): string {
  if (x === 0 && y === 0) return d
  return d.replace(/([A-Z])([^A-Z]*)/g, (_, command: string, list: string) => {
    const numbers = (list.match(/-?[\d.]+(?:e-?\d+)?/g) ?? []).map(Number)
    const by = (value: number, at: number) => {
      const across = command === 'H' || (command !== 'V' && at % 2 === 0)
      return Math.round((value + (across ? x : y)) * 10) / 10
    }
    return command + numbers.map(by).join(' ')
  })
}
