import {
  type Earlier,
  type Item,
  nodesOf,
  type OperatorNode,
  type Pass,
  type Program,
  rewriteItems,
} from '@shardloom/core'
import { reducesGradient } from './type-reductions.js'

/**
 * `dp/bound-reductions`: how many layers' gradients wait for their reduction where each microbatch reduces them. A layer of
 * backward begins when those of the layer two before it are reduced: one layer's are on their way while the next one's are
 * made, and no more than two are whole, however slow the links are. What stands before the layers and behind them counts as
 * a layer each, and the order is that of the rank, over the borders of microbatches and of chunks. PyTorch's FSDP2 lets the stream of
 * kernels wait like this (`reduce_scatter_state` of `fully_shard`, which backward of the next microbatch finds), and DeepSpeed fills the first of two buckets again
 * when it is reduced (`overlap_comm`). In a pipeline it is the first kernel that makes gradients of parameters that waits,
 * which may run long after those that the stage before needs.
 */
export const boundReductions: Pass = {
  name: 'dp/bound-reductions',
  phase: 'schedule',
  after: ['core/divide-backward'],
  run(program) {
    const isBound = ({ after }: OperatorNode) => after?.some((wait) => typeof wait !== 'string' && wait.turns)
    if (nodesOf(program.items).some(isBound)) return program
    const turns = turnsIn(program.items, program)
    if (turns.length === 0) return program
    const begins = new Set(turns.map(({ first }) => first))
    const waits = turns.flatMap(({ reductions }) =>
      reductions.map((item): Earlier => ({ item, distance: 2, turns: true })),
    )
    const items = rewriteItems(program.items, (list) =>
      list.map((item): Item => {
        if (item.type !== 'node' || !begins.has(item.id)) return item
        return { ...item, after: [...(item.after ?? []), ...waits] }
      }),
    )
    return { ...program, items }
  },
}

/** What makes gradients and reduces them before another does: the kernel that begins with that, and the reductions that end last. */
interface Turn {
  readonly first: string
  readonly reductions: readonly string[]
}

/** The turns of a list: those of its regions, and of what is before, between and behind these. */
function turnsIn(items: readonly Item[], program: Program): Turn[] {
  const turns: Turn[] = []
  let first: string | undefined
  // One of each group of ranks, which runs its own in order.
  let last = new Map<string, string>()
  const end = () => {
    if (first !== undefined && last.size > 0) turns.push({ first, reductions: [...last.values()] })
    first = undefined
    last = new Map()
  }
  for (const item of items) {
    if (item.type === 'region') {
      const inner = item.bodies.flatMap((body) => turnsIn(body.items, program))
      if (inner.length > 0) end()
      turns.push(...inner)
    } else if (first === undefined) {
      const begins = item.kind === 'compute' && item.segment === 'backward' && item.gradient !== 'input'
      if (begins) first = item.id
    } else if (reducesGradient(item, program)) last.set(`${item.communication?.atoms}`, item.id)
  }
  end()
  return turns
}
