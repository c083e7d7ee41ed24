import { type OperatorNode, type Program, parseRule, ShardloomError, walk } from '@shardloom/core'

/** Who makes and who reads each tensor, over all bodies. */
export interface Flow {
  readonly producer: (tensor: string) => OperatorNode | undefined
  readonly readers: (tensor: string) => readonly OperatorNode[]
}

/** A gathered operand of attention: the chain of nodes that brings it, and the tensor that the ring passes round. */
export interface Gathered {
  readonly read: string
  readonly gather: OperatorNode
  /** The node that reads the gathered cache, in inference. */
  readonly cache?: OperatorNode
  /** The ring's atoms in the order in which its ranks share the positions. */
  readonly order: readonly string[]
}

/** Attention whose queries are split over the ring, and whose keys and values are gathered for it. */
export interface ForwardAttention {
  readonly score: OperatorNode
  readonly softmax: OperatorNode
  readonly context: OperatorNode
  readonly query: string
  readonly key: Gathered
  readonly value: Gathered
  readonly sinks: string | undefined
}

/** The backward of {@link ForwardAttention}: the nodes that read gathered keys and values, or make their gradients. */
export interface BackwardAttention {
  readonly forward: ForwardAttention
  /** Whose results it reads: those of forward, or where they are made again before it these. */
  readonly made: ForwardAttention
  readonly gradient: OperatorNode
  /** Scores and probabilities computed again; undefined where they were saved. */
  readonly again: { readonly score: OperatorNode; readonly softmax: OperatorNode } | undefined
  readonly probabilities: OperatorNode
  readonly context: OperatorNode
  readonly query: OperatorNode
  readonly key: OperatorNode
  readonly value: OperatorNode
  readonly incoming: string
  readonly keys: Gathered
  readonly values: Gathered
}

/** Indexes the data flow of a program. */
export function flowOf(program: Program): Flow {
  const producers = new Map<string, OperatorNode>()
  const readers = new Map<string, OperatorNode[]>()
  walk(program.items, (node) => {
    for (const id of node.outputs) producers.set(id, node)
    for (const id of new Set(node.inputs)) {
      const list = readers.get(id)
      if (list) list.push(node)
      else readers.set(id, [node])
    }
  })
  return { producer: (id) => producers.get(id), readers: (id) => readers.get(id) ?? [] }
}

const has = (node: OperatorNode, dim: string) => parseRule(node.rule).results[0]?.includes(dim) === true

/** The operand of a node that has, or lacks, positions of keys. */
const operand = (node: OperatorNode, withKeys: boolean) => {
  const { operands } = parseRule(node.rule)
  return node.inputs.find((_, index) => operands[index]?.includes('kv_seq') === withKeys) ?? ''
}

/**
 * Every attention whose keys are gathered along `atoms`, forward ones first, and the order in which these share positions.
 * Throws `RING` for one of another shape.
 */
export function findAttention(program: Program, atoms: readonly string[]) {
  const flow = flowOf(program)
  const forward: ForwardAttention[] = []
  const backward: BackwardAttention[] = []
  const gradients: OperatorNode[] = []
  const order = new Map<OperatorNode, number>()
  walk(program.items, (softmax) => {
    order.set(softmax, order.size)
    if (softmax.op === 'softmax_gradient') gradients.push(softmax)
    if (softmax.op !== 'softmax') return
    const score = flow.producer(softmax.inputs[0] ?? '')
    const context = flow.readers(softmax.outputs[0] ?? '').find((node) => has(node, 'seq') && !has(node, 'kv_seq'))
    const key = score && gathered(operand(score, true), atoms, flow)
    if (!score || !key) return
    if (!context && softmax.recompute) return
    if (!context) throw unlike(softmax, 'something stands between its softmax and its values, such as dropout')
    const probabilities = softmax.outputs[0] ?? ''
    const value = gathered(context.inputs.find((id) => id !== probabilities) ?? '', atoms, flow)
    if (!value) throw unlike(softmax, 'its values are not gathered as its keys are')
    const query = operand(score, false)
    forward.push({ score, softmax, context, query, key, value, sinks: softmax.inputs[1] })
  })
  const bySoftmax = new Map(forward.map((each) => [each.softmax.id, each]))
  for (const gradient of gradients) {
    const softmax = flow.producer(gradient.inputs[0] ?? '')
    const saved = softmax && bySoftmax.get(softmax.id)
    const of = saved ?? bySoftmax.get(softmax?.differentiates ?? '')
    if (!of || !softmax) continue
    const isBefore = ({ context }: ForwardAttention) => Number(order.get(context)) < Number(order.get(gradient))
    const again = forward.find((each) => each.softmax.recompute && each.softmax.differentiates === of.softmax.id)
    const made = again && isBefore(again) ? again : of
    backward.push({ ...backwardOf(gradient, softmax, of, saved === undefined, atoms, flow), made })
  }
  const done = new Set(backward.flatMap(({ forward: { softmax } }) => [softmax.id, softmax.differentiates]))
  const alone = forward.find(
    ({ softmax }) => program.phase === 'training' && !softmax.recompute && !done.has(softmax.id),
  )
  if (alone && gradients.length > 0) throw unlike(alone.softmax, 'its backward has another shape')
  const all = [
    ...forward.flatMap(({ key, value }) => [key, value]),
    ...backward.flatMap(({ keys, values }) => [keys, values]),
  ]
  const shared = all[0]?.order ?? atoms
  const other = all.find((each) => each.order.join() !== shared.join())
  if (other)
    throw unlike(other.gather, `it holds shards over ${other.order.join(', ')}, others over ${shared.join(', ')}`)
  return { forward, backward, order: shared }
}

function backwardOf(
  gradient: OperatorNode,
  softmax: OperatorNode,
  forward: ForwardAttention,
  isAgain: boolean,
  atoms: readonly string[],
  flow: Flow,
): Omit<BackwardAttention, 'made'> {
  const probabilities = gradient.inputs[0] ?? ''
  const here = (id: string, test: (node: OperatorNode) => boolean) =>
    flow.readers(id).find((node) => node.segment === gradient.segment && node.op === 'einsum' && test(node))
  const context = flow.producer(gradient.inputs[1] ?? '')
  const value = here(probabilities, (node) => has(node, 'kv_seq') && !has(node, 'seq'))
  const key = here(gradient.outputs[0] ?? '', (node) => has(node, 'kv_seq') && !has(node, 'seq'))
  const query = here(gradient.outputs[0] ?? '', (node) => has(node, 'seq') && !has(node, 'kv_seq'))
  const score = isAgain ? flow.producer(softmax.inputs[0] ?? '') : undefined
  if (!context || !value || !key || !query || (isAgain && !score)) throw unlike(gradient, 'a gradient is missing')
  const keys = gathered(query.inputs.find((id) => id !== gradient.outputs[0]) ?? '', atoms, flow)
  const values = gathered(operand(context, true), atoms, flow)
  if (!keys || !values) throw unlike(gradient, 'keys or values are not gathered again')
  for (const { outputs, id } of [key, value]) {
    const [output = ''] = outputs
    const passed = flow.readers(output).find((node) => !node.communication)
    if (passed) throw unlike(gradient, `\`${passed.id}\` reads \`${id}\` before it is reduced`)
  }
  return {
    forward,
    gradient,
    again: score && { score, softmax },
    probabilities: softmax,
    context,
    query,
    key,
    value,
    incoming: operand(context, false),
    keys,
    values,
  }
}

/** The gather behind an operand, where there is one that takes away all of `atoms`. */
function gathered(read: string, atoms: readonly string[], flow: Flow): Gathered | undefined {
  const maker = flow.producer(read)
  const cache = maker?.op === 'cache_read' ? maker : undefined
  const gather = cache ? flow.producer(cache.inputs[0] ?? '') : maker
  const { communication } = gather ?? {}
  if (gather?.op !== 'all-gather' || !communication) return undefined
  if (!atoms.some((atom) => communication.atoms.includes(atom))) return undefined
  const position = communication.from.shards.findIndex((each) => each.includes(atoms[0] ?? ''))
  const held = communication.from.shards[position] ?? []
  const order = held.slice(0, atoms.length)
  if (atoms.every((atom) => order.includes(atom))) return { read, gather, ...(cache && { cache }), order }
  throw unlike(gather, `it holds shards over ${held.join(', ')}, in which the ring is not outermost`)
}

function unlike(node: OperatorNode, why: string): ShardloomError {
  return new ShardloomError('RING', `Cannot pass keys and values of \`${node.id}\` round a ring: ${why}.`, {
    subject: node.id,
    help: 'Gather them: leave out `attention: ring`.',
  })
}
