import {
  edit,
  groupSize,
  type Item,
  lookup,
  nodesOf,
  type OperatorNode,
  type OperatorTable,
  operandText,
  type Pass,
  type Placement,
  type Program,
  parseRule,
  placementsOf,
  regionsOf,
  rewriteItems,
  ShardloomError,
  type Tensor,
} from '@shardloom/core'

/** Which layers compute their batch as two halves that take turns: none, those with experts, or all. */
export type Interleave = 'none' | 'moe' | 'all'

/**
 * Divides the batch of layers into two halves that take turns, so that one computes while the other communicates
 * (DeepSeek-AI 2024, DeepSeek-V3, section 3.4). Everything that keeps the dim `batch` runs once per half, on half of the
 * elements; what sums over it runs once, when both are done, and so does a ring. Between two communications all of one half's operators come
 * before those of the other. Runs when all communication is there.
 */
export function interleavePass(layers: Exclude<Interleave, 'none'>): Pass {
  return {
    name: 'models/interleave-halves',
    phase: 'schedule',
    run(program, { operators }) {
      if (nodesOf(program.items).some(({ op }) => op === 'half')) return program
      const tensors = new Map<string, Tensor>()
      const read = readOutside(program)
      const ends = new Map<string, string>()
      const divided = rewriteItems(program.items, (list, region) => {
        const nodes = list.flatMap((item) => (item.type === 'node' ? [item] : []))
        const chosen = layers === 'all' || nodes.some(({ module }) => module.startsWith('moe'))
        if (region?.axis !== 'layer' || nodes[0]?.segment === 'optimizer' || !chosen) return list
        return new Halves(program, operators, tensors, read, ends).divide(list)
      })
      if (tensors.size === 0)
        throw new ShardloomError('OPTION', `\`interleave: ${layers}\` changes nothing: no layer has experts.`, {
          subject: 'interleave',
          help: 'Leave it out, or use `interleave: all`.',
        })
      const draft = edit(program)
      for (const tensor of tensors.values()) draft.setTensor(tensor)
      draft.setItems(rewriteItems(divided, (list) => waiting(list, ends)))
      return draft.commit()
    },
  }
}

/** Lets items that waited for a divided node wait for its second half, where that still comes before them. */
function waiting(items: readonly Item[], ends: ReadonlyMap<string, string>): Item[] {
  const done = new Set<string>()
  return items.map((item) => {
    const own = item.type === 'node' && item.after ? item : undefined
    const after = own?.after?.flatMap((wait) => {
      if (typeof wait !== 'string') return { ...wait, item: ends.get(wait.item) ?? wait.item }
      const end = ends.get(wait) ?? wait
      return done.has(end) ? end : []
    })
    done.add(item.id)
    return own && after ? { ...own, after } : item
  })
}

/** What ports hand on, and per tensor how many nodes read it. */
function readOutside({ items }: Program): {
  readonly ports: ReadonlySet<string>
  readonly nodes: readonly OperatorNode[]
} {
  const ports = regionsOf(items).flatMap((region) =>
    region.ports.flatMap((port) => {
      if (port.kind === 'carry') return [port.initial, ...port.next]
      return port.kind === 'reduce' ? port.inner : []
    }),
  )
  return { ports: new Set(ports.filter((id) => id !== null)), nodes: nodesOf(items) }
}

/** What an item reads: of a region, what its nodes read and what it begins with. */
function readBy(item: Item): readonly string[] {
  if (item.type === 'node') return item.inputs
  const begun = item.ports.flatMap((port) => (port.kind === 'carry' ? port.initial : []))
  return [...begun, ...nodesOf([item]).flatMap(({ inputs }) => inputs)]
}

type Pair = readonly [string, string]

/** One body in halves. */
class Halves {
  private readonly out: Item[] = []
  private readonly known = new Map<string, Pair>()
  private readonly joined = new Set<string>()
  /** Nodes of the stage at hand, which end with communication. */
  private stage: OperatorNode[] = []
  /** Sums over the batch, which wait for both halves of the stage. */
  private late: OperatorNode[] = []
  private finest: readonly string[] = []
  private last: string | undefined

  constructor(
    private readonly program: Program,
    private readonly operators: OperatorTable,
    private readonly tensors: Map<string, Tensor>,
    private readonly read: ReturnType<typeof readOutside>,
    /** Divided node → its second half. */
    private readonly ends: Map<string, string>,
  ) {}

  divide(items: readonly Item[]): readonly Item[] {
    const nodes = items.flatMap((item) => (item.type === 'node' ? [item] : []))
    this.finest = nodes.flatMap((node) => this.batchSplits(node)).reduce((a, b) => (b.length > a.length ? b : a), [])
    const own = new Set(nodes.map(({ id }) => id))
    const inside = new Set(nodes.flatMap(({ inputs }) => inputs))
    const outside = new Set(this.read.nodes.flatMap(({ id, inputs }) => (own.has(id) ? [] : inputs)))
    const waiting = new Set<string>()
    for (const item of items) {
      const node = item.type === 'node' ? item : undefined
      if (node && this.keeps(node)) {
        if (!node.communication && this.stage.some(({ communication }) => communication)) this.flush()
        this.stage.push(node)
        continue
      }
      const inputs = readBy(item)
      const reads = inputs.some((id) => this.tensor(id).dims.includes('batch') || waiting.has(id))
      const sums = node?.outputs.every((id) => this.tensor(id).role === 'gradient')
      if (node && reads && sums) {
        this.late.push(node)
        for (const id of node.outputs) waiting.add(id)
        continue
      }
      if (reads) this.flush()
      const [near] = nodesOf([item])
      if (near) for (const id of inputs) this.join(id, near)
      this.out.push(item)
    }
    this.flush()
    for (const node of nodes)
      for (const id of node.outputs)
        if (outside.has(id) || this.read.ports.has(id) || !inside.has(id)) this.join(id, node)
    return this.out
  }

  private tensor(id: string): Tensor {
    return this.tensors.get(id) ?? lookup(this.program.tensors, id)
  }

  private batchSplits(node: OperatorNode): (readonly string[])[] {
    const { communication, partition, outputs } = node
    if (!communication) return [partition?.splits['batch'] ?? []]
    const at = this.tensor(outputs[0] ?? '').dims.indexOf('batch')
    return [communication.from.shards[at] ?? [], communication.to.shards[at] ?? []]
  }

  /** Whether a node runs once per half. What crosses to another stage of a pipeline is a port, and so one value. */
  private keeps({ op, outputs, rule }: OperatorNode): boolean {
    if (op === 'send' || op === 'recv') return false
    return !parseRule(rule).whole.has('batch') && outputs.every((id) => this.tensor(id).dims.includes('batch'))
  }

  /** Puts the stage at hand in its place: one half, then the other, then what sums over both. */
  private flush(): void {
    const inputs = this.stage.map((node) => {
      const { operands } = placementsOf(node, this.operators)
      return node.inputs.map((id, index) => {
        const placement = operands[index]
        if (!placement || !this.tensor(id).dims.includes('batch')) return undefined
        return this.partsOf(id, placement, node, index)
      })
    })
    for (const half of [0, 1] as const) {
      let waits = this.last
      this.stage.forEach((node, at) => {
        const copy = this.copy(node, half, inputs[at] ?? [])
        const first = node.kind === 'compute' && waits !== undefined
        this.out.push(first && waits !== undefined ? { ...copy, after: [...(copy.after ?? []), waits] } : copy)
        if (node.kind === 'compute') {
          waits = undefined
          this.last = copy.id
        }
      })
    }
    for (const node of this.late) {
      for (const id of node.inputs) this.join(id, node)
      this.out.push(node)
    }
    this.stage = []
    this.late = []
  }

  private copy(node: OperatorNode, half: 0 | 1, inputs: readonly (Pair | undefined)[]): OperatorNode {
    const name = (id: string) => `${id}/half${half + 1}`
    const { communication, fusion } = node
    this.ends.set(node.id, `${node.id}/half2`)
    const [input = ''] = inputs.map((pair) => pair?.[half])
    const made = this.known.has(node.inputs[0] ?? '') ? communication?.reason.producer : undefined
    const producer = made ? name(made) : input
    for (const id of node.outputs) {
      const { versionOf: _, nextOf: __, ...tensor } = this.tensor(id)
      const version = communication ? { versionOf: input } : {}
      this.tensors.set(name(id), { ...tensor, ...version, id: name(id), density: halved(tensor.density) })
      this.known.set(id, [`${id}/half1`, `${id}/half2`])
    }
    return {
      ...node,
      id: name(node.id),
      inputs: node.inputs.map((id, index) => inputs[index]?.[half] ?? id),
      outputs: node.outputs.map(name),
      ...(fusion !== undefined && { fusion: name(fusion) }),
      ...(communication
        ? { communication: { ...communication, reason: { ...communication.reason, tensor: input, producer } } }
        : { density: halved(node.density), attributes: { ...node.attributes, half } }),
    }
  }

  private partsOf(id: string, placement: Placement, reader: OperatorNode, index: number): Pair {
    const known = this.known.get(id)
    if (known || this.stage.some(({ outputs }) => outputs.includes(id))) return known ?? [`${id}/half1`, `${id}/half2`]
    const { versionOf: _, nextOf: __, body: ___, ...tensor } = this.tensor(id)
    const { per, body } = this.tensor(reader.outputs[0] ?? '')
    const make = (half: 0 | 1) => {
      const name = `${reader.id}/operand${index + 1}/half${half + 1}`
      const own = { id: name, role: 'activation', per, ...(body !== undefined && { body }), placement } as const
      this.tensors.set(name, { ...tensor, ...own, density: halved(tensor.density) })
      this.out.push({
        ...this.view(reader, tensor, placement, 'half', [id], name),
        id: name,
        attributes: { half, blocks: this.blocks(tensor, placement, reader) },
      })
      return name
    }
    return [make(0), make(1)]
  }

  private join(id: string, near: OperatorNode): void {
    const parts = this.known.get(id)
    if (!parts || this.joined.has(id)) return
    this.joined.add(id)
    const tensor = this.tensor(id)
    const placement = tensor.placement ?? { shards: [], partial: {} }
    const attributes = { blocks: this.blocks(tensor, placement, near) }
    this.out.push({ ...this.view(near, tensor, placement, 'join_halves', parts, id), id: `${id}/join`, attributes })
  }

  /** How many blocks a rank's share of the batch is divided into further on. Throws `INDIVISIBLE` where they have no halves. */
  private blocks({ dims, shape }: Tensor, { shards }: Placement, { id }: OperatorNode): number {
    const at = dims.indexOf('batch')
    const { mesh } = this.program
    const share = (shape[at] ?? 1) / groupSize(mesh, this.finest)
    if (share % 2 === 0) return groupSize(mesh, this.finest) / groupSize(mesh, shards[at] ?? [])
    throw new ShardloomError('INDIVISIBLE', `Cannot run \`${id}\` in halves: a rank has ${share} of dim \`batch\`.`, {
      subject: 'interleave',
      help: 'Let each rank have an even number of sequences at a time: a larger `batch` or `microbatch`, or fewer ranks.',
    })
  }

  private view(
    near: OperatorNode,
    { dims }: Tensor,
    { shards, partial }: Placement,
    op: string,
    inputs: readonly string[],
    output: string,
  ) {
    const text = operandText(dims)
    const splits = dims.flatMap((dim, at) => (shards[at]?.length ? [[dim, shards[at] ?? []] as const] : []))
    const passed = Object.keys(partial).map((atom) => [atom, [...inputs.keys()]] as const)
    return {
      type: 'node' as const,
      kind: 'compute' as const,
      op,
      rule: `${inputs.map(() => text).join(', ')} -> ${text}`,
      inputs,
      outputs: [output],
      segment: near.segment,
      module: near.module,
      ...(near.stages && { stages: near.stages }),
      partition: { splits: Object.fromEntries(splits), partial: Object.fromEntries(passed), by: {} },
    }
  }
}

function halved([share, whole]: readonly [number, number] = [1, 1]): readonly [number, number] {
  return [share, whole * 2]
}
