import {
  closePorts,
  dimSizesOf,
  divisors,
  findAxis,
  greatestCommonDivisor,
  type Item,
  intersect,
  lookup,
  type OperatorNode,
  orList,
  type Pass,
  type Program,
  rewriteItems,
  type Selector,
  ShardloomError,
  type Tensor,
  withPreferences,
} from '@shardloom/core'

/**
 * `sp/split-cache`: over `dcp`, innermost ranks of `tp`, decoding splits the positions of the KV cache, which these ranks
 * would hold copies of, and attention with it. Projections go on splitting heads, so that queries are gathered before
 * attention and what ranks attended to is merged after it.
 */
export function splitCache(where: Selector | undefined): Pass {
  return {
    name: 'sp/split-cache',
    phase: 'partition',
    run(program) {
      const axis = findAxis(program.mesh, 'dcp')
      if (!axis?.atoms.length) return program
      refuse(program, axis.degree)
      const { layouts = [] } = program
      const laidOut = layouts.some((each) => each.axis === 'dcp')
        ? program
        : { ...program, layouts: [...layouts, { axis: 'dcp', dims: ['kv_seq'], order: 'round-robin' as const }] }
      const attention = intersect(where, { module: 'attention' })
      return withPreferences(divideAttention(laidOut), [
        { strategy: 'sp', axis: 'dcp', class: 'cache', dims: ['kv_seq'], where: attention },
      ])
    },
  }
}

/** Throws `CONFLICT` where there is no cache to split, or where the ranks hold fewer copies of it than `dcp` asks for. */
function refuse(program: Program, degree: number): void {
  const conflict = (message: string, help: string) => new ShardloomError('CONFLICT', message, { subject: 'dcp', help })
  if (program.phase !== 'decode') {
    throw conflict(
      `Axis \`dcp\` splits the KV cache that decoding reads, but the phase is ${program.phase}.`,
      'Leave `dcp` out, or set `phase: decode`. Elsewhere `cp` splits the sequence.',
    )
  }
  const caches = [...program.tensors.values()].filter(({ role, growth }) => role === 'cache' && growth)
  const tp = findAxis(program.mesh, 'tp')?.degree ?? 1
  const heads = dimSizesOf(program, 'kv_heads').reduce((common, size) => greatestCommonDivisor(common, size), 0) || 1
  const copiesOf = ({ dims }: Tensor) => (dims.includes('kv_heads') ? tp / greatestCommonDivisor(tp, heads) : tp)
  const copies = Math.max(1, ...caches.map(copiesOf))
  if (copies % degree !== 0) {
    const why = copies > 1 ? `hold ${copies} copies of the KV cache` : 'hold no copies of the KV cache'
    throw conflict(
      `Cannot split the KV cache over axis \`dcp\` (degree ${degree}): the ${tp} ranks of \`tp\` ${why}.`,
      copies > 1
        ? `Use ${orList(divisors(copies))}.`
        : `Leave \`dcp\` out: each rank has KV heads of its own. It pays where \`tp\` exceeds the KV heads (${heads}).`,
    )
  }
  const positions = Math.max(...caches.map(({ shape, growth }) => shape[growth?.position ?? 0] ?? 0))
  if (positions >= degree) return
  throw conflict(
    `Cannot split ${positions} positions of the KV cache over axis \`dcp\` (degree ${degree}).`,
    `Use a longer \`seq\`, or \`dcp\` ${orList(divisors(copies).filter((each) => each <= positions))}.`,
  )
}

/**
 * In the place of a softmax over all keys and the context: logits, and one operator that ends in a sum weighted by
 * log-sum-exps, so that keys may be split. A rank writes those of the new keys and values whose slots it holds.
 */
function divideAttention(program: Program): Program {
  const logitsOf = new Map<string, { readonly softmax: OperatorNode; readonly id: string }>()
  const renamed = new Map<string, Tensor>()
  const visit = (node: OperatorNode): OperatorNode => {
    if (node.op === 'cache_write') return { ...node, rule: node.rule.replaceAll('kv_seq!', 'kv_seq') }
    if (node.op === 'softmax') {
      const [probabilities = ''] = node.outputs
      const id = `${node.id.slice(0, node.id.lastIndexOf('/'))}/logits`
      logitsOf.set(probabilities, { softmax: node, id })
      renamed.set(probabilities, { ...lookup(program.tensors, probabilities), id })
      const [scores = ''] = node.rule.replaceAll('!', '').split(',', 1)[0]?.split(' -> ') ?? []
      const [input = ''] = node.inputs
      return { ...node, id, op: 'attention_logits', rule: `${scores} -> ${scores}`, inputs: [input], outputs: [id] }
    }
    const [from] = node.inputs.flatMap((each) => logitsOf.get(each) ?? [])
    if (!from) return node
    const { class: _, operands: __, ...attributes } = node.attributes ?? {}
    const [, sinks] = from.softmax.rule.split(' -> ')[0]?.split(', ') ?? []
    const [operands = '', result = ''] = node.rule.split(' -> ')
    const inputs = node.inputs.map((each) => logitsOf.get(each)?.id ?? each)
    return {
      ...node,
      op: 'attend_values',
      rule: `${[operands, ...(sinks ? [sinks] : [])].join(', ')} -> ${result}`,
      inputs: [...inputs, ...from.softmax.inputs.slice(1)],
      attributes,
    }
  }
  const items = rewriteItems(program.items, (list) =>
    list.map((item): Item => (item.type === 'node' ? visit(item) : item)),
  )
  if (renamed.size === 0) return program
  const tensors = new Map(
    [...program.tensors].map(([id, tensor]): [string, Tensor] => {
      const found = renamed.get(id) ?? tensor
      return [found.id, found]
    }),
  )
  return { ...program, tensors, items: closePorts(items, tensors) }
}
