import type { View } from 'shardloom'
import type { Link } from './alike.js'
import type { ViewCluster, ViewNode } from './placed.js'

/** What stands in which region of a view, and what leads from one to another of the things in a region. */
export interface RegionTree {
  readonly node: (id: string) => ViewNode | undefined
  readonly cluster: (id: string) => ViewCluster
  /** Nodes and regions in a region, or in none, in the order of the view. */
  readonly children: (region: string | undefined) => readonly string[]
  /** The same for nodes of a kind, and for regions that hold the same. */
  readonly shape: (id: string) => string
  /** Data and communication between them, or between what they hold, within an iteration. */
  readonly links: (region: string | undefined) => readonly Link[]
}

/** Reads the regions of a view. */
export function regionTree(view: Pick<View, 'nodes' | 'clusters' | 'edges'>): RegionTree {
  const nodes = new Map(view.nodes.map((node) => [node.id, node]))
  const clusters = new Map(view.clusters.map((cluster) => [cluster.id, cluster]))
  const chains = new Map<string, readonly string[]>()
  /** The regions around something, outermost first, and itself. */
  const chainOf = (id: string): readonly string[] => {
    const known = chains.get(id)
    if (known) return known
    const outer = nodes.get(id)?.cluster ?? clusters.get(id)?.parent
    const chain = [...(outer === undefined ? [] : chainOf(outer)), id]
    chains.set(id, chain)
    return chain
  }
  const children = new Map<string | undefined, Set<string>>()
  for (const { id } of view.nodes)
    chainOf(id).forEach((each, at, chain) => {
      const list = children.get(chain[at - 1]) ?? new Set()
      children.set(chain[at - 1], list.add(each))
    })
  const shapeOf = (id: string): string => nodes.get(id)?.kind ?? [...titlesIn(id)].sort().join('\n')
  const titlesIn = (id: string): Set<string> =>
    new Set([...(children.get(id) ?? [])].flatMap((each) => nodes.get(each)?.title ?? [...titlesIn(each)]))
  const links = new Map<string | undefined, Link[]>()
  for (const { from, to, kind, role } of view.edges) {
    if (kind === 'temporal' || role === 'back') continue
    const [own, other] = [chainOf(from), chainOf(to)]
    const at = own.findIndex((id, index) => id !== other[index])
    const link = { from: own[at] ?? from, to: other[at] ?? to }
    if (link.from === link.to) continue
    const list = links.get(own[at - 1]) ?? []
    links.set(own[at - 1], list)
    list.push(link)
  }
  return {
    node: (id) => nodes.get(id),
    cluster: (id) => clusters.get(id) ?? { id, title: '', repeat: 1, fact: '' },
    shape: shapeOf,
    children: (region) => [...(children.get(region) ?? [])],
    links: (region) => links.get(region) ?? [],
  }
}
