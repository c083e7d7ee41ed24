import { isSavedRole } from '../chain.js'
import { layoutEdges } from '../dot-layout.js'
import type { View, ViewCluster, ViewEdge, ViewNode } from '../view.js'
import { Bounds } from './bounds.js'
import { depthsOf, describe, drawCurve, drawFrame, drawHead, drawnEdges, edgeClass, headOf, headsOf } from './graph.js'
import { layOut } from './layout.js'
import { graphLegend } from './legend.js'
import type { Drawing } from './page.js'
import { circle, group, moved, type Point, path, px, type Rect, rounded, text, widthOf } from './pen.js'
import { sideRoutes } from './routes.js'
import { drawNode, hexagon, pill, pillWidth, sizeOf, slope } from './shapes.js'

/** One rank of a picture with ranks side by side, and what it does, by ids without its own prefix. */
interface Lane {
  readonly cluster: ViewCluster
  readonly prefix: string
  readonly nodes: ReadonlyMap<string, ViewNode>
}

/** Ranks that do the same, and what they do together. */
interface Lanes {
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

/** How much further in the border of a region stands than that of the one around it. */
const inset = 10
const barHeight = 46
const barStep = 56

/** Draws ranks side by side, one layout for all of them; what a group does together is one bar across its lanes. */
export async function drawLanes(view: View, { lanes, bars, edges }: Lanes): Promise<Drawing> {
  const [first] = lanes
  if (!first) throw new Error('internal error: no lane')
  const top = first.cluster.id
  const regions = view.clusters.filter(({ id }) => id.startsWith(first.prefix))
  const inside = clustersOfBars(edges, first, regions, top)
  const rows = new Map([...bars].map(([key, list]) => [key, rowsOf(list.map(({ members }) => members))]))
  const sideways = edges.map(({ role }) => role === 'skip' || role === 'back')
  const lane = { ...view, clusters: regions, nodes: [...first.nodes.values()] }
  const places = await layOut({
    direction: 'down',
    nodes: [
      ...[...first.nodes].map(([key, node]) => ({
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
      // Regions reach across all lanes: their heads need no room in one.
      head: { width: 10, height: headOf(cluster).height },
      ...(cluster.parent !== undefined && cluster.parent !== top && { parent: cluster.parent }),
    })),
    edges: layoutEdges(lane, edges).edges.map(({ edge, attributes }, index) => ({
      from: edge.from,
      to: edge.to,
      attributes,
      hidden: sideways[index] === true,
      ...(edge.label && { label: { width: widthOf(edge.label) + 8, height: 14 } }),
    })),
  })
  const boxes = [...places.nodes.values()]
  const half = (lanes.length - 1) / 2
  const drawn = lanes.map((_, index) =>
    drawEdges(edges, places, boxes, index <= half && lanes.length > 1 ? -1 : 1, sideways),
  )
  const heads = lanes.map(({ cluster }) => widthOf(cluster.title, 13, 'semibold') + pillWidth(cluster.repeat) + 16)
  const depths = depthsOf(view.clusters)
  const side = 18 + inset * Math.max(0, ...regions.map(({ id }) => (depths.get(id) ?? 1) - 1))
  const spans = drawn.map(({ bounds }, index) => {
    for (const box of boxes) bounds.add(box)
    const [left, right] = [bounds.x - side, bounds.x + bounds.width + side]
    const spare = Math.max(0, (heads[index] ?? 0) - (right - left)) / 2
    return { left: left - spare, right: right + spare }
  })
  const barTexts = [...bars.values()].flatMap((list) => list.map(({ node, members }) => ({ node, members })))
  const widest = Math.max(0, ...spans.map(({ left, right }) => right - left))
  const needed = barTexts.map(
    ({ node, members }) => barWidth(node) / Math.max(1, (members.at(-1) ?? 0) - (members[0] ?? 0) + 0.6),
  )
  const headsOfRegions = regions.map((cluster) => (headOf(cluster).width + 60) / lanes.length)
  const pitch = Math.max(
    widest,
    ...(lanes.length > 1 ? needed : barTexts.map(({ node }) => barWidth(node) + 24)),
    ...headsOfRegions,
  )
  const gap = 24
  const offsets = spans.map(({ left, right }, index) => index * (pitch + gap) + (pitch - (right - left)) / 2 - left)
  const total = lanes.length * pitch + (lanes.length - 1) * gap
  const above = 34
  const parts: string[] = []
  const outerFirst = [...regions].sort((a, b) => (depths.get(a.id) ?? 0) - (depths.get(b.id) ?? 0))
  const alone = outerFirst.filter((cluster) => besideOthers(cluster, regions, places.clusters))
  const frames = outerFirst.flatMap((cluster) => {
    const at = places.clusters.get(cluster.id)
    const depth = (depths.get(cluster.id) ?? 1) - 1
    if (!at) return []
    if (alone.includes(cluster))
      return offsets.map((offset) => {
        const own = { ...at, x: at.x + offset, y: at.y + above }
        return { cluster, depth, at: own, head: own }
      })
    const wide = { x: inset * depth, y: at.y + above, width: total - 2 * inset * depth, height: at.height }
    // Residuals run between the border and the head.
    return [{ cluster, depth, at: wide, head: { ...wide, x: side, width: total - 2 * side } }]
  })
  for (const { at, depth } of frames) parts.push(drawFrame(at, depth))
  for (let index = 1; index < lanes.length; index++) {
    const x = index * (pitch + gap) - gap / 2
    parts.push(path(`M${px(x)} 0V${px(places.height + above)}`, 'lane'))
  }
  // Residuals run between the border and the head.
  for (const { head, cluster } of frames) parts.push(drawHead(cluster, head))
  for (const [index, { cluster }] of lanes.entries()) {
    const centre = index * (pitch + gap) + pitch / 2
    const pills = cluster.repeat > 1 ? pillWidth(cluster.repeat) + 8 : 0
    const title = { x: centre - pills / 2, y: 12 }
    parts.push(text(title, cluster.title, 'name clear', 'middle'))
    parts.push(pill(cluster.repeat, title.x + widthOf(cluster.title, 13, 'semibold') / 2 + 8, 8))
    parts.push(moved(drawn[index]?.lines ?? '', { x: offsets[index] ?? 0, y: above }))
  }
  for (const [key, list] of bars) {
    const at = places.nodes.get(key)
    if (!at) continue
    for (const [index, { node, members }] of list.entries()) {
      const y = at.y + above + barStep * (rows.get(key)?.rowOf[index] ?? 0)
      parts.push(
        drawBar(
          node,
          members.map((lane) => (offsets[lane] ?? 0) + at.x + at.width / 2),
          y,
        ),
      )
    }
  }
  for (const [index, { nodes }] of lanes.entries())
    for (const [key, node] of nodes) {
      const at = places.nodes.get(key)
      if (at) parts.push(drawNode(node, { x: at.x + (offsets[index] ?? 0), y: at.y + above }))
    }
  for (const [index] of lanes.entries())
    parts.push(moved(drawn[index]?.labels ?? '', { x: offsets[index] ?? 0, y: above }))
  return {
    title: view.title,
    subtitle: view.subtitle,
    notice: view.notice,
    alt: `${describe(view)} Each collective is one bar across the lanes of its group.`,
    width: total,
    height: places.height + above,
    body: parts.filter(Boolean).join('\n'),
    legend: graphLegend(view),
  }
}

/** Whether a region, or one around it, stands beside another, so that it cannot reach across all lanes. */
function besideOthers(
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

/** In which of several rows each bar stands, so that none lies across another. */
function rowsOf(groups: readonly (readonly number[])[]): { readonly count: number; readonly rowOf: readonly number[] } {
  const rows: [number, number][][] = []
  const rowOf = groups.map((members) => {
    const [from, to] = [members[0] ?? 0, members.at(-1) ?? 0]
    const free = rows.findIndex((taken) => taken.every(([a, b]) => to < a || b < from))
    const row = free < 0 ? rows.push([]) - 1 : free
    rows[row]?.push([from, to])
    return row
  })
  return { count: Math.max(1, rows.length), rowOf }
}

const factOf = (node: ViewNode) => node.facts.join(' · ')
const barWidth = (node: ViewNode) =>
  Math.max(widthOf(node.title, 13, 'semibold'), widthOf(factOf(node))) + 2 * slope + 24

/** A collective: one hexagon from the lane of its first member to that of its last, with a dot in the lane of each. */
function drawBar(node: ViewNode, centres: readonly number[], y: number): string {
  const [left = 0, right = left] = [Math.min(...centres), Math.max(...centres)]
  const middle = (left + right) / 2
  const needed = barWidth(node)
  const width = Math.max(right - left + 150, needed)
  const at: Rect = { x: middle - width / 2, y, width, height: barHeight }
  const reach = Math.max(widthOf(node.title, 13, 'semibold'), widthOf(factOf(node))) / 2 + 14
  const dots = centres.length > 1 ? centres.filter((x) => Math.abs(x - middle) > reach) : []
  const member = dots.map((x) => circle({ x, y: y + barHeight / 2 }, 4, 'dot')).join('')
  const line = (from: number, to: number) =>
    to - from > 12 ? path(`M${px(from)} ${px(y + barHeight / 2)}H${px(to)}`, 'member') : ''
  const lines = centres.length > 1 ? line(left, middle - reach + 6) + line(middle + reach - 6, right) : ''
  const label =
    text({ x: middle, y: y + 19.5 }, node.title, 'name', 'middle') +
    text({ x: middle, y: y + 35 }, factOf(node), 'fact', 'middle')
  return group(hexagon(at, 'communication') + lines + member + label, node.tooltip, node.id)
}

/** The edges of one lane: residuals on its outer side, short ones as curves of our own, others as Graphviz leads them. */
function drawEdges(
  edges: readonly ViewEdge[],
  places: Awaited<ReturnType<typeof layOut>>,
  boxes: readonly Rect[],
  outer: -1 | 1,
  sideways: readonly boolean[],
): { readonly lines: string; readonly labels: string; readonly bounds: Bounds } {
  const bounds = new Bounds()
  const asked = edges.flatMap((edge, index) => {
    const [from, to] = [places.nodes.get(edge.from), places.nodes.get(edge.to)]
    const side: -1 | 1 = edge.role === 'skip' ? outer : outer < 0 ? 1 : -1
    return sideways[index] && from && to ? [{ index, from, to, side }] : []
  })
  const routes = new Map(sideRoutes(asked, boxes, []).map((route, at) => [asked[at]?.index ?? -1, route]))
  const [lines, labels]: [string[], string[]] = [[], []]
  const labelled = new Set<string>()
  for (const [index, edge] of edges.entries()) {
    const route = routes.get(index)
    const [from, to] = [places.nodes.get(edge.from), places.nodes.get(edge.to)]
    const { curve = [], label } = places.edges[index] ?? {}
    if (route) {
      for (const point of route.points) bounds.add({ ...point, width: 0, height: 0 })
      lines.push(path(rounded(route.points), edgeClass(edge), headsOf(edge)))
      const key = `${edge.from} ${edge.label}`
      if (!edge.label || labelled.has(key)) continue
      labelled.add(key)
      const end = edge.role === 'skip' ? outer : -outer
      const [x, width] = [route.middle.x + 6 * end, widthOf(edge.label)]
      labels.push(text({ x, y: route.middle.y + 4 }, edge.label, 'fact clear', end < 0 ? 'end' : 'start'))
      bounds.add({ x: end < 0 ? x - width : x, y: route.middle.y, width, height: 1 })
      continue
    }
    const straight = from && to && direct(from, to, boxes)
    lines.push(straight ? drawCurve(edge, straight) : drawCurve(edge, curve))
    for (const point of straight || curve) bounds.add({ ...point, width: 0, height: 0 })
    if (!edge.label) continue
    const at = straight ? middleOf(straight) : label && { x: label.x - widthOf(edge.label) / 2, y: label.y }
    if (!at) continue
    const x = straight ? at.x + 7 : at.x
    labels.push(text({ x, y: at.y + 4 }, edge.label, 'fact clear'))
    bounds.add({ x, y: at.y, width: widthOf(edge.label), height: 1 })
  }
  return { lines: lines.filter(Boolean).join('\n'), labels: labels.join('\n'), bounds }
}

/** A curve from the bottom of one box to the top of another, where nothing is between them. */
function direct(from: Rect, to: Rect, boxes: readonly Rect[]): Point[] | undefined {
  const [top, bottom] = [from.y + from.height, to.y]
  if (bottom <= top) return undefined
  const start = { x: from.x + from.width / 2, y: top }
  const aim = to.x + to.width / 2
  // What comes from the side enters a little on that side.
  const lean = Math.sign(start.x - aim) * Math.min(Math.abs(start.x - aim), to.width / 3.4)
  const end = { x: aim + (Math.abs(start.x - aim) < 1 ? 0 : lean), y: bottom }
  const [left, right] = [Math.min(start.x, end.x) - 6, Math.max(start.x, end.x) + 6]
  const blocked = boxes.some(
    (box) =>
      box !== from &&
      box !== to &&
      box.y < bottom &&
      box.y + box.height > top &&
      box.x < right &&
      box.x + box.width > left,
  )
  if (blocked) return undefined
  const bend = (bottom - top) * 0.55
  return [start, { x: start.x, y: top + bend }, { x: end.x, y: bottom - bend }, end]
}

const middleOf = (curve: readonly Point[]): Point => {
  const [a, b] = [curve[0], curve.at(-1)]
  return { x: ((a?.x ?? 0) + (b?.x ?? 0)) / 2, y: ((a?.y ?? 0) + (b?.y ?? 0)) / 2 }
}
