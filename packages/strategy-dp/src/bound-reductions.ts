import { type Item, type OperatorNode, type Pass, type Program, type Region, rewriteItems } from '@shardloom/core'
import { reducesGradient } from './type-reductions.js'

/**
 * `dp/bound-reductions`: how many layers' gradients wait for their reduction where each microbatch reduces them. A layer of
 * backward begins when those of the layer two before it are reduced: one layer's are on their way while the next one's are
 * made, and of no microbatch's layers that follow each other are more than two whole, however slow the links are. Layers of the next microbatch
 * wait for nothing of the one before, so that stages of few layers may hold more. PyTorch's FSDP2 lets the stream of
 * kernels wait like this (`reduce_scatter_state` of `fully_shard`), and DeepSpeed fills the first of two buckets again
 * when it is reduced (`overlap_comm`). In a pipeline it is the first kernel that makes gradients of parameters that waits,
 * which may run long after those that the stage before needs.
 */
export const boundReductions: Pass = {
  name: 'dp/bound-reductions',
  phase: 'schedule',
  after: ['core/divide-backward'],
  run(program) {
    let changed = false
    const items = rewriteItems(program.items, (list, around) => {
      const next = around?.axis === 'layer' ? bound(list, around, program) : list
      changed ||= next !== list
      return next
    })
    return changed ? { ...program, items } : program
  },
}

/** Of the iterations before one, the last whose gradients have to be reduced. */
const distance = 2

/** The items of a body, of which the first kernel waits for reductions; the same list where there is nothing to wait for. */
function bound(items: readonly Item[], { bodies, order, extent }: Region, program: Program): readonly Item[] {
  const at = items.findIndex((item) => item.type === 'node' && item.kind === 'compute' && item.gradient !== 'input')
  const first = items[at]
  if (first?.type !== 'node' || order === 'parallel' || extent <= distance) return items
  const waits = bodies.flatMap((body) => lastOfGroups(body.items, program)).map(({ id }) => ({ item: id, distance }))
  const isBound = first.after?.some((before) => typeof before !== 'string' && waits.some((w) => w.item === before.item))
  if (waits.length === 0 || isBound) return items
  return items.with(at, { ...first, after: [...(first.after ?? []), ...waits] })
}

/** The reductions of gradients that end last: one of each group of ranks, which runs its own in order. */
function lastOfGroups(items: readonly Item[], program: Program): OperatorNode[] {
  const last = new Map<string, OperatorNode>()
  for (const item of items)
    if (item.type === 'node' && reducesGradient(item, program)) last.set(`${item.communication?.atoms}`, item)
  return [...last.values()]
}
