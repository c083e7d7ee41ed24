import {
  assert,
  type Body,
  compileSelector,
  edit,
  type Item,
  lookup,
  type Matcher,
  nodesOf,
  type OperatorNode,
  type Pass,
  type Program,
  regionsOf,
  type Selector,
  ShardloomError,
  type Tensor,
  walk,
} from '@shardloom/core'

/** Which forward operators of the layers backward runs again, so that their interior results need not be kept. */
export interface RecomputeChoice {
  /** Every operator of a layer that this selects; `{}` is every layer from its input (Chen et al. 2016). */
  readonly full?: Selector
  /** Scores, softmax, dropout and context of the attention that this selects (Korthikanti et al. 2022, section 5). */
  readonly selective?: Selector
  /**
   * What operators outside of the set read as well: saved, as around a region that is checkpointed (default), or made again for
   * backward too, as under a policy for each operator (PyTorch's selective checkpointing).
   */
  readonly border?: 'saved' | 'again'
  /** Whether operators at the end, whose results backward does not read, run again too, as checkpointing may do. */
  readonly tail?: 'dropped' | 'kept'
}

/** What backward computes again: nothing, the same in every layer, or a choice of operators. */
export type Recompute = 'none' | 'selective' | 'full' | RecomputeChoice

const attentionCore: Selector = { module: 'attention', name: ['score', 'softmax', 'dropout', 'context'] }

/**
 * Copies chosen forward operators into backward and lets backward read what the copies make. Only interior results are
 * replaced: what operators outside of the set read as well stays saved. A copy stands before the first that needs it, and
 * what nobody needs is not copied. Its communication is derived like that of any operator. Throws `RECOMPUTE` for a choice
 * that changes nothing, and warns of `border: again` where it does.
 */
export function recomputePass(recompute: Exclude<Recompute, 'none'>): Pass {
  const choice: RecomputeChoice = typeof recompute === 'string' ? { [recompute]: {} } : recompute
  return {
    name: 'models/recompute',
    phase: 'differentiate',
    after: ['models/differentiate'],
    run(program, { warn }) {
      const sets = (['full', 'selective'] as const).flatMap((kind) => {
        const where = choice[kind]
        return where ? [{ kind, nodes: chosen(program, kind, where) }] : []
      })
      if (sets.length === 0) throw changesNothing('it selects nothing', 'Give it `full` or `selective`.')
      if (program.phase !== 'training') throw changesNothing('only training has a backward', 'Leave it out.')
      const all = new Map(sets.flatMap(({ nodes }) => [...nodes]))
      const copies = new Set([...all.keys()].map(({ id }) => copyId(id)))
      if (nodesOf(program.items).some(({ id }) => copies.has(id))) return program
      const made = new Recomputation(program, all, choice)
      const result = made.run(sets.map(({ kind }) => kind).join(' and '))
      for (const { kind, nodes } of sets)
        if (![...nodes.keys()].some((node) => made.copied.has(node))) throw nothingAgain(kind, [...nodes.keys()])
      if (choice.border === 'again' && !made.reachesBorder)
        warn(
          '`recompute.border: again` changes nothing: no operator outside of those that run again reads what they make',
        )
      return result
    },
  }
}

function chosen(program: Program, kind: 'full' | 'selective', where: Selector): Map<OperatorNode, string> {
  const tensor = (id: string) => program.tensors.get(id)
  const matches = compileSelector(where, tensor)
  const inCore: Matcher = kind === 'full' ? () => true : compileSelector(attentionCore, tensor)
  const found = new Map<OperatorNode, string>()
  walk(program.items, (node, place) => {
    const at = place.path.at(-1)
    if (node.segment !== 'forward' || at?.region.axis !== 'layer') return
    if (inCore(node, place) && matches(node, place)) found.set(node, at.region.bodies[at.body]?.name ?? '')
  })
  return found
}

class Recomputation {
  readonly copied = new Set<OperatorNode>()
  /** Whether a result was made again that operators outside of the set read too. */
  reachesBorder = false
  private readonly tensors = new Map<string, Tensor>()
  /** Interior result → the operator that makes it. */
  private readonly interior = new Map<string, OperatorNode>()
  /** Results that operators outside of the set read. */
  private readonly border = new Set<string>()

  constructor(
    private readonly program: Program,
    /** Operators that may run again, with the name of their body. */
    private readonly chosen: ReadonlyMap<OperatorNode, string>,
    private readonly choice: RecomputeChoice,
  ) {
    for (const node of nodesOf(program.items))
      if (node.segment === 'forward' && !chosen.has(node)) for (const id of node.inputs) this.border.add(id)
    const leaving = new Set(choice.border === 'again' ? [] : this.border)
    for (const { ports } of regionsOf(program.items))
      for (const port of ports) {
        if (port.kind === 'carry') for (const id of [port.initial, ...port.next]) leaving.add(id)
        if (port.kind === 'reduce') for (const id of port.inner) if (id !== null) leaving.add(id)
      }
    for (const node of chosen.keys()) for (const id of node.outputs) if (!leaving.has(id)) this.interior.set(id, node)
  }

  /** `recompute` is what outputs call the choice. */
  run(recompute: string): Program {
    const draft = edit(this.program)
    const items = this.visit(this.program.items)
    for (const tensor of this.tensors.values()) draft.setTensor(tensor)
    draft.setItems(items)
    draft.set({ notes: { ...this.program.notes, recompute } })
    return draft.commit()
  }

  private visit(items: readonly Item[]): Item[] {
    return items.map((item): Item => {
      if (item.type === 'node') return item
      const bodies = item.bodies.map((body) => ({
        ...body,
        items: item.axis === 'layer' ? this.backward(body) : this.visit(body.items),
      }))
      return { ...item, bodies }
    })
  }

  /** The items of a layer's body, with copies where it is one of backward. */
  private backward({ name, items }: Body): readonly Item[] {
    if (!items.some((item) => item.type === 'node' && item.segment === 'backward')) return items
    const out: Item[] = []
    const again = new Map<string, string>()
    if (this.choice.tail === 'kept')
      for (const [node, body] of this.chosen)
        if (body === name && !node.outputs.some((id) => again.has(id))) this.copy(node, out, again)
    for (const item of items) {
      if (item.type === 'node') {
        const inputs = item.inputs.map((id) => this.read(id, out, again))
        out.push(inputs.every((id, index) => id === item.inputs[index]) ? item : { ...item, inputs })
      } else out.push(item)
    }
    return out
  }

  /** The tensor that backward reads in the place of a forward one; what has to run again for it goes to `out`. */
  private read(id: string, out: Item[], again: Map<string, string>): string {
    const node = this.interior.get(id)
    if (!node) return id
    this.reachesBorder ||= this.border.has(id)
    if (!again.has(id)) this.copy(node, out, again)
    return again.get(id) ?? id
  }

  private copy(node: OperatorNode, out: Item[], again: Map<string, string>): void {
    const inputs = node.inputs.map((input) => this.read(input, out, again))
    const outputs = node.outputs.map((output) => {
      const id = copyId(output)
      assert(!this.program.tensors.has(id), `\`${id}\` is made twice`)
      this.tensors.set(id, { ...lookup(this.program.tensors, output), id })
      again.set(output, id)
      return id
    })
    this.copied.add(node)
    const { fusion } = node
    out.push({
      ...node,
      id: copyId(node.id),
      inputs,
      outputs,
      segment: 'backward',
      ...(fusion !== undefined && { fusion: copyId(fusion) }),
      differentiates: node.id,
      recompute: true,
    })
  }
}

function copyId(id: string): string {
  return id.replace(/^forward\//, 'backward/')
}

function changesNothing(why: string, help: string, kind = ''): ShardloomError {
  const what = kind ? `recompute: ${kind}` : 'recompute'
  return new ShardloomError('RECOMPUTE', `\`${what}\` changes nothing: ${why}.`, { subject: 'recompute', help })
}

function nothingAgain(kind: string, nodes: readonly OperatorNode[]): ShardloomError {
  if (nodes.length === 0) return changesNothing('it selects no operator of a layer', 'Select others.', kind)
  if (nodes.some((node) => node.fusion === undefined))
    return changesNothing(
      'backward reads no result of these operators that is not saved for others',
      'Select more.',
      kind,
    )
  const why = 'attention runs as one kernel, which keeps no scores and computes them again in backward anyway'
  return changesNothing(why, 'Set `attention: materialised`, or recompute `full` or `none`.', kind)
}
