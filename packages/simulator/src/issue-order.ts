import { type Place, type Program, type Segment, walk } from '@shardloom/core'
import { edgeKinds, type UnrolledGraph } from '@shardloom/core/unroll'
import { forwardValues } from './saved.js'

/**
 * The graph in which communication of backward that reads nothing but what forward saved, such as the gather of a sequence that
 * forward let go or the first hop of a ring, waits until backward of its layer has begun; and one that gathers parameters for backward
 * until the layers of forward are done, where nothing else holds it back. Their operands are long there, but a program issues them no
 * earlier, and what they make would be in memory all the while. `computes` tells which templates run on the compute stream.
 */
export function inIssueOrder(
  graph: UnrolledGraph,
  program: Program,
  computes: (template: number) => boolean,
): UnrolledGraph {
  const saved = forwardValues(program.items)
  const waits = graph.templates.map(
    ({ segment, communication, op, inputs }) =>
      segment === 'backward' &&
      communication !== undefined &&
      op !== 'send' &&
      op !== 'recv' &&
      inputs.every((id) => saved.has(id) && program.tensors.get(id)?.role === 'activation'),
  )
  const gathers = graph.templates.map(
    ({ segment, op, inputs }) =>
      segment === 'backward' &&
      op === 'all-gather' &&
      inputs.every((id) => program.tensors.get(id)?.role === 'parameter'),
  )
  const hops = graph.templates.map(
    ({ segment, op, communication }) => segment === 'backward' && op === 'send' && communication?.shift !== undefined,
  )
  if (!waits.includes(true) && !gathers.includes(true) && !hops.includes(true)) return graph
  const isBackward = graph.templates.map(({ segment }) => segment === 'backward')
  /** Later hops of a ring pass on what backward has received. */
  const isFirstHop = (node: number) => {
    for (let edge = graph.edgeStart[node] ?? 0; edge < (graph.edgeStart[node + 1] ?? 0); edge++)
      if (isBackward[graph.template[graph.edgeSource[edge] ?? 0] ?? 0]) return false
    return true
  }
  const bodies = new Map<string, { readonly place: Place; readonly segment: Segment; readonly order: number }>()
  const inLayers = new Set<string>()
  walk(program.items, ({ id, segment }, place) => {
    bodies.set(id, { place, segment, order: bodies.size })
    if (segment === 'forward' && place.path.some(({ region }) => region.axis === 'layer')) inLayers.add(id)
  })
  const forwards = graph.templates.map(({ id }, template) => inLayers.has(id) && computes(template))
  const places = graph.templates.map(({ id }) => bodies.get(id))
  const begins = new Set(graph.parts.map(({ firstNode }) => firstNode))
  const gate = new Int32Array(graph.nodeCount).fill(-1)
  let gates = 0
  /** The first node of the body at hand that computes, or the last one before it. */
  let [first, begun] = [-1, false]
  /** The last node of the part at hand that computes in a layer of forward. */
  let forward = -1
  for (let node = 0; node < graph.nodeCount; node++) {
    const template = graph.template[node] ?? 0
    const [before, own] = [node > 0 ? places[graph.template[node - 1] ?? 0] : undefined, places[template]]
    // Parts of a rank follow each other as they are.
    const isNewPart = begins.has(node)
    if (isNewPart) first = forward = -1
    if (forwards[template]) forward = node
    const isFree = graph.edgeStart[node] === graph.edgeStart[node + 1]
    if (gathers[template] && isFree && forward >= 0) {
      gate[node] = forward
      gates++
    }
    const isSameBody = before?.place === own?.place && before?.segment === own?.segment
    if (isNewPart || !isSameBody || (before?.order ?? -1) >= (own?.order ?? -1)) begun = false
    if (first >= 0 && (waits[template] || (hops[template] && isFirstHop(node)))) {
      gate[node] = first
      gates++
    }
    if (!begun && computes(template)) {
      first = node
      begun = true
    }
  }
  const edgeCount = graph.edgeCount + gates
  const edgeStart = new Uint32Array(graph.nodeCount + 1)
  const edgeSource = new Uint32Array(edgeCount)
  const edgeKind = new Uint8Array(edgeCount)
  let at = 0
  for (let node = 0; node < graph.nodeCount; node++) {
    edgeStart[node] = at
    for (let edge = graph.edgeStart[node] ?? 0; edge < (graph.edgeStart[node + 1] ?? 0); edge++) {
      edgeSource[at] = graph.edgeSource[edge] ?? 0
      edgeKind[at++] = graph.edgeKind[edge] ?? 0
    }
    const source = gate[node] ?? -1
    if (source < 0) continue
    edgeSource[at] = source
    edgeKind[at++] = edgeKinds.indexOf('temporal')
  }
  edgeStart[graph.nodeCount] = at
  return { ...graph, edgeCount, edgeStart, edgeSource, edgeKind }
}
