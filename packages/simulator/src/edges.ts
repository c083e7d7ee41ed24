import {
  bodyAt,
  bodyCounts,
  checkProgram,
  type Earlier,
  type EdgeKind,
  type Item,
  type NodeKind,
  type Place,
  type Port,
  type Program,
  type Region,
  sourcesOf,
  walk,
} from '@shardloom/core'
import { countTurnEdges, programOf, slotsRun } from '@shardloom/core/unroll'

/** Nodes and edges of the rolled program. */
export function measureFolded(program: Program): {
  readonly nodes: Record<NodeKind, bigint>
  readonly edges: Record<EdgeKind, bigint>
} {
  checkProgram(program)
  const nodes: Record<NodeKind, bigint> = { compute: 0n, communication: 0n, control: 0n, memory: 0n }
  walk(program.items, (node) => {
    nodes[node.kind] += 1n
  })
  return { nodes, edges: countEdges(program, true) }
}

/** The edges of what one rank runs, unrolled; the schedule of a pipeline leads from each of its actions to the next, or to both of a pair, and turns go on over all of them. */
export function countRankEdges(program: Program, rank: number): Record<EdgeKind, bigint> {
  const edges = countEdges(programOf(program, rank), false)
  slotsRun(program, rank).forEach((actions, slot, slots) => {
    edges.temporal += BigInt(actions * (slots[slot - 1] ?? 0))
  })
  edges.temporal += BigInt(countTurnEdges(program, rank))
  return edges
}

/**
 * Counts edges. Unrolled (`folded` false): one data edge per operand and execution whose value a node of the step made (a
 * sum over iterations has one per term), one temporal edge per `after` and execution (what ties barriers to other ranks is no rank's own), and one communication edge per
 * collective and rank, its tie to the other members, and per hop, from the send to its recv. Folded: one per operand,
 * `after`, collective and hop of the rolled program, plus one per carry that returns. Linear in the rolled program and the
 * iterations of its regions.
 */
export function countEdges(program: Program, folded: boolean): Record<EdgeKind, bigint> {
  checkProgram(program)
  const sources = sourcesOf(program.items)
  const edges: Record<EdgeKind, bigint> = { data: 0n, temporal: 0n, communication: 0n }
  const paths = new Map<string, Place['path']>()
  walk(program.items, ({ id }, { path }) => paths.set(id, path))
  /** How many nodes stand behind one value of a tensor; on average over the iterations of a reader, where it has a path. */
  const fanIn = (id: string, reader: Place['path'] = []): number => {
    const source = sources.get(id)
    if (!source) return 0
    if (folded) return 1
    if (source.kind === 'node') return shareOf(paths.get(source.id) ?? [], reader)
    if (source.kind === 'carry-inner') return Math.max(...arriving(source.region, source.port))
    if (source.kind === 'carry-result') return arriving(source.region, source.port).at(-1) ?? 0
    const counts = bodyCounts(source.region)
    return source.port.inner.reduce(
      (sum, inner, body) => sum + (inner ? fanIn(inner, reader) * (counts[body] ?? 0) : 0),
      0,
    )
  }
  const arrivals = new Map<Region, Map<Port, number[]>>()
  /** How many nodes stand behind a carried value, by the place in time of the iteration that it enters; last, the result. */
  const arriving = (region: Region, port: Port): readonly number[] => {
    const known = arrivals.get(region)?.get(port)
    if (known) return known
    const carries = region.ports.flatMap((each) => (each.kind === 'carry' ? [each] : []))
    const values = new Map<Port, number[]>(carries.map((each) => [each, [fanIn(each.initial)]]))
    arrivals.set(region, values)
    for (let place = 0; place < region.extent; place++) {
      const body = bodyAt(region, placeOf(region, place))
      for (const each of carries) {
        const id = each.next[body] ?? ''
        const handedOn = carries.find(({ inner }) => inner === id)
        values.get(each)?.push((handedOn ? values.get(handedOn)?.[place] : fanIn(id)) ?? 0)
      }
    }
    return values.get(port) ?? []
  }
  const visit = (list: readonly Item[], executions: number, path: readonly { region: Region; body: number }[]) => {
    for (const item of list) {
      if (item.type === 'region') {
        const counts = bodyCounts(item)
        if (folded) edges.data += BigInt(item.ports.filter((port) => port.kind === 'carry').length)
        item.bodies.forEach((body, index) => {
          visit(body.items, folded ? 1 : executions * (counts[index] ?? 0), [...path, { region: item, body: index }])
        })
        continue
      }
      for (const before of item.after ?? [])
        edges.temporal += BigInt(folded ? 1 : Math.round(executions * waits(before, path)))
      if (item.communication && item.op !== 'send') edges.communication += BigInt(executions)
      if (item.op === 'recv' && item.communication?.shift !== undefined) continue
      for (const id of item.inputs) edges.data += BigInt(Math.round(readings(id, executions, path)))
    }
  }
  /** In what share of a node's executions there is what it waits for. */
  const waits = (before: string | Earlier, path: Place['path']) => {
    const holds = (items: readonly Item[] | undefined, id: string) => items?.some((item) => item.id === id) ?? false
    const bodies = [program.items, ...path.map(({ region, body }) => region.bodies[body]?.items)]
    if (typeof before === 'string') return bodies.filter((items) => holds(items, before)).length
    const around = path.at(-1)
    // Waits in turns are counted of a rank.
    if (!around || before.turns) return 0
    const { region, body } = around
    const at = (place: number) => bodyAt(region, placeOf(region, place))
    let count = 0
    for (let place = before.distance; place < region.extent; place++)
      if (at(place) === body && holds(region.bodies[at(place - before.distance)]?.items, before.item)) count++
    return count / (bodyCounts(region)[body] || 1)
  }
  /** Data edges into all executions of one reader of `id`. */
  const readings = (id: string, executions: number, path: readonly { region: Region; body: number }[]): number => {
    const source = sources.get(id)
    if (!source) return 0
    if (folded || source.kind !== 'carry-inner' || executions === 0) return fanIn(id, path) * executions
    const { region, port } = source
    const here =
      path.find((each) => each.region.id === region.id) ?? path.find((each) => each.region.axis === region.axis)
    if (!here) return (arriving(region, port).at(-2) ?? 0) * executions
    const perIteration = executions / (bodyCounts(here.region)[here.body] || 1)
    let sum = 0
    arriving(region, port).forEach((count, place) => {
      if (place < region.extent && bodyAt(here.region, placeOf(region, place)) === here.body) sum += count
    })
    return sum * perIteration
  }
  visit(program.items, 1, [])
  return edges
}

/**
 * The share of a reader's iterations that a node has too, which stands in other regions of the same axes: of a pipeline's
 * two directions each has the layers of its own chunks only.
 */
function shareOf(node: Place['path'], reader: Place['path']): number {
  let share = 1
  for (const { region, body } of node) {
    const here = reader.find((each) => each.region.axis === region.axis)
    if (!here || reader.some((each) => each.region === region)) continue
    let [both, own] = [0, 0]
    for (let iteration = 0; iteration < here.region.extent; iteration++) {
      if (bodyAt(here.region, iteration) !== here.body) continue
      own++
      if (iteration < region.extent && bodyAt(region, iteration) === body) both++
    }
    share *= own ? both / own : 0
  }
  return share
}

/** The iteration that runs at a place in time, and the other way round. */
function placeOf({ order, extent }: Region, place: number): number {
  return order === 'reverse' ? extent - 1 - place : place
}
