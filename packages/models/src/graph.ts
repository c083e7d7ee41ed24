import type { Body, DataType, Item, Json, NodeKind, Region, Segment, Tensor, TensorRole } from '@shardloom/core'
import { assert, parseRule } from '@shardloom/core'

/** What a node of a new graph is made from. */
export interface NodeInput {
  /** Last segment of the id; unique inside its module and body. */
  readonly name: string
  readonly op: string
  readonly rule: string
  readonly inputs: readonly string[]
  readonly kind?: NodeKind
  readonly attributes?: Readonly<Record<string, Json>>
  readonly density?: readonly [number, number]
  readonly fusion?: string
  /** Sizes of dims that stand in results only. */
  readonly sizes?: Readonly<Record<string, number>>
  /** Result tensors, where they are not activations with the rule's dim names and the graph's type. */
  readonly results?: readonly (Partial<Pick<Tensor, 'dims' | 'dtype' | 'role' | 'density'>> & {
    readonly id?: string
  })[]
}

/** Where nodes are being added: one body of one region, or the top. */
export interface GraphPlace {
  readonly segment: Segment
  /** Name of the enclosing body as a path segment, or empty outside repeated regions. */
  readonly body: string
  /** Whether the body's region has others, so that its tensors exist for some iterations only. */
  readonly alternates: boolean
  readonly per: readonly string[]
}

/**
 * Builds the operator graph of one device. Ids come from the place, the module and the name: tensors are called like the
 * node that makes them.
 */
export class Graph {
  readonly tensors = new Map<string, Tensor>()
  private items: Item[] = []
  private place: GraphPlace
  private module = ''

  constructor(
    segment: Segment,
    private readonly dtype: DataType,
  ) {
    this.place = { segment, body: '', alternates: false, per: [] }
  }

  /** Declares a tensor from outside, or one that a port hands in. */
  tensor(
    id: string,
    dims: readonly string[],
    shape: readonly number[],
    more: Partial<Tensor> & { readonly role: TensorRole },
  ): string {
    assert(!this.tensors.has(id), `the tensor \`${id}\` is declared twice`)
    this.tensors.set(id, { id, dims, shape, dtype: this.dtype, per: this.place.per, ...this.bodyOf(), ...more })
    return id
  }

  /** Declares the positions of a sequence's tokens: the same for all microbatches, others in each decode step or chunk. */
  positions(count: number): string {
    const per = this.place.per.filter((axis) => axis === 'decode_step' || axis === 'chunk')
    return this.tensor('inputs/positions', ['seq'], [count], { role: 'input', dtype: 'int32', per })
  }

  /** Declares an activation that every iteration of the region has, whatever body runs: a carry as a port hands it in. */
  shared(id: string, dims: readonly string[], shape: readonly number[]): string {
    const { per } = this.place
    this.tensors.set(id, { id, dims, shape, dtype: this.dtype, per, role: 'activation' })
    return id
  }

  /** Runs `build` with ids below `module`. */
  inModule<T>(module: string, build: () => T): T {
    const outer = this.module
    this.module = outer ? `${outer}/${module}` : module
    const result = build()
    this.module = outer
    return result
  }

  /** The id that a node of this name gets here. */
  idOf(name: string): string {
    return [this.place.segment, this.place.body, this.module, name].filter((part) => part !== '').join('/')
  }

  /** Adds a node and returns the ids of its results. */
  node(input: NodeInput): string[] {
    const { name, op, rule, inputs, kind = 'compute', sizes = {}, results = [], ...rest } = input
    const id = this.idOf(name)
    const parsed = parseRule(rule)
    const bound = new Map(Object.entries(sizes))
    const growing = new Map<string, Tensor['growth']>()
    inputs.forEach((tensor, index) => {
      const { shape, growth } = this.find(tensor)
      parsed.operands[index]?.forEach((dim, position) => {
        bound.set(dim, shape[position] ?? 0)
        if (growth?.position === position) growing.set(dim, growth)
      })
    })
    const outputs = parsed.results.map((dims, index) => {
      const own = results[index] ?? {}
      const shape = dims.map((dim) => {
        const size = bound.get(dim)
        assert(size !== undefined, `the size of \`${dim}\` in \`${id}\` is not known`)
        return size
      })
      const output = own.id ?? (index === 0 ? id : `${id}:${index}`)
      const position = dims.findIndex((dim) => growing.has(dim))
      const growth = growing.get(dims[position] ?? '')
      const density = own.density ?? (rest.density && dims.includes('experts') ? rest.density : undefined)
      return this.tensor(output, own.dims ?? dims, shape, {
        role: own.role ?? 'activation',
        ...(own.dtype && { dtype: own.dtype }),
        ...(density && { density }),
        ...(growth && { growth: { ...growth, position } }),
      })
    })
    this.items.push({
      type: 'node',
      id,
      kind,
      op,
      rule,
      inputs,
      outputs,
      segment: this.place.segment,
      module: this.module,
      ...rest,
    })
    return outputs
  }

  /** Adds a node with one result and returns its id. */
  one(input: NodeInput): string {
    return this.node(input)[0] ?? ''
  }

  /** The tensor of that id. */
  find(id: string): Tensor {
    const found = this.tensors.get(id)
    assert(found, `there is no tensor \`${id}\``)
    return found
  }

  /** Builds the bodies of a region; `build` adds the nodes of one body and returns whatever its ports need. */
  bodies<T>(axis: string, names: readonly string[], build: (name: string) => T): { bodies: Body[]; results: T[] } {
    const outer = { items: this.items, place: this.place, module: this.module }
    this.module = ''
    const results: T[] = []
    const bodies = names.map((name): Body => {
      this.items = []
      const body = axis === 'layer' ? name : outer.place.body
      this.place = { ...outer.place, body, alternates: names.length > 1, per: [...outer.place.per, axis] }
      results.push(build(name))
      return { name, items: this.items }
    })
    this.items = outer.items
    this.place = outer.place
    this.module = outer.module
    return { bodies, results }
  }

  /** Adds a region. */
  region(region: Omit<Region, 'type'>): void {
    this.items.push({ type: 'region', ...region })
  }

  /** The items added to the outermost body so far. */
  finish(): readonly Item[] {
    return this.items
  }

  private bodyOf(): { body: string } | Record<string, never> {
    return this.place.alternates ? { body: this.place.body } : {}
  }
}
