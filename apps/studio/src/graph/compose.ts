import type { View } from 'shardloom'
import { cardSize } from 'shardloom/charts'
import type { PlacedView } from 'shardloom/svg'
import { alikeParts, onCircles } from './alike.js'
import { movedBlock, packed, type Size } from './pack.js'
import { type Block, headWidth, type ViewCluster, type ViewEdge, type ViewNode } from './placed.js'
import { regionTree } from './region-tree.js'

/** Lays out a view of any shape, as `placeView` does. */
export type PlaceView = (view: View, sizes?: ReadonlyMap<string, Size>) => Promise<PlacedView>

/** What is laid out together: nodes, the regions around them, and nodes that stand for a block which is laid out already. */
interface Parts {
  readonly nodes: readonly ViewNode[]
  readonly clusters: readonly ViewCluster[]
  readonly blocks: ReadonlyMap<string, Block>
}

/** Pixels between what is packed. */
const gap = 18

/** Pixels between a frame and what it holds, and along its top for its name. */
const [inset, head] = [14, 34]

/**
 * Lays out a part of a view. Many alike parts of a region, which have nothing between them, are packed in rows, each laid out by itself;
 * the rest is laid out by `place`, where a pack is one box, and one edge tells what its parts have to do with others.
 */
export async function compose(view: View, place: PlaceView): Promise<Block> {
  const tree = regionTree(view)

  /** What a region holds, or the whole, with all of its packs made. */
  async function partsIn(region: string | undefined): Promise<Parts> {
    const [items, links] = [tree.children(region), tree.links(region)]
    if (links.length === 0 && items.length > 1) return standIn(`all ${items[0]}`, await packOf(items.map((id) => [id])))
    const groups = alikeParts(items, links, tree.shape)
    const packs = await Promise.all(
      groups.map(async (group) => {
        const id = `alike ${group[0]?.[0]}`
        return standIn(id, framed({ id, title: '', repeat: 1, fact: '' }, await packOf(group)))
      }),
    )
    const taken = new Set(groups.flat(2))
    const circling = onCircles(links)
    const rest = items.flatMap((id) => (taken.has(id) ? [] : [circling.has(id) ? rigid(id) : partsOf(id)]))
    return joined([...packs, ...(await Promise.all(rest))])
  }

  const packOf = async (group: readonly (readonly string[])[]) =>
    packed(await Promise.all(group.map(async (part) => layOut(joined(await Promise.all(part.map(partsOf)))))), gap)

  /** What cannot stand both before and behind something else is one box. */
  async function rigid(id: string): Promise<Parts> {
    const parts = await partsOf(id)
    return parts.clusters.length === 0 ? parts : standIn(id, await layOut(parts))
  }

  /** A node as it is; a region that is nothing but a pack as one box, another one with what it holds. */
  async function partsOf(id: string): Promise<Parts> {
    const node = tree.node(id)
    if (node) {
      const { cluster: _, ...alone } = node
      return { nodes: [alone], clusters: [], blocks: new Map() }
    }
    const cluster = tree.cluster(id)
    const { nodes, clusters, blocks } = await partsIn(id)
    const [only] = nodes.length === 1 && clusters.length === 0 ? blocks.values() : []
    if (only) return standIn(id, framed(cluster, only))
    const { parent: _, ...outermost } = cluster
    return {
      nodes: nodes.map((each) => (each.cluster === undefined ? { ...each, cluster: id } : each)),
      clusters: [outermost, ...clusters.map((each) => (each.parent === undefined ? { ...each, parent: id } : each))],
      blocks,
    }
  }

  async function layOut({ nodes, clusters, blocks }: Parts): Promise<Block> {
    const [first] = nodes
    if (first && nodes.length === 1 && clusters.length === 0) return blocks.get(first.id) ?? cardBlock(first)
    const edges = liftedEdges(view, nodes, blocks)
    const sizes = new Map([...blocks].map(([id, { width, height }]) => [id, { width, height }]))
    const laid = await placeAtOrigin({ ...view, nodes, clusters, edges }, sizes, place)
    const held = laid.nodes.flatMap(({ node, at }) => {
      const block = blocks.get(node.id)
      const around = laid.clusters.find(({ cluster }) => cluster.id === node.cluster)
      return block ? [movedBlock(block, at, around ? around.depth + 1 : 0)] : []
    })
    return {
      ...laid,
      clusters: [...laid.clusters, ...held.flatMap((block) => block.clusters)],
      nodes: [...laid.nodes.filter(({ node }) => !blocks.has(node.id)), ...held.flatMap((block) => block.nodes)],
      edges: [...laid.edges, ...held.flatMap((block) => block.edges)],
    }
  }

  const whole = await layOut(await partsIn(undefined))
  return { ...whole, clusters: [...whole.clusters].sort((a, b) => a.depth - b.depth) }
}

/** Edges as they are between nodes, and one for all of a kind that lead from or to what a box stands for. */
function liftedEdges(
  { edges, nodes: given }: View,
  nodes: readonly ViewNode[],
  blocks: ReadonlyMap<string, Block>,
): ViewEdge[] {
  const holder = new Map(nodes.map(({ id }) => [id, id]))
  for (const [id, block] of blocks) for (const { node } of block.nodes) holder.set(node.id, id)
  const lifted = new Map<string, ViewEdge>()
  const whole: ViewEdge[] = []
  for (const edge of edges) {
    const [from, to] = [holder.get(edge.from), holder.get(edge.to)]
    if (from === undefined || to === undefined || from === to) continue
    if (from === edge.from && to === edge.to) whole.push(edge)
    else if (edge.kind !== 'temporal') {
      const key = `${from}\n${to}\n${edge.kind}`
      const before = lifted.get(key)
      const { label: _, both: __, ...bare } = edge
      if (!before) lifted.set(key, { ...bare, from, to })
      else if (edge.role === 'chain') lifted.set(key, { ...before, role: 'chain' })
    }
  }
  // What closes a circle leads back: the program's order says what stands first.
  const all = [...whole, ...lifted.values()]
  const circling = onCircles(all.filter(({ role, kind }) => role !== 'back' && kind !== 'temporal'))
  const order = new Map<string, number>()
  for (const { id } of given) {
    const box = holder.get(id)
    if (box !== undefined && !order.has(box)) order.set(box, order.size)
  }
  const isLate = ({ from, to }: ViewEdge) => (order.get(from) ?? 0) > (order.get(to) ?? 0)
  return [
    ...whole,
    ...[...lifted.values()].map(
      (edge): ViewEdge =>
        circling.has(edge.from) && circling.has(edge.to) && isLate(edge) ? { ...edge, role: 'back' } : edge,
    ),
  ]
}

const joined = (parts: readonly Parts[]): Parts => ({
  nodes: parts.flatMap(({ nodes }) => nodes),
  clusters: parts.flatMap(({ clusters }) => clusters),
  blocks: new Map(parts.flatMap(({ blocks }) => [...blocks])),
})

const standIn = (id: string, block: Block): Parts => ({
  nodes: [{ id, kind: 'compute', title: '', facts: [], chips: [], repeat: 1, tooltip: '' }],
  clusters: [],
  blocks: new Map([[id, block]]),
})

function cardBlock(node: ViewNode): Block {
  const size = cardSize(node)
  return { ...size, clusters: [], nodes: [{ node, at: { x: 0, y: 0, ...size } }], edges: [] }
}

/** A block with the frame of a region around it; one without a name has no room for it. */
function framed(cluster: ViewCluster, block: Block): Block {
  const top = cluster.title === '' ? inset : head
  const width = Math.max(block.width, headWidth(cluster)) + 2 * inset
  const height = top + block.height + inset
  const inside = movedBlock(block, { x: (width - block.width) / 2, y: top }, 1)
  return {
    ...inside,
    width,
    height,
    clusters: [{ cluster, depth: 0, at: { x: 0, y: 0, width, height } }, ...inside.clusters],
  }
}

/** What `place` makes of a view, its corner at 0, 0. */
async function placeAtOrigin(view: View, sizes: ReadonlyMap<string, Size>, place: PlaceView): Promise<Block> {
  // Graphviz is told of regions by number: what they are called would decide about the picture.
  const numbers = new Map(view.clusters.map(({ id }, at) => [id, `region ${at}`]))
  const numbered = (id: string) => numbers.get(id) ?? id
  const { bounds, clusters, nodes, edges } = await place(
    {
      ...view,
      nodes: view.nodes.map((node) =>
        node.cluster === undefined ? node : { ...node, cluster: numbered(node.cluster) },
      ),
      clusters: view.clusters.map((cluster) => ({
        ...cluster,
        id: numbered(cluster.id),
        ...(cluster.parent !== undefined && { parent: numbered(cluster.parent) }),
      })),
    },
    sizes,
  )
  const block: Block = {
    width: bounds.width,
    height: bounds.height,
    clusters: clusters.map(({ cluster, ...each }) => ({
      ...each,
      cluster: view.clusters[Number(cluster.id.slice(7))] ?? cluster,
    })),
    nodes: nodes.map(({ node, at }) => ({ node, at })),
    edges: edges.map((each) => ({ ...each, quiet: false })),
  }
  return movedBlock(block, { x: -bounds.x, y: -bounds.y }, 0)
}
