import {
  closePorts,
  type Item,
  type Json,
  lookup,
  type OperatorNode,
  type OperatorTable,
  operandText,
  type Partition,
  type Placement,
  type Program,
  parseRule,
  placementsOf,
  type Region,
  type Rotation,
  rewriteItems,
  type Tensor,
} from '@shardloom/core'
import type { Gathered } from './find-attention.js'

/** The iteration axis of a ring. */
export const ringAxis = 'ring_step'

/** The two bodies of a ring: every step but the last passes keys and values on. */
export const ringBodies = ['pass', 'last'] as const

/** What a node of a ring is made from. */
export interface RingNode {
  readonly id: string
  readonly op: string
  readonly rule: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  /** The node that it stands for, or stands beside. */
  readonly like: OperatorNode
  readonly attributes?: Readonly<Record<string, Json>> | undefined
  /** How its results differ from what the rule gives them. */
  readonly results?: Partial<Tensor>
  readonly differentiates?: string
  /** Whether it computes again what forward has; of nodes of the operator of `like` that says so. */
  readonly recompute?: boolean | undefined
}

/** Collects what a pass puts in the place of attention, and makes the program with it. */
export class RingDraft {
  private readonly tensors: Map<string, Tensor>
  private readonly replaced = new Map<string, readonly Item[]>()
  /** What stands before some ring already: attention that runs again and its backward share what brings their keys. */
  private readonly brought = new Set<string>()
  readonly rotation: (position: number, offset: number, moving?: boolean) => Rotation

  constructor(
    private readonly program: Program,
    private readonly operators: OperatorTable,
    readonly atoms: readonly string[],
    readonly extent: number,
  ) {
    this.tensors = new Map(program.tensors)
    this.rotation = (position, offset, moving = true) => ({
      position,
      atoms,
      offset,
      ...(moving && { axis: ringAxis }),
    })
  }

  tensor(id: string): Tensor {
    return lookup(this.tensors, id)
  }

  add(tensor: Tensor): string {
    this.tensors.set(tensor.id, tensor)
    return tensor.id
  }

  /** Puts items in the place of a node; none removes it. */
  replace(node: OperatorNode, items: readonly Item[] = []): void {
    this.replaced.set(node.id, items)
  }

  /** A node whose dims are split as those of attention are, and its results. */
  node(
    { id, op, rule, inputs, outputs, like, attributes, results, differentiates, ...more }: RingNode,
    split: Split,
  ): OperatorNode {
    const { space, operands, results: dims } = parseRule(rule)
    const splits = Object.fromEntries(Object.entries(split.splits).filter(([dim]) => space.includes(dim)))
    const used = Object.values(splits).flat()
    const by = Object.fromEntries(Object.entries(split.by).filter(([atom]) => used.includes(atom)))
    const partial = this.partial(op, inputs)
    const { communication: _, attributes: __, fusion, differentiates: ___, recompute, updates: ____, ...rest } = like
    const node: OperatorNode = {
      ...rest,
      id,
      kind: 'compute',
      op,
      rule,
      inputs,
      outputs,
      ...(attributes && { attributes }),
      ...(fusion !== undefined && { fusion }),
      ...((op === like.op ? recompute : more.recompute) && { recompute: true }),
      ...(differentiates !== undefined && { differentiates }),
      partition: { splits, partial, by },
    }
    const placements = placementsOf(node, this.operators).results
    const sizes = new Map<string, number>()
    inputs.forEach((input, index) => {
      operands[index]?.forEach((dim, position) => sizes.set(dim, this.tensor(input).shape[position] ?? 1))
    })
    const first = this.tensor(like.outputs[0] ?? '')
    outputs.forEach((output, index) => {
      const own = dims[index] ?? []
      const position = own.indexOf('kv_seq')
      const turns = inputs.some((input) => this.tensor(input).rotation)
      const { nextOf: _, versionOf: __, rotation: ___, ...base } = first
      this.add({
        ...base,
        ...results,
        id: output,
        dims: own,
        shape: own.map((dim) => sizes.get(dim) ?? split.sizes.get(dim) ?? 1),
        placement: placements[index] ?? { shards: own.map(() => []), partial: {} },
        ...(turns && position >= 0 && { rotation: this.rotation(position, 0) }),
      })
    })
    return node
  }

  /** Sums of terms that are partial sums already stay so: they are reduced once, behind the ring. */
  private partial(op: string, inputs: readonly string[]): Partition['partial'] {
    if (op !== 'add') return {}
    const atoms = Object.keys(this.tensor(inputs[0] ?? '').placement?.partial ?? {})
    return Object.fromEntries(atoms.map((atom) => [atom, inputs.map((_, index) => index)]))
  }

  /** A send to the next rank and its recv from the one before; returns both, and what arrives. */
  hop(
    id: string,
    tensor: string,
    like: OperatorNode,
    strategies: readonly string[],
  ): { nodes: OperatorNode[]; arrived: string } {
    const from = this.tensor(tensor)
    const placement: Placement = from.placement ?? { shards: from.shape.map(() => []), partial: {} }
    const dims = operandText(from.dims)
    const make = (op: 'send' | 'recv', input: string, shift: number): OperatorNode => ({
      type: 'node',
      id: `${id}/${op}`,
      kind: 'communication',
      op,
      rule: `${dims} -> ${dims}`,
      inputs: [input],
      outputs: [`${id}/${op}`],
      segment: like.segment,
      module: like.module,
      communication: {
        atoms: this.atoms,
        shift,
        from: placement,
        to: placement,
        reason: { tensor, producer: null, consumer: like.id, strategies },
      },
    })
    const send = make('send', tensor, 1)
    this.add({ ...from, id: send.id })
    const recv = make('recv', send.id, -1)
    const { rotation } = from
    this.add({ ...from, id: recv.id, ...(rotation && { rotation: { ...rotation, offset: rotation.offset + 1 } }) })
    return { nodes: [send, recv], arrived: recv.id }
  }

  /**
   * What stands before the ring instead of a gather: the gather over other ranks than the ring's, where there were some,
   * and the read of the cache, which now finds its own positions. What an earlier ring has before it is not made again.
   */
  local({ gather, cache, read }: Gathered): { nodes: readonly OperatorNode[]; tensor: string } {
    const { communication } = gather
    this.replace(gather)
    if (cache) this.replace(cache)
    const nodes: OperatorNode[] = []
    let tensor = gather.inputs[0] ?? ''
    const others = communication?.atoms.filter((atom) => !this.atoms.includes(atom)) ?? []
    if (communication && others.length > 0) {
      const shards = communication.from.shards.map((each) => each.filter((atom) => !others.includes(atom)))
      const to = { ...communication.to, shards }
      tensor = gather.id.replace(/\([^(]*$/, `(${others.join('.')})`)
      this.add({ ...this.tensor(gather.outputs[0] ?? ''), id: tensor, placement: to })
      nodes.push({ ...gather, id: tensor, outputs: [tensor], communication: { ...communication, atoms: others, to } })
    }
    const fresh = (): OperatorNode[] => nodes.filter(({ id }) => !this.brought.has(id) && this.brought.add(id))
    if (!cache) return { nodes: fresh(), tensor }
    const position = communication?.from.shards.findIndex((each) => each.includes(this.atoms[0] ?? '')) ?? 0
    const dim = parseRule(cache.rule).operands[0]?.[position] ?? ''
    const { splits = {}, partial = {}, by = {} } = cache.partition ?? {}
    const reader = { ...cache, inputs: [tensor], partition: { splits: { ...splits, [dim]: this.atoms }, partial, by } }
    const placement = placementsOf(reader, this.operators).results[0]
    this.add({ ...this.tensor(read), ...(placement && { placement }) })
    nodes.push(reader)
    return { nodes: fresh(), tensor: read }
  }

  /** Takes the ring's atoms out of everything that reduced a gradient over them: the ring has done it. */
  reduced(gradient: string, position: number, nodes: readonly OperatorNode[]): void {
    const done = (placement: Placement): Placement => ({
      shards: placement.shards.map((each, index) => {
        return index === position && !each.includes(this.atoms[0] ?? '') ? [...this.atoms, ...each] : each
      }),
      partial: Object.fromEntries(Object.entries(placement.partial).filter(([atom]) => !this.atoms.includes(atom))),
    })
    const renamed = new Map<string, string>()
    for (const node of nodes) {
      const { communication } = node
      if (!communication || this.tensor(node.outputs[0] ?? '').versionOf !== gradient) continue
      const inputs = node.inputs.map((id) => renamed.get(id) ?? id)
      const atoms = communication.atoms.filter((atom) => !this.atoms.includes(atom))
      const [from, to] = [done(communication.from), done(communication.to)]
      if (atoms.length === 0) renamed.set(node.outputs[0] ?? '', inputs[0] ?? '')
      this.replace(
        node,
        atoms.length === 0 ? [] : [{ ...node, inputs, communication: { ...communication, atoms, from, to } }],
      )
      const own = this.tensor(node.outputs[0] ?? '')
      this.add({ ...own, placement: to })
    }
    if (renamed.size > 0) this.renames.push(renamed)
  }

  private readonly renames: Map<string, string>[] = []

  region(id: string, bodies: readonly (readonly OperatorNode[])[], ports: Region['ports']): Region {
    return {
      type: 'region',
      id,
      axis: ringAxis,
      extent: this.extent,
      order: 'forward',
      bodies: ringBodies.map((name, index) => ({ name, items: bodies[index] ?? [] })),
      select: [
        { body: 0, count: this.extent - 1 },
        { body: 1, count: 1 },
      ],
      ports,
    }
  }

  /** The program with everything replaced, without the tensors that nobody makes or reads any more. */
  commit(): Program {
    const renamed = new Map(this.renames.flatMap((each) => [...each]))
    const rename = (id: string) => renamed.get(id) ?? id
    const placed = rewriteItems(this.program.items, (list) =>
      list.flatMap((item) => this.replaced.get(item.id) ?? [item]),
    )
    const items = rewriteItems(placed, (list) =>
      list.map((item) =>
        item.type === 'node'
          ? { ...item, inputs: item.inputs.map(rename) }
          : {
              ...item,
              ports: item.ports.map((port) => {
                if (port.kind === 'carry')
                  return { ...port, initial: rename(port.initial), next: port.next.map(rename) }
                if (port.kind === 'reduce') return { ...port, inner: port.inner.map((inner) => inner && rename(inner)) }
                return { ...port, tensor: rename(port.tensor) }
              }),
            },
      ),
    )
    const used = new Set(namesOf(items))
    const before = new Set(namesOf(this.program.items))
    const tensors = new Map([...this.tensors].filter(([id]) => used.has(id) || !before.has(id)))
    return { ...this.program, tensors, items: closePorts(items, tensors) }
  }
}

/** How the dims of one attention are split, with the keys split over the ring, and the sizes of its dims. */
export interface Split {
  readonly splits: Readonly<Record<string, readonly string[]>>
  readonly by: Readonly<Record<string, string>>
  readonly sizes: ReadonlyMap<string, number>
}

function namesOf(items: readonly Item[]): string[] {
  return items.flatMap((item) =>
    item.type === 'node'
      ? [...item.inputs, ...item.outputs]
      : [
          ...item.bodies.flatMap((body) => namesOf(body.items)),
          ...item.ports.flatMap((port) => {
            if (port.kind === 'carry') return [port.initial, port.inner, port.result, ...port.next]
            return port.kind === 'reduce' ? [port.result, ...port.inner.flatMap((inner) => inner ?? [])] : [port.tensor]
          }),
        ],
  )
}
