import type { GraphView } from '../worker/protocol.js'
import type { PlaceView } from './compose.js'
import type { Flow } from './grid.js'
import { cellsOf, drawGrid, type PlaceOf } from './grid-picture.js'
import { placeLanes } from './place-lanes.js'
import { fitZoom, type Placed, type Room, readableZoom, type ViewCluster } from './placed.js'

const stageId = /^stage \d+$/
const rankId = /^rank \d+$/

/**
 * Gives a view places in a room. Stages, or the parts of a pass, follow each other along the flow, and backward stands beside its
 * forward; the flow is the view's own, unless the other one shows more in a room that no opened card overflows. What an opened card holds is laid out by
 * `place`, which is Graphviz where it may be loaded. Ranks stand side by side.
 */
export async function placeGraph(view: GraphView, room: Room, place: PlaceView): Promise<Placed> {
  const tops = view.clusters.filter(({ parent }) => parent === undefined)
  if (tops.some(({ id }) => rankId.test(id))) return placeLanes(view, place)
  const stages = tops.filter(({ id }) => stageId.test(id))
  const cells = await cellsOf(view, stages.length > 0 ? stagePlaces(view, stages) : unitPlaces(view), place)
  const other: Flow = view.direction === 'right' ? 'down' : 'right'
  const own = drawGrid(view, stages, cells, view.direction)
  const zoom = fitZoom(own.bounds, room)
  const tooLarge = cells.cells.some(({ block }) => fitZoom(block, room) < readableZoom)
  if (zoom >= readableZoom || cells.cells.length < 2 || tooLarge) return own
  const turned = drawGrid(view, stages, cells, other)
  return fitZoom(turned.bounds, room) > zoom ? turned : own
}

/** Every stage is a slot, and forward, backward and optimizer are bands. A card of several stages reaches over all bands that send. */
function stagePlaces(view: GraphView, stages: readonly ViewCluster[]): PlaceOf {
  const slots = new Map<string, number>()
  const bands = new Map<string, number>()
  const topOf = (id: string) => stages.find((stage) => id.startsWith(`${stage.id}/`))?.id ?? id
  const segmentOf = (id: string) => id.slice(topOf(id).length + 1).split('/')[0] ?? ''
  const ports = new Set(view.ports)
  for (const { id } of view.nodes) {
    if (ports.has(id)) continue
    const [top, segment] = [topOf(id), segmentOf(id)]
    if (!slots.has(top)) slots.set(top, slots.size)
    if (segment !== '' && !bands.has(segment)) bands.set(segment, bands.size)
  }
  const sending = view.edges.flatMap(({ kind, from, to }) =>
    kind === 'communication' ? [from, to].flatMap((id) => bands.get(segmentOf(id)) ?? []) : [],
  )
  return ({ id }) => {
    const slot = slots.get(topOf(id)) ?? 0
    const segment = segmentOf(id)
    if (segment !== '' || sending.length === 0) return { slot, band: bands.get(segment) ?? 0 }
    return { slot, band: Math.min(...sending), lastBand: Math.max(...sending) }
  }
}

/** A part of a segment: `forward/layer`, or one of its iterations, `forward/layer[layer=3]`. */
function unitOf(id: string): readonly [segment: string, unit: string] {
  const [segment = id, part] = id.split('/')
  const [iteration = ''] = /\[[^[\]]*\]$/.exec(id) ?? []
  return [segment, part === undefined ? segment : `${segment}/${part.replace(iteration, '')}${iteration}`]
}

/**
 * The parts of forward are slots in their order; backward and what follows are bands, each part beside what it returns from, except where
 * frames hold several parts together.
 */
function unitPlaces(view: GraphView): PlaceOf {
  const bands = new Map<string, string[]>()
  for (const { id } of view.nodes) {
    const [segment, unit] = unitOf(id)
    const units = bands.get(segment) ?? []
    bands.set(segment, units)
    if (!units.includes(unit)) units.push(unit)
  }
  const [first = '', ...rest] = bands.keys()
  let order = [...(bands.get(first) ?? [])]
  for (const segment of rest) {
    const mirrored = (unit: string) => unit.replace(segment, first)
    const returning = (bands.get(segment) ?? []).filter((unit) => unit !== segment)
    let before = order.length
    for (const unit of returning) {
      const known = order.indexOf(mirrored(unit))
      if (known >= 0) {
        before = known
        continue
      }
      // What has no forward stands before what it works for.
      const next = view.edges.find(
        ({ from, to }) => unitOf(from)[1] === unit && unitOf(to)[0] === segment && unitOf(to)[1] !== unit,
      )
      const after = next ? order.indexOf(mirrored(unitOf(next.to)[1])) + 1 : 0
      const at = after > 0 ? after : before
      order = [...order.slice(0, at), mirrored(unit), ...order.slice(at)]
    }
  }
  const segments = [first, ...rest]
  const whole = heldTogether(view)
  return ({ id }) => {
    const [segment, unit] = unitOf(id)
    if (segment !== first && whole.has(segment)) return { slot: 0, band: segments.indexOf(segment), loose: true }
    const slot = order.indexOf(unit.replace(segment, first))
    return { slot: Math.max(0, slot), band: segments.indexOf(segment) }
  }
}

/** The segments of which a frame holds several parts. */
function heldTogether({ nodes, clusters }: GraphView): Set<string> {
  const parents = new Map(clusters.map(({ id, parent }) => [id, parent]))
  const held = new Map<string, Map<string, string>>()
  for (const { id, cluster } of nodes) {
    const [segment, unit] = unitOf(id)
    for (let at = cluster; at !== undefined; at = parents.get(at))
      held.set(at, (held.get(at) ?? new Map()).set(unit, segment))
  }
  const segmentsOf = [...held.values()].filter(({ size }) => size > 1).map((units) => new Set(units.values()))
  return new Set(segmentsOf.flatMap((segments) => (segments.size === 1 ? [...segments] : [])))
}
