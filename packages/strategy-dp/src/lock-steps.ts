import { findAxis, type Item, nodesOf, notBefore, type OperatorNode, type Pass, type Region } from '@shardloom/core'

/**
 * `dp/lock-steps`: in an engine whose ranks of `dp` need one another within a step, as where they share experts, no rank
 * begins a step before all do: one without requests runs along with nothing to do. vLLM lets its data-parallel ranks agree
 * before each forward pass (`coordinate_batch_across_dp`), SGLang under `enable-dp-attention`. Engines of `replicas`, and
 * ranks of `dp` that exchange nothing, go their own ways.
 */
export const lockSteps: Pass = {
  name: 'dp/lock-steps',
  phase: 'schedule',
  run(program) {
    const atoms = findAxis(program.mesh, 'dp')?.atoms ?? []
    const exchanges = ({ communication }: OperatorNode) =>
      communication !== undefined && !communication.pool && communication.atoms.some((atom) => atoms.includes(atom))
    if (program.phase === 'training' || !nodesOf(program.items).some(exchanges)) return program
    const id = `${program.phase}/lockstep`
    if (nodesOf(program.items).some((node) => node.id === id)) return program
    return { ...program, items: locked(program.items, id, program.phase, atoms) }
  },
}

/** The items with a barrier at the start of the body that runs the layers: a step. */
function locked(
  items: readonly Item[],
  id: string,
  segment: 'prefill' | 'decode',
  atoms: readonly string[],
  around?: Region,
): readonly Item[] {
  if (!items.some((item) => item.type === 'region' && item.axis === 'layer'))
    return items.map((item): Item => {
      if (item.type === 'node') return item
      const bodies = item.bodies.map((body) => ({ ...body, items: locked(body.items, id, segment, atoms, item) }))
      return { ...item, bodies }
    })
  const barrier: OperatorNode = {
    type: 'node',
    id,
    kind: 'control',
    op: 'barrier',
    rule: '->',
    inputs: [],
    outputs: [],
    segment,
    module: '',
    attributes: { reason: 'they need one another within a step, so that one without requests runs along' },
    ...(around?.order === 'forward' && { after: notBefore(around, 0) }),
    barrier: atoms,
    partition: { splits: {}, partial: {}, by: {} },
  }
  return [barrier, ...waiting(items, id, new Set())]
}

/** The items, in which whatever reads nothing that an earlier one makes waits for the barrier. */
function waiting(items: readonly Item[], barrier: string, made: Set<string>): Item[] {
  return items.map((item): Item => {
    if (item.type === 'region') {
      for (const port of item.ports) {
        const within = port.kind === 'carry' ? port.initial : ''
        if (port.kind === 'carry' && made.has(within)) made.add(port.inner)
        if (port.kind === 'carry' || port.kind === 'reduce') made.add(port.result)
      }
      return { ...item, bodies: item.bodies.map((body) => ({ ...body, items: waiting(body.items, barrier, made) })) }
    }
    const reads = item.op !== 'recv' && item.inputs.some((id) => made.has(id))
    for (const output of item.outputs) made.add(output)
    return reads ? item : { ...item, after: [...(item.after ?? []), barrier] }
  })
}
