import type { View, ViewCluster, ViewEdge, ViewNode } from '../view.js'
import { drawnEdges } from './place-view.js'

/** One rank of a picture with ranks side by side, and what it does, by ids without its own prefix. */
export interface Lane {
  readonly cluster: ViewCluster
  readonly prefix: string
  readonly nodes: ReadonlyMap<string, ViewNode>
}

/** Ranks that do the same, and what they do together. */
export interface Lanes {
  readonly lanes: readonly Lane[]
  /** By the id that each lane knows it by, the bars of the groups, each with the lanes of its members. */
  readonly bars: ReadonlyMap<string, readonly { readonly node: ViewNode; readonly members: readonly number[] }[]>
  /** The edges of the first lane, by these ids. */
  readonly edges: readonly ViewEdge[]
}

const keyOf = (id: string) => id.replace(/ over ranks .*$/s, '')

/**
 * Reads the lanes of a view of operators: ranks whose own nodes are the same, whatever they do together. Undefined where ranks
 * do different things, such as those of other stages; such a picture is drawn as any other graph.
 */
export function lanesOf(view: View): Lanes | undefined {
  const tops = view.clusters.filter(({ id, parent }) => parent === undefined && /^rank \d+$/.test(id))
  if (view.direction !== 'down' || tops.length === 0) return undefined
  const owner = new Map<string, string>()
  for (const { id, parent } of view.clusters) owner.set(id, parent === undefined ? id : (owner.get(parent) ?? parent))
  const lanes = tops.map((cluster): Lane => {
    const prefix = `${cluster.id}/`
    const own = view.nodes.filter(({ cluster: at, id }) => owner.get(at ?? '') === cluster.id && id.startsWith(prefix))
    return { cluster, prefix, nodes: new Map(own.map((node) => [node.id.slice(prefix.length), node])) }
  })
  const [first] = lanes
  const own = new Set(lanes.flatMap(({ nodes }) => [...nodes.values()]))
  if (
    !first ||
    lanes.some(({ nodes }) => nodes.size !== first.nodes.size || [...nodes.keys()].some((key) => !first.nodes.has(key)))
  )
    return undefined
  const bars = new Map<string, { node: ViewNode; members: number[] }[]>()
  for (const node of view.nodes) {
    if (own.has(node)) continue
    const touching = (prefix: string) =>
      view.edges.some(
        ({ from, to }) => (from === node.id && to.startsWith(prefix)) || (to === node.id && from.startsWith(prefix)),
      )
    const members = lanes.flatMap(({ prefix }, index) => (lanes.length === 1 || touching(prefix) ? [index] : []))
    const key = keyOf(node.id)
    bars.set(key, [...(bars.get(key) ?? []), { node, members }])
  }
  const known = new Map(
    [...bars].flatMap(([key, list]) => list.map(({ node, members }) => [node.id, { key, members }] as const)),
  )
  const edges = new Map<string, ViewEdge>()
  for (const edge of drawnEdges(view)) {
    const end = (id: string) => {
      if (id.startsWith(first.prefix)) return id.slice(first.prefix.length)
      const bar = known.get(id)
      return bar?.members.includes(0) ? bar.key : undefined
    }
    const [from, to] = [end(edge.from), end(edge.to)]
    if (from === undefined || to === undefined) {
      // Between two lanes only sends lead, which this picture has no place for.
      const lane = (id: string) => lanes.find(({ prefix }) => id.startsWith(prefix))
      const [a, b] = [lane(edge.from), lane(edge.to)]
      if (a && b && a !== b) return undefined
      continue
    }
    // A line into a bar is a tensor of its lane; what ranks exchange is inside of it.
    const kind = edge.kind === 'communication' ? 'data' : edge.kind
    edges.set(JSON.stringify([from, to, kind]), { ...edge, from, to, kind })
  }
  return { lanes, bars, edges: [...edges.values()] }
}
