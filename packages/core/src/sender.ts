import { bodyAt, nodesOf, type OperatorNode, type Program } from './program.js'
import { lastIteration, sourcesOf } from './source.js'

/** An execution of a node: the iteration of every axis around it. */
export interface Execution {
  readonly node: OperatorNode
  readonly iterations: ReadonlyMap<string, number>
}

/**
 * Finds the send that stands behind what a recv of a pipeline reads, through the ports of regions: undefined when another
 * node, or nothing, makes it.
 */
export function sendersOf(program: Program): (recv: Execution) => Execution | undefined {
  const sources = sourcesOf(program.items)
  const nodes = new Map(nodesOf(program.items).map((node) => [node.id, node]))
  const behind = (id: string, iterations: ReadonlyMap<string, number>): Execution | undefined => {
    const source = sources.get(id)
    if (source?.kind === 'node') {
      const node = nodes.get(source.id)
      return node?.op === 'send' ? { node, iterations } : undefined
    }
    if (!source || source.kind === 'reduce-result') return undefined
    const { region, port } = source
    const from = (iteration: number) =>
      behind(port.next[bodyAt(region, iteration)] ?? '', new Map(iterations).set(region.axis, iteration))
    if (source.kind === 'carry-result') return from(lastIteration(region))
    const iteration = iterations.get(region.axis) ?? 0
    const before = region.order === 'reverse' ? iteration + 1 : iteration - 1
    if (before >= 0 && before < region.extent) return from(before)
    return behind(port.initial, new Map([...iterations].filter(([axis]) => axis !== region.axis)))
  }
  return ({ node, iterations }) => behind(node.inputs[0] ?? '', iterations)
}
