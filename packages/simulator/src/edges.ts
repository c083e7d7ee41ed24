import {
  bodyAt,
  bodyCounts,
  type EdgeKind,
  type Item,
  lastIteration,
  type Program,
  type Region,
  sourcesOf,
} from '@shardloom/core'

/**
 * Counts edges. Unrolled (`folded` false): one data edge per operand and execution whose value a node of the step made (a
 * sum over iterations has one per term), one temporal edge per `after` and execution, and one communication edge per
 * collective and rank, its tie to the other members, and per hop, from the send to its recv. Folded: one per operand,
 * `after`, collective and hop of the rolled program, plus one per carry that returns. Linear in the rolled program.
 */
export function countEdges(program: Program, folded: boolean): Record<EdgeKind, bigint> {
  const sources = sourcesOf(program.items)
  const edges: Record<EdgeKind, bigint> = { data: 0n, temporal: 0n, communication: 0n }
  /** How many nodes stand behind one value of a tensor. */
  const fanIn = (id: string): number => {
    const source = sources.get(id)
    if (!source) return 0
    if (folded || source.kind === 'node') return 1
    // A body that hands on what it is given makes nothing itself.
    if (source.kind === 'carry-inner')
      return Math.max(
        fanIn(source.port.initial),
        ...source.port.next.map((next) => (next === source.port.inner ? 0 : fanIn(next))),
      )
    if (source.kind === 'carry-result')
      return fanIn(source.port.next[bodyAt(source.region, lastIteration(source.region))] ?? '')
    const counts = bodyCounts(source.region)
    return source.port.inner.reduce((sum, inner, body) => sum + (inner ? fanIn(inner) * (counts[body] ?? 0) : 0), 0)
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
      edges.temporal += BigInt((item.after ?? []).length * executions)
      const isHop = item.communication?.shift !== undefined
      if (item.communication && !(isHop && item.op === 'send')) edges.communication += BigInt(executions)
      if (isHop && item.op === 'recv') continue
      for (const id of item.inputs) edges.data += BigInt(readings(id, executions, path))
    }
  }
  /** Data edges into all executions of one reader of `id`. */
  const readings = (id: string, executions: number, path: readonly { region: Region; body: number }[]): number => {
    const source = sources.get(id)
    if (!source) return 0
    if (folded || source.kind !== 'carry-inner' || executions === 0) return fanIn(id) * executions
    const { region, port } = source
    const here =
      path.find((each) => each.region.id === region.id) ?? path.find((each) => each.region.axis === region.axis)
    const first = region.order === 'reverse' ? region.extent - 1 : 0
    if (!here || bodyAt(region, first) !== here.body) return fanIn(id) * executions
    const perIteration = executions / (bodyCounts(here.region)[here.body] ?? 1)
    return fanIn(id) * (executions - perIteration) + fanIn(port.initial) * perIteration
  }
  visit(program.items, 1, [])
  return edges
}
