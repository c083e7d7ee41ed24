import { type Item, nodesOf, type OperatorNode } from './program.js'

/**
 * Tells the two parts of backward apart by reachability: input gradients are what the gradient that leaves the body, or
 * goes into a region, needs; the rest, re-gathers for it included, are weight gradients (Qi et al. 2023, section 2).
 */
export function divideBackward(items: readonly Item[]): readonly Item[] {
  return divided(items, new Set())
}

function divided(items: readonly Item[], needed: Set<string>): Item[] {
  const out: Item[] = []
  for (const item of [...items].reverse()) {
    if (item.type === 'node') {
      out.push(item.segment === 'backward' ? tagged(item, needed) : item)
      continue
    }
    const bodies = item.bodies.map((body, index) => {
      const roots = item.ports.flatMap((port) => {
        if (port.kind === 'carry') return [port.next[index] ?? '']
        return port.kind === 'reduce' && needed.has(port.result) ? [port.inner[index] ?? ''] : []
      })
      return { ...body, items: divided(body.items, new Set(roots)) }
    })
    // What the region's input gradients read of its outside belongs to them.
    for (const node of nodesOf(bodies.flatMap((body) => body.items)))
      if (node.gradient === 'input') for (const id of node.inputs) needed.add(id)
    for (const port of item.ports) if (port.kind === 'carry') needed.add(port.initial)
    out.push({ ...item, bodies })
  }
  return out.reverse()
}

function tagged(node: OperatorNode, needed: Set<string>): OperatorNode {
  if (!node.outputs.some((id) => needed.has(id))) return { ...node, gradient: 'weight' }
  for (const id of node.inputs) needed.add(id)
  return { ...node, gradient: 'input' }
}
