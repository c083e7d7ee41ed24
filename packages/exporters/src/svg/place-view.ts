import { layoutEdges } from '../dot-layout.js'
import { readableLimits } from '../tokens.js'
import { checkView, type View, type ViewCluster, type ViewEdge, type ViewNode } from '../view.js'
import { Bounds } from './bounds.js'
import { layOut, type Places } from './layout.js'
import { type Point, px, type Rect, rounded, widthOf } from './pen.js'
import { labelBeside, segments } from './route-label.js'
import { type SideRoute, sideRoutes, turned } from './routes.js'
import { pillWidth, type Size, sizeOf } from './shapes.js'

/** A view with a place for everything that is drawn, in pixels. */
export interface PlacedView {
  /** What contains all of it. */
  readonly bounds: Rect
  /** Outer ones before those inside of them; `depth` counts those around it. */
  readonly clusters: readonly { readonly cluster: ViewCluster; readonly at: Rect; readonly depth: number }[]
  /** What stands at the head of a row or column, such as stages, without a border. */
  readonly titles?: readonly { readonly cluster: ViewCluster; readonly at: Rect }[]
  /** Nodes; of a bar across lanes also how far from its left each member stands. */
  readonly nodes: readonly { readonly node: ViewNode; readonly at: Rect; readonly dots?: readonly number[] }[]
  /** The edges that are drawn, `path` as the `d` of an SVG path, and the box of the label where it has one. */
  readonly edges: readonly { readonly edge: ViewEdge; readonly path: string; readonly label?: Rect }[]
}

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

/** How deep each region is nested. */
export function depthsOf(clusters: readonly ViewCluster[]): Map<string, number> {
  const parents = new Map(clusters.map(({ id, parent }) => [id, parent]))
  const depth = (id: string | undefined): number => (id === undefined ? -1 : 1 + depth(parents.get(id)))
  return new Map(clusters.map(({ id }) => [id, depth(id)]))
}

/** A straight line as a curve that leaves and arrives along the direction. */
function bent(line: readonly Point[], direction: View['direction']): readonly Point[] {
  const [from, to] = [line[0], line.at(-1)]
  if (!from || !to) return line
  const half = direction === 'down' ? { x: 0, y: (to.y - from.y) / 2 } : { x: (to.x - from.x) / 2, y: 0 }
  return [from, { x: from.x + half.x, y: from.y + half.y }, { x: to.x - half.x, y: to.y - half.y }, to]
}

/** A Bézier curve, a point and then three for each piece, as the `d` of a path. */
export function curvePath(curve: readonly Point[]): string {
  const [first, ...rest] = curve
  if (!first) return ''
  let d = `M${px(first.x)} ${px(first.y)}`
  for (let at = 0; at + 2 < rest.length; at += 3)
    d += `C${rest
      .slice(at, at + 3)
      .map(({ x, y }) => `${px(x)} ${px(y)}`)
      .join(' ')}`
  return d
}

/**
 * Gives a view of any shape places, as pictures of it have them: by Graphviz, whose WebAssembly is loaded for it, and what skips or
 * returns beside the rest. Beyond 150 nodes it takes less care. `sizes` are those of nodes, by their ids, that stand for something
 * drawn elsewhere. Throws `ARGUMENT` for what is no view.
 */
export async function placeView(view: View, sizes: ReadonlyMap<string, Size> = new Map()): Promise<PlacedView> {
  checkView(view)
  const sizeAs = (node: ViewNode) => sizes.get(node.id) ?? sizeOf(node)
  const shown = drawnEdges(view)
  const rough = view.nodes.length > readableLimits.svg.nodes
  const { edges, columns } = layoutEdges(view, shown)
  const sideways = new Set(edges.flatMap(({ edge }, index) => (sideOf(edge, view) ? [index] : [])))
  const against = new Set(shown.flatMap((edge, index) => (passes(edge, view) ? [index] : [])))
  const returns = shown.some((edge) => sideOf(edge, view) !== 0)
  const place = () =>
    layOut({
      direction: view.direction,
      rough,
      nodes: view.nodes.map((node) => ({
        id: node.id,
        ...sizeAs(node),
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
          ...(against.has(index) ? { from: edge.to, to: edge.from } : { from: edge.from, to: edge.to }),
          attributes: against.has(index) ? ['weight=0'] : attributes,
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
  const paths = shown.map((_, index) => {
    const route = routes.get(index)
    const led = places.edges[index]?.curve ?? []
    const found = against.has(index) ? [...led].reverse() : led
    const curve = rough ? bent(found, view.direction) : found
    for (const { x, y } of route?.points ?? curve) bounds.add({ x, y, width: 0, height: 0 })
    return route ? route.points : curve
  })
  const heads = frames.map(({ cluster, at }) => ({
    ...at,
    height: 30,
    width: Math.max(at.width, headOf(cluster).width),
  }))
  const taken = [...places.nodes.values(), ...heads, ...[...routes.values()].flatMap(({ points }) => segments(points))]
  const labels = new Map<number, Rect>()
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
    labels.set(index, box)
  }
  return {
    bounds: { x: bounds.x, y: bounds.y, width: bounds.width, height: bounds.height },
    clusters: frames,
    nodes: view.nodes.map((node) => ({ node, at: places.nodes.get(node.id) ?? { x: 0, y: 0, ...sizeAs(node) } })),
    edges: shown.map((edge, index) => {
      const points = paths[index] ?? []
      const label = labels.get(index)
      return { edge, path: routes.has(index) ? rounded(points) : curvePath(points), ...(label && { label }) }
    }),
  }
}

/** On which side of what stands between its ends an edge runs; 0: between them. */
function sideOf({ role, from, to, kind }: ViewEdge, view: View): -1 | 0 | 1 {
  if (from === to || kind === 'communication' || view.level === 'stage') return 0
  return role === 'skip' ? -1 : role === 'back' ? 1 : 0
}

/**
 * Whether what returns from one card to another goes past a third, to which it returns as well. Graphviz leads it around them all, but
 * between the others where it is laid out in the direction of the picture.
 */
function passes({ from, to, role }: ViewEdge, { edges, nodes, direction, level }: View): boolean {
  if (role !== 'return' || direction !== 'right' || level === 'stage' || nodes.length > readableLimits.svg.nodes)
    return false
  // Stages that send to each other are no columns in one order, which such an edge would force on them.
  if (edges.some(({ kind }) => kind === 'communication')) return false
  const returns = edges.filter(({ role }) => role === 'return')
  const between = new Set(returns.flatMap((edge) => (edge.from === from ? [edge.to] : [])))
  return returns.some((edge) => edge.to === to && between.has(edge.from))
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
