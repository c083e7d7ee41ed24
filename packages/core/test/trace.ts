import type { Item, Program, Region } from '@shardloom/core'
import { edgeKinds, type UnrolledGraph } from '@shardloom/core/unroll'

/** The edges into a node as texts: kind, source. */
export const into = (graph: UnrolledGraph, node: number): string[] => {
  const edges: string[] = []
  for (let edge = graph.edgeStart[node] ?? 0; edge < (graph.edgeStart[node + 1] ?? 0); edge++)
    edges.push(`${edgeKinds[graph.edgeKind[edge] ?? 0]} ${graph.idOf(graph.edgeSource[edge] ?? 0)}`)
  return edges
}

/** The sources of communication edges into a node. */
export const tiesInto = (graph: UnrolledGraph, node: number): number[] => {
  const ties: number[] = []
  for (let edge = graph.edgeStart[node] ?? 0; edge < (graph.edgeStart[node + 1] ?? 0); edge++)
    if (edgeKinds[graph.edgeKind[edge] ?? 0] === 'communication') ties.push(graph.edgeSource[edge] ?? 0)
  return ties
}

/** Edges of one rank that do not come from an earlier node. */
export const late = (graph: UnrolledGraph): string[] => {
  const found: string[] = []
  for (let node = 0; node < graph.nodeCount; node++)
    for (let edge = graph.edgeStart[node] ?? 0; edge < (graph.edgeStart[node + 1] ?? 0); edge++)
      if ((graph.edgeSource[edge] ?? 0) >= node)
        found.push(`${graph.idOf(graph.edgeSource[edge] ?? 0)} to ${graph.idOf(node)}`)
  return found
}

type At = readonly (readonly [axis: string, iteration: number])[]
interface Value {
  readonly at: At
  readonly sources: readonly string[]
}

/** The bodies of a region in the order of its iterations, by its definition: the list of runs repeats. */
export function bodiesOf({ select, extent, bodies }: Region) {
  const period = select.flatMap(({ body, count }) => Array.from({ length: count }, () => body))
  return Array.from({ length: extent }, (_, iteration) => bodies[period[iteration % period.length] ?? 0])
}

/**
 * Runs a rolled program step by step, as a slow and simple interpreter would: every value is kept under its tensor and
 * the iterations that it belongs to. Returns the nodes in order, each with the nodes whose values it reads.
 */
export function trace(program: Program): Map<string, string[]> {
  const values = new Map<string, Value[]>()
  const nodes = new Map<string, string[]>()
  const agrees = (value: Value, at: At) =>
    value.at.every(([axis, iteration]) => at.every(([other, own]) => other !== axis || own === iteration))
  const reading = (id: string, at: At) => (values.get(id) ?? []).filter((value) => agrees(value, at))
  const put = (id: string, at: At, sources: readonly string[]) => {
    const key = JSON.stringify(at)
    values.set(id, [...(values.get(id) ?? []).filter((value) => JSON.stringify(value.at) !== key), { at, sources }])
  }
  /** Hands every value of one tensor to another, with the iteration of one axis set or dropped. */
  const hand = (from: string, at: At, to: string, axis: string, iteration: number | undefined) => {
    for (const value of reading(from, at)) {
      const rest = value.at.filter(([each]) => each !== axis)
      const outer = at.filter(([each]) => each !== axis)
      const inner = rest.filter(([each]) => !outer.some(([other]) => other === each))
      put(to, [...outer, ...(iteration === undefined ? [] : [[axis, iteration] as const]), ...inner], value.sources)
    }
  }
  const run = (items: readonly Item[], at: At) => {
    for (const item of items) {
      if (item.type === 'node') {
        const name = `${item.id}${at.length ? `[${at.map(([axis, iteration]) => `${axis}=${iteration}`).join(',')}]` : ''}`
        const reads = item.inputs.flatMap((id) => reading(id, at).flatMap((value) => value.sources))
        nodes.set(name, reads)
        for (const id of item.outputs) put(id, at, [name])
        continue
      }
      const bodies = bodiesOf(item)
      const order = bodies.map((_, iteration) => iteration)
      if (item.order === 'reverse') order.reverse()
      const sums = new Map<string, Value[]>()
      order.forEach((iteration, place) => {
        const body = bodies[iteration]
        const inside: At = [...at, [item.axis, iteration]]
        const before = order[place - 1]
        for (const port of item.ports) {
          if (port.kind !== 'carry') continue
          if (before === undefined) hand(port.initial, at, port.inner, item.axis, iteration)
          else {
            const last = bodies[before]
            const next = port.next[item.bodies.findIndex(({ name }) => name === last?.name)] ?? ''
            hand(next, [...at, [item.axis, before]], port.inner, item.axis, iteration)
          }
        }
        run(body?.items ?? [], inside)
        for (const port of item.ports) {
          const which = item.bodies.findIndex(({ name }) => name === body?.name)
          if (port.kind === 'carry' && place === order.length - 1)
            hand(port.next[which] ?? '', inside, port.result, item.axis, undefined)
          const term = port.kind === 'reduce' ? port.inner[which] : null
          if (port.kind !== 'reduce' || !term) continue
          for (const value of reading(term, inside)) {
            const rest = value.at.filter(([axis]) => axis !== item.axis)
            const known = sums.get(port.result) ?? []
            const same = known.find((each) => JSON.stringify(each.at) === JSON.stringify(rest))
            const sum = { at: rest, sources: [...(same?.sources ?? []), ...value.sources] }
            sums.set(port.result, [...known.filter((each) => each !== same), sum])
          }
        }
      })
      for (const [id, list] of sums) for (const value of list) put(id, value.at, value.sources)
    }
  }
  run(program.items, [])
  return nodes
}
