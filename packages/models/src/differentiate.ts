import {
  assert,
  type Body,
  type DerivativeContext,
  type DerivativeTerm,
  definitionOf,
  edit,
  type Item,
  lookup,
  type OperatorNode,
  type OperatorTable,
  operandText,
  type Pass,
  type Port,
  type Program,
  type Region,
  ShardloomError,
  type Tensor,
} from '@shardloom/core'

/**
 * Reverse-mode differentiation of a rolled graph, from the operators' own derivatives. Regions are closed under it: a
 * carry becomes a carry that runs back, an `each` value gets an `each` gradient, a `const` one a sum over iterations.
 * Tensors inside a fused kernel were never kept: backward computes them again.
 */
export const differentiatePass: Pass = {
  name: 'models/differentiate',
  phase: 'differentiate',
  run(program, { operators }) {
    const done = program.items.some((item) => item.type === 'region' && hasBackward(item))
    if (program.phase !== 'training' || done) return program
    return new Differentiation(program, operators).run()
  },
}

function hasBackward(item: Item): boolean {
  if (item.type === 'node') return item.segment === 'backward'
  return item.bodies.some((body) => body.items.some(hasBackward))
}

type Contributions = Map<string, string[]>

interface Where {
  readonly per: readonly string[]
  /** Name of the body, and whether its region has others. */
  readonly name: string
  readonly alternates: boolean
}

class Differentiation {
  private readonly tensors: Map<string, Tensor>
  private readonly producers = new Map<string, OperatorNode>()
  private readonly readers = new Map<string, OperatorNode[]>()
  private readonly needed = new Set<string>()
  /** Parameter → its gradient inside the loop over microbatches. */
  private readonly gradients = new Map<string, string>()

  constructor(
    private readonly program: Program,
    private readonly operators: OperatorTable,
  ) {
    this.tensors = new Map(program.tensors)
    for (const tensor of program.tensors.values()) if (tensor.role === 'parameter') this.needed.add(tensor.id)
    this.index(program.items)
  }

  run(): Program {
    const { program } = this
    const items = program.items.map((item): Item => {
      if (item.type === 'node' || item.axis !== 'microbatch') return item
      const [body] = item.bodies
      const [loss] = item.ports.flatMap((port) => (port.kind === 'reduce' ? port.inner : []))
      assert(body && loss, 'a training program has a body and a loss')
      const outer: Where = { per: [item.axis], name: body.name, alternates: false }
      const contributions: Contributions = new Map([[loss, []]])
      const backward = this.backwardItems(body.items, contributions, outer)
      for (const [id, tensor] of program.tensors) {
        if (tensor.role !== 'parameter' || tensor.per.length > 0) continue
        const gradient = this.gradientOf(id, contributions, backward, outer)
        if (gradient) this.gradients.set(id, gradient)
      }
      const sums = [...this.gradients].map(
        ([parameter, inner]): Port => ({ kind: 'reduce', inner: [inner], result: this.accumulator(parameter) }),
      )
      return { ...item, bodies: [{ ...body, items: [...body.items, ...backward] }], ports: [...item.ports, ...sums] }
    })
    const draft = edit(program)
    for (const [id, tensor] of this.tensors) if (!program.tensors.has(id)) draft.setTensor(tensor)
    draft.setItems(items)
    return draft.commit()
  }

  /** The gradient summed over microbatches, in the type that the user wants it in. */
  private accumulator(parameter: string): string {
    const tensor = lookup(this.tensors, parameter)
    const dtype = this.program.notes['gradientDtype']
    const id = `gradient/${parameter}`
    this.tensors.set(id, {
      ...tensor,
      id,
      role: 'gradient',
      dtype: typeof dtype === 'string' ? (dtype as Tensor['dtype']) : tensor.dtype,
    }) // validated where the option is read
    return id
  }

  private index(items: readonly Item[]): void {
    for (const item of items) {
      if (item.type === 'region') {
        for (const port of item.ports) if (port.kind === 'carry') this.needed.add(port.inner)
        for (const body of item.bodies) this.index(body.items)
        for (const port of item.ports) if (port.kind === 'carry') this.needed.add(port.result)
        continue
      }
      for (const id of item.inputs) {
        const known = this.readers.get(id)
        if (known) known.push(item)
        else this.readers.set(id, [item])
      }
      for (const id of item.outputs) this.producers.set(id, item)
      if (item.inputs.some((id) => this.needed.has(id))) for (const id of item.outputs) this.needed.add(id)
    }
  }

  private backwardItems(items: readonly Item[], contributions: Contributions, where: Where): Item[] {
    const out: Item[] = []
    const again = new Map<string, string>()
    for (const item of [...items].reverse()) {
      if (item.type === 'region') this.backwardRegion(item, contributions, out, where)
      else this.backwardNode(item, contributions, out, where, again)
    }
    return out
  }

  private backwardNode(
    node: OperatorNode,
    contributions: Contributions,
    out: Item[],
    where: Where,
    again: Map<string, string>,
  ): void {
    const { derivative } = definitionOf(node, this.operators)
    if (!node.outputs.some((id) => contributions.has(id))) return
    if (!derivative) {
      if (node.inputs.some((id) => this.needed.has(id))) throw noDerivative(node)
      return
    }
    const gradients = node.outputs.map((id) => this.gradientOf(id, contributions, out, where))
    const context: DerivativeContext = {
      tensor: (id) => lookup(this.tensors, id),
      producer: (id) => this.producers.get(id) ?? fail(`nobody makes \`${id}\``),
    }
    const terms = derivative(node, context)
    if (terms.length === 0) throw noDerivative(node)
    for (const term of terms) {
      for (const id of 'alias' in term ? [term.of] : term.of) if (!this.tensors.has(id)) throw noDerivative(node, id)
      if ('alias' in term) {
        const gradient = gradients[term.alias]
        if (gradient && this.needed.has(term.of)) contribute(contributions, term.of, gradient)
      } else if (term.of.some((id) => this.needed.has(id)))
        this.addTerm(node, term, gradients, contributions, out, where, again)
    }
  }

  private addTerm(
    node: OperatorNode,
    term: Exclude<DerivativeTerm, { alias: number }>,
    gradients: readonly (string | undefined)[],
    contributions: Contributions,
    out: Item[],
    where: Where,
    again: Map<string, string>,
  ): void {
    const inputs = term.inputs.map((input) =>
      typeof input === 'string' ? this.kept(input, out, where, again) : (gradients[input.gradient] ?? ''),
    )
    if (inputs.includes('')) return
    const id = `${backwardId(node.id)}.${term.name}`
    const outputs = term.of.map((tensor, index) => {
      const output = index === 0 ? id : `${id}:${index}`
      this.declare(output, lookup(this.tensors, tensor), where)
      contribute(contributions, tensor, output)
      return output
    })
    const density = term.density ?? node.density
    out.push({
      type: 'node',
      id,
      kind: 'compute',
      op: term.op,
      rule: term.rule,
      inputs,
      outputs,
      segment: 'backward',
      module: node.module,
      ...(term.attributes && { attributes: term.attributes }),
      ...(density && { density }),
      ...(node.fusion !== undefined && { fusion: `${backwardId(node.fusion)}.backward` }),
      differentiates: term.differentiates ?? node.id,
    })
  }

  /** A forward tensor as backward can read it: itself, or computed again when a fused kernel never wrote it. */
  private kept(id: string, out: Item[], where: Where, again: Map<string, string>): string {
    const producer = this.producers.get(id)
    const fusion = producer?.fusion
    const internal =
      producer && fusion !== undefined && (this.readers.get(id) ?? []).every((reader) => reader.fusion === fusion)
    if (!producer || !internal) return id
    const known = again.get(id)
    if (known) return known
    const inputs = producer.inputs.map((input) => this.kept(input, out, where, again))
    const copy = `${backwardId(producer.id)}.recompute`
    const outputs = producer.outputs.map((output, index) => {
      const name = index === 0 ? copy : `${copy}:${index}`
      this.declare(name, lookup(this.tensors, output), where)
      again.set(output, name)
      return name
    })
    const { fusion: _, ...rest } = producer
    out.push({
      ...rest,
      id: copy,
      inputs,
      outputs,
      segment: 'backward',
      fusion: `${backwardId(fusion)}.backward`,
      differentiates: producer.id,
      recompute: true,
    })
    return again.get(id) ?? id
  }

  /** The sum of everything that flows back into a tensor; adds a node when it is more than one term. */
  private gradientOf(id: string, contributions: Contributions, out: Item[], where: Where): string | undefined {
    const terms = contributions.get(id)
    if (!terms || terms.length < 2) return terms?.[0]
    const tensor = lookup(this.tensors, id)
    const producer = this.producers.get(id)
    const port = !producer && tensor.role !== 'parameter'
    const sum = port ? `backward/${where.name}/${id.slice(id.lastIndexOf('/') + 1)}.sum` : `${backwardId(id)}.sum`
    this.declare(sum, tensor, where)
    const dims = operandText(tensor.dims)
    out.push({
      type: 'node',
      id: sum,
      kind: 'compute',
      op: 'sum_gradients',
      rule: `${terms.map(() => dims).join(', ')} -> ${dims}`,
      inputs: terms,
      outputs: [sum],
      segment: 'backward',
      module: producer?.module ?? this.readers.get(id)?.[0]?.module ?? '',
      ...(tensor.density && { density: tensor.density }),
    })
    contributions.set(id, [sum])
    return sum
  }

  private declare(id: string, like: Tensor, where: Where): void {
    assert(!this.tensors.has(id), `the gradient \`${id}\` is made twice`)
    const { dims, shape, dtype, density } = like
    const role = like.role === 'parameter' ? 'gradient' : 'activation'
    this.tensors.set(id, {
      id,
      dims,
      shape,
      dtype,
      role,
      per: where.per,
      ...(where.alternates && { body: where.name }),
      ...(density && { density }),
    })
  }

  private backwardRegion(region: Region, contributions: Contributions, out: Item[], where: Where): void {
    const carries = region.ports.flatMap((port) => (port.kind === 'carry' ? [port] : []))
    const id = backwardId(region.id)
    const ports: Port[] = []
    const seeds = carries.flatMap((port) => {
      const initial = this.gradientOf(port.result, contributions, out, where)
      if (!initial) return []
      const inner = `${backwardId(port.inner)}.gradient`
      this.declare(inner, lookup(this.tensors, port.inner), {
        per: [...where.per, region.axis],
        name: '',
        alternates: false,
      })
      return [{ port, initial, inner, next: [] as string[] }]
    })
    if (seeds.length === 0) return
    const shared = new Map<string, (string | null)[]>()
    const bodies = region.bodies.map((body, index): Body => {
      const place: Where = { per: [...where.per, region.axis], name: body.name, alternates: region.bodies.length > 1 }
      const inside: Contributions = new Map()
      for (const { port, inner } of seeds) contribute(inside, port.next[index] ?? '', inner)
      const items = this.backwardItems(body.items, inside, place)
      for (const seed of seeds) seed.next.push(this.gradientOf(seed.port.inner, inside, items, place) ?? seed.inner)
      for (const tensor of [...inside.keys()]) {
        const own = lookup(this.tensors, tensor)
        if (own.role !== 'parameter') continue
        const gradient = this.gradientOf(tensor, inside, items, place)
        if (!gradient) continue
        if (own.per.includes(region.axis)) this.gradients.set(tensor, gradient)
        else
          shared.set(
            tensor,
            region.bodies.map((_, which) => (which === index ? gradient : (shared.get(tensor)?.[which] ?? null))),
          )
      }
      return { name: body.name, items }
    })
    for (const { port, initial, inner, next } of seeds) {
      const result = `${backwardId(port.initial)}.gradient`
      this.declare(result, lookup(this.tensors, port.initial), where)
      ports.push({ kind: 'carry', initial, inner, next, result })
      contribute(contributions, port.initial, result)
    }
    for (const [tensor, inner] of shared) {
      const result = `${id}/${tensor}.gradient`
      this.declare(result, lookup(this.tensors, tensor), where)
      ports.push({ kind: 'reduce', inner, result })
      contribute(contributions, tensor, result)
    }
    out.push({ ...region, id, bodies, ports, order: region.order === 'forward' ? 'reverse' : region.order })
  }
}

function contribute(contributions: Contributions, tensor: string, gradient: string): void {
  const known = contributions.get(tensor)
  if (known) known.push(gradient)
  else contributions.set(tensor, [gradient])
}

function backwardId(id: string): string {
  return id.startsWith('forward/') ? `backward/${id.slice('forward/'.length)}` : `backward/${id}`
}

/** An operator on the way to the loss that does not say its gradient, or says it of a tensor that there is not. */
function noDerivative({ id, op }: OperatorNode, of?: string): ShardloomError {
  const why =
    of === undefined
      ? 'has no `derivative`'
      : `has a \`derivative\` with the gradient of \`${of}\`, which does not exist`
  return new ShardloomError('NO_DERIVATIVE', `Cannot differentiate \`${id}\`: its operator \`${op}\` ${why}.`, {
    subject: id,
    help: 'Parameters before it would never be trained. Give its definition a `derivative` with a term for each operand.',
  })
}

function fail(why: string): never {
  throw new Error(`internal error: ${why}`)
}
