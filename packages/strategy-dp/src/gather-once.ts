import { edit, type Item, lookup, type OperatorNode, type Pass, type Program, type Region } from '@shardloom/core'

/**
 * `dp/gather-once`: parameters are gathered once per step, before the first microbatch, and all microbatches read what was
 * gathered. It moves the gathers of forward out of the loop over microbatches; what is kept for backward lives through the
 * step then, in trade for all gathers but the first (FSDP's `reshard_after_forward: never` in pipelines).
 */
export const gatherOnce: Pass = {
  name: 'dp/gather-once',
  phase: 'communicate',
  after: ['core/communicate'],
  run(program) {
    const draft = edit(program)
    const moved = new Set<OperatorNode>()
    const items = program.items.flatMap((item): readonly Item[] => {
      if (item.type === 'node' || item.axis !== 'microbatch') return [item]
      const before = item.bodies.flatMap((body) => gathersOf(body.items, program, moved))
      const bodies = item.bodies.map((body) => ({ ...body, items: without(body.items, moved) }))
      return before.length === 0 ? [item] : [...before, { ...item, bodies }]
    })
    if (moved.size === 0) return program
    for (const id of [...moved].flatMap(({ outputs }) => outputs)) {
      const tensor = draft.tensor(id)
      draft.setTensor({ ...tensor, per: tensor.per.filter((axis) => axis !== 'microbatch') })
    }
    draft.setItems(items)
    return draft.commit()
  },
}

/** What gathers parameters among some items, in regions like those around it. */
function gathersOf(items: readonly Item[], program: Program, moved: Set<OperatorNode>): Item[] {
  return items.flatMap((item): Item[] => {
    if (item.type === 'node') {
      const isVersion = (id: string) => lookup(program.tensors, id).role === 'parameter'
      if (item.segment !== 'forward' || item.op !== 'all-gather' || !item.inputs.every(isVersion)) return []
      moved.add(item)
      return [item]
    }
    const bodies = item.bodies.map((body) => ({ ...body, items: gathersOf(body.items, program, moved) }))
    if (bodies.every((body) => body.items.length === 0)) return []
    const region: Region = { ...item, id: `${item.id}/gather`, order: 'parallel', bodies, ports: [] }
    return [region]
  })
}

function without(items: readonly Item[], moved: ReadonlySet<Item>): readonly Item[] {
  return items.flatMap((item): readonly Item[] => {
    if (moved.has(item)) return []
    if (item.type === 'node') return [item]
    return [{ ...item, bodies: item.bodies.map((body) => ({ ...body, items: without(body.items, moved) })) }]
  })
}
