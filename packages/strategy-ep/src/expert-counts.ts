import { dimSizes, lookup, type Program, walk } from '@shardloom/core'

/** The numbers of experts, copies counted, that tokens are dispatched to, ascending. */
export function expertCounts(program: Program): number[] {
  const counts = new Set<number>()
  walk(program.items, (node) => {
    if (node.op !== 'dispatch') return
    const experts = dimSizes(node, (id) => lookup(program.tensors, id)).get('experts')
    if (experts !== undefined) counts.add(experts)
  })
  return [...counts].sort((a, b) => a - b)
}
