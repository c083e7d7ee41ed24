import { isSavedRole } from '../chain.js'
import { layoutEdges } from '../dot-layout.js'
import type { View, ViewCluster, ViewEdge } from '../view.js'
import { Bounds } from './bounds.js'
import { layOut, type Places } from './layout.js'
import { graphLegend } from './legend.js'
import type { Drawing } from './page.js'
import { moved, type Point, path, px, type Rect, rect, rounded, text, widthOf } from './pen.js'
import { labelBeside, segments } from './route-label.js'
import { type SideRoute, sideRoutes, turned } from './routes.js'
import { drawNode, pill, pillWidth, type Size, sizeOf } from './shapes.js'

/** Temporal edges of a node with more than these would hide what it does. */
const mostTemporal = 4

/** The edges that are drawn: the order of a node that waits for many is left to its tooltip. */
export function drawnEdges({ edges }: Pick<View, 'edges'>): ViewEdge[] {
  const counts = new Map<string, number>()
  for (const { kind, from, to } of edges)
    if (kind === 'temporal') for (const end of [from, to]) counts.set(end, (counts.get(end) ?? 0) + 1)
  const crowded = (id: string) => (counts.get(id) ?? 0) > mostTemporal
  return edges.filter(({ kind, from, to }) => kind !== 'temporal' || (!crowded(from) && !crowded(to)))
}

/** The size of what stands along the top of a region: its name, how often it runs, and its totals. */
export function headOf({ title, repeat, fact }: ViewCluster): Size {
  const pills = repeat > 1 ? pillWidth(repeat) + 8 : 0
  return { width: widthOf(title, 13, 'semibold') + pills + (fact ? widthOf(fact) + 28 : 0) + 4, height: 18 }
}

/** The border of a region. */
export const drawFrame = (at: Rect, depth: number) => rect(at, depth % 2 === 0 ? 'region' : 'inner', 10)

/** Along the top of a region its name, how often it runs, and on the right its totals. */
export function drawHead({ title, repeat, fact }: ViewCluster, at: Rect): string {
  const left = at.x + 14
  return [
    text({ x: left, y: at.y + 21 }, title, 'name clear'),
    pill(repeat, left + widthOf(title, 13, 'semibold') + 8, at.y + 16.5),
    fact ? text({ x: at.x + at.width - 14, y: at.y + 21 }, fact, 'fact clear', 'end') : '',
  ].join('')
}

/** How deep each region is nested. */
export function depthsOf(clusters: readonly ViewCluster[]): Map<string, number> {
  const parents = new Map(clusters.map(({ id, parent }) => [id, parent]))
  const depth = (id: string | undefined): number => (id === undefined ? -1 : 1 + depth(parents.get(id)))
  return new Map(clusters.map(({ id }) => [id, depth(id)]))
}

/** A curve in the style of its edge. */
export function drawCurve(edge: ViewEdge, curve: readonly Point[]): string {
  const [first, ...rest] = curve
  if (!first) return ''
  let d = `M${px(first.x)} ${px(first.y)}`
  for (let at = 0; at + 2 < rest.length; at += 3)
    d += `C${rest
      .slice(at, at + 3)
      .map(({ x, y }) => `${px(x)} ${px(y)}`)
      .join(' ')}`
  return path(d, edgeClass(edge), headsOf(edge))
}

/** The arrowheads of an edge. */
export const headsOf = ({ kind, both }: ViewEdge) => ({ end: kind, ...(both && { start: kind }) })

/** The classes of an edge. */
export const edgeClass = ({ kind, role }: ViewEdge) =>
  `edge-${kind}${isSavedRole(role) && kind === 'data' ? ' saved' : ''}`

/** A graph of any shape, its places from Graphviz and its shapes our own. */
export async function drawGraph(view: View): Promise<Drawing> {
  const shown = drawnEdges(view)
  const { edges, columns } = layoutEdges(view, shown)
  const sideways = new Set(edges.flatMap(({ edge }, index) => (sideOf(edge, view) ? [index] : [])))
  const returns = shown.some((edge) => sideOf(edge, view) !== 0)
  const place = () =>
    layOut({
      direction: view.direction,
      nodes: view.nodes.map((node) => ({
        id: node.id,
        ...sizeOf(node),
        ...(node.cluster !== undefined && { cluster: node.cluster }),
        diamond: node.kind === 'control' && !node.outside,
      })),
      clusters: view.clusters.map((cluster) => ({
        id: cluster.id,
        head: { ...headOf(cluster), height: view.direction === 'right' && returns ? 44 : 18 },
        ...(cluster.parent !== undefined && { parent: cluster.parent }),
      })),
      edges: [
        ...edges.map(({ edge, attributes }, index) => ({
          from: edge.from,
          to: edge.to,
          attributes,
          hidden: sideways.has(index),
          ...(edge.label && { label: { width: widthOf(edge.label) + 8, height: 14 } }),
        })),
        ...columns,
      ],
    })
  let places = await place()
  let routes = beside(shown, sideways, places, view)
  const stuck = () => [...sideways].filter((index) => !routes.has(index))
  // Graphviz finds a way for those, and makes room for it, in which others may be stuck.
  for (let left = stuck(); left.length > 0; left = stuck()) {
    for (const index of left) sideways.delete(index)
    places = await place()
    routes = beside(shown, sideways, places, view)
  }
  const depths = depthsOf(view.clusters)
  const outerFirst = [...view.clusters].sort((a, b) => (depths.get(a.id) ?? 0) - (depths.get(b.id) ?? 0))
  const frames = outerFirst.flatMap((cluster) => {
    const at = places.clusters.get(cluster.id)
    return at ? [{ cluster, at, depth: depths.get(cluster.id) ?? 0 }] : []
  })
  const bounds = new Bounds()
  for (const { at } of frames) bounds.add(at)
  for (const at of places.nodes.values()) bounds.add(at)
  const lines = shown.map((edge, index) => {
    const route = routes.get(index)
    const curve = places.edges[index]?.curve ?? []
    for (const { x, y } of route?.points ?? curve) bounds.add({ x, y, width: 0, height: 0 })
    return route ? path(rounded(route.points), edgeClass(edge), headsOf(edge)) : drawCurve(edge, curve)
  })
  const heads = frames.map(({ cluster, at }) => ({
    ...at,
    height: 30,
    width: Math.max(at.width, headOf(cluster).width),
  }))
  const taken = [...places.nodes.values(), ...heads, ...[...routes.values()].flatMap(({ points }) => segments(points))]
  const labels: string[] = []
  const labelled = new Set<string>()
  for (const [index, { label, from }] of shown.entries()) {
    const route = routes.get(index)
    const middle = places.edges[index]?.label
    // Of what one node sends along the same way, one label is enough.
    if (!label || (route && labelled.has(`${from} ${label}`))) continue
    labelled.add(`${from} ${label}`)
    const box = route
      ? labelBeside(route, widthOf(label), taken)
      : middle && { x: middle.x - widthOf(label) / 2, y: middle.y - 7, width: widthOf(label), height: 14 }
    if (!box) continue
    taken.push(box)
    bounds.add(box)
    labels.push(text({ x: box.x + box.width / 2, y: box.y + 11 }, label, 'fact clear', 'middle'))
  }
  const body = [
    ...frames.map(({ at, depth }) => drawFrame(at, depth)),
    ...lines,
    ...frames.map(({ cluster, at }) => drawHead(cluster, at)),
    ...view.nodes.map((node) => drawNode(node, places.nodes.get(node.id) ?? { x: 0, y: 0 })),
    ...labels,
  ].filter(Boolean)
  return {
    title: view.title,
    subtitle: view.subtitle,
    notice: view.notice,
    alt: describe(view),
    width: bounds.width,
    height: bounds.height,
    body: moved(body.join('\n'), { x: -bounds.x, y: -bounds.y }),
    legend: graphLegend(view),
  }
}

/** On which side of what stands between its ends an edge runs; 0: between them. */
function sideOf({ role, from, to, kind }: ViewEdge, { level }: View): -1 | 0 | 1 {
  if (from === to || kind === 'communication' || level === 'stage') return 0
  return role === 'skip' ? -1 : role === 'back' ? 1 : 0
}

/** The ways of edges that run beside nodes; in pictures from left to right above them. */
function beside(
  edges: readonly ViewEdge[],
  sideways: ReadonlySet<number>,
  places: Places,
  view: View,
): Map<number, SideRoute> {
  const turn = <Place extends Point | Rect>(place: Place) => (view.direction === 'right' ? turned(place) : place)
  const boxes = new Map([...places.nodes].map(([id, at]) => [id, turn(at)]))
  const asked = [...sideways].flatMap((index) => {
    const edge = edges[index]
    const [from, to] = [boxes.get(edge?.from ?? ''), boxes.get(edge?.to ?? '')]
    const side = edge && view.direction === 'down' ? sideOf(edge, view) : -1
    return from && to && side ? [{ index, from, to, side }] : []
  })
  const found = new Map<number, SideRoute>()
  sideRoutes(asked, [...boxes.values()], [...places.clusters.values()].map(turn)).forEach((route, at) => {
    const { index } = asked[at] ?? {}
    if (route && index !== undefined) found.set(index, { points: route.points.map(turn), middle: turn(route.middle) })
  })
  return found
}

/** What a graph is made of, in words. */
export function describe({ nodes, edges, title, subtitle }: View): string {
  const counts = new Map<string, number>()
  for (const { kind, outside } of nodes) if (!outside) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  const list = [...counts].map(([kind, count]) => `${count} ${kind}`).join(', ')
  const names = nodes.filter(({ kind }) => kind === 'communication').map((node) => node.title)
  const communication = [...new Set(names)].slice(0, 8).join('; ')
  return `${title}, ${subtitle}. ${nodes.length} nodes (${list}) and ${edges.length} edges.${communication ? ` Communication: ${communication}.` : ''}`
}
