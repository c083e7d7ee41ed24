import { type Item, type OperatorNode, type Pass, rewriteItems, walk } from '@shardloom/core'

const [flush, step, clip] = ['optimizer/flush', 'optimizer/step', 'optimizer/clip']
const flushReason = 'a synchronous schedule ends with the last microbatch, and gradients are communicated behind it'
const stepReason = 'no rank updates parameters before all have the norm of the gradients'

/**
 * `models/add-barriers`: all ranks wait for each other where the loop over microbatches ends (the flush of a pipeline), before
 * gradients are communicated, and before parameters are updated. Megatron-LM does so where it times these parts
 * (`barrier_with_L1_time`); otherwise ranks meet in the all-reduce of the gradients' norm, and wait nowhere else.
 */
export const barrierPass: Pass = {
  name: 'models/add-barriers',
  phase: 'schedule',
  run(program, { warn }) {
    const loop = program.items.findIndex((item) => item.type === 'region' && item.axis === 'microbatch')
    const clips = program.items.findIndex(({ id }) => id === clip)
    const barrier = program.mesh.atoms.map(({ name }) => name)
    if (loop < 0 || clips < loop || barrier.length === 0) {
      warn(
        `\`barriers\` changes nothing: ${barrier.length === 0 ? 'there is one rank' : 'only training has an optimizer'}`,
      )
      return program
    }
    if (program.items.some(({ id }) => id === flush)) return program
    const waits = waitersOf(program.items.slice(loop + 1))
    const rewritten = rewriteItems(program.items, (items) =>
      items.map((item) => {
        const wait = waits.get(item.id)
        return item.type === 'node' && wait !== undefined ? { ...item, after: [...(item.after ?? []), wait] } : item
      }),
    )
    const items = rewritten.flatMap((item, index): Item[] => {
      if (index === loop) return [item, barrierAfter(flush, item, barrier, flushReason)]
      return index === clips ? [item, barrierAfter(step, item, barrier, stepReason)] : [item]
    })
    return { ...program, items }
  },
}

/**
 * Which barrier each node behind the loop waits for: updates for the step, and for the flush what reads anything that no node
 * there makes. Sums over layers are such: of copies of layers, one rank counts.
 */
function waitersOf(behind: readonly Item[]): ReadonlyMap<string, string> {
  const made = new Set<string>()
  const waits = new Map<string, string>()
  walk(behind, ({ id, inputs, outputs, updates }) => {
    if (updates !== undefined && inputs.includes(clip)) waits.set(id, step)
    else if (inputs.some((input) => !made.has(input))) waits.set(id, flush)
    for (const output of outputs) made.add(output)
  })
  return waits
}

function barrierAfter(id: string, { id: before }: Item, barrier: readonly string[], reason: string): OperatorNode {
  return {
    type: 'node',
    id,
    kind: 'control',
    op: 'barrier',
    rule: '->',
    inputs: [],
    outputs: [],
    segment: 'optimizer',
    module: '',
    attributes: { reason },
    after: [before],
    barrier,
    partition: { splits: {}, partial: {}, by: {} },
  }
}
