import { isSavedRole } from '../chain.js'
import { layoutEdges } from '../dot-layout.js'
import type { View, ViewCluster, ViewEdge } from '../view.js'
import { barHeight, barStep, barWidth } from './lane-bars.js'
import type { Lane, Lanes } from './lanes.js'
import { layOut, type Places } from './layout.js'
import { type Rect, widthOf } from './pen.js'
import { headOf } from './place-view.js'
import { sizeOf } from './shapes.js'

/**
 * Gives everything of the first lane a place; the others look the same. `rows` says how many bars of a collective stand above each
 * other, `heads` whether the heads of regions need room in the lane.
 */
export function placeLane(
  view: View,
  { lanes, bars, edges }: Lanes,
  rows: ReadonlyMap<string, { readonly count: number }>,
  sideways: readonly boolean[],
  heads: 'narrow' | 'wide',
): Promise<Places> {
  const [first] = lanes
  if (!first) throw new Error('internal error: no lane')
  const top = first.cluster.id
  const regions = view.clusters.filter(({ id }) => id.startsWith(first.prefix))
  const inside = clustersOfBars(edges, first, regions, top)
  const nodes = [...first.nodes]
  const last = nodes.findLast(([, { outside }]) => !outside)?.[0]
  // What stands beside a selection and only takes from it comes after it: its regions would lie beside those of the selection.
  const after = nodes.filter(
    ([key, { outside }]) => outside && last !== undefined && edges.every(({ from }) => from !== key),
  )
  return layOut({
    direction: 'down',
    nodes: [
      ...nodes.map(([key, node]) => ({
        id: key,
        ...sizeOf(node),
        ...(node.cluster !== undefined && node.cluster !== top && { cluster: node.cluster }),
        diamond: node.kind === 'control' && !node.outside,
      })),
      ...[...bars].map(([key, list]) => ({
        id: key,
        // A bar across lanes lies over what is between them; in a lane alone nothing may.
        width: lanes.length > 1 ? 132 : Math.max(...list.map(({ node }) => barWidth(node))),
        height: barHeight + barStep * ((rows.get(key)?.count ?? 1) - 1),
        ...(inside.has(key) && { cluster: inside.get(key) as string }),
      })),
    ],
    clusters: regions.map((cluster) => ({
      id: cluster.id,
      head: { ...headOf(cluster), ...(heads === 'narrow' && { width: 10 }) },
      ...(cluster.parent !== undefined && cluster.parent !== top && { parent: cluster.parent }),
    })),
    edges: [
      ...layoutEdges({ ...view, clusters: regions, nodes: nodes.map(([, node]) => node) }, edges).edges.map(
        ({ edge, attributes }, index) => ({
          from: edge.from,
          to: edge.to,
          attributes,
          hidden: sideways[index] === true,
          ...(edge.label && { label: { width: widthOf(edge.label) + 8, height: 14 } }),
        }),
      ),
      ...after.map(([key]) => ({ from: last ?? key, to: key, attributes: ['style=invis'] })),
    ],
  })
}

/** The region of what stands outside of the lanes: the innermost one around all of its neighbours. */
function clustersOfBars(
  edges: readonly ViewEdge[],
  { nodes }: Lane,
  regions: readonly ViewCluster[],
  top: string,
): Map<string, string> {
  const parents = new Map(regions.map(({ id, parent }) => [id, parent]))
  const chain = (id: string | undefined): string[] => {
    const list: string[] = []
    for (let at = id; at !== undefined && at !== top; at = parents.get(at)) list.push(at)
    return list
  }
  const found = new Map<string, string>()
  const around = new Map<string, string[][]>()
  for (const { from, to, role } of edges) {
    if (isSavedRole(role)) continue
    for (const [bar, other] of [
      [from, to],
      [to, from],
    ] as const)
      if (!nodes.has(bar) && nodes.has(other))
        around.set(bar, [...(around.get(bar) ?? []), chain(nodes.get(other)?.cluster)])
  }
  for (const [bar, chains] of around) {
    const common = chains[0]?.find((id) => chains.every((each) => each.includes(id)))
    if (common !== undefined) found.set(bar, common)
  }
  return found
}

/** Whether a region, or one around it, stands beside another, so that it cannot reach across all lanes. */
export function besideOthers(
  { id, parent }: ViewCluster,
  regions: readonly ViewCluster[],
  places: ReadonlyMap<string, Rect>,
): boolean {
  const at = places.get(id)
  const outer = regions.find((each) => each.id === parent)
  if (outer && besideOthers(outer, regions, places)) return true
  return regions.some((each) => {
    const other = places.get(each.id)
    if (!at || !other || each.id === id || each.parent !== parent) return false
    return at.y < other.y + other.height && other.y < at.y + at.height
  })
}
