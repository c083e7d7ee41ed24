import {
  dataTypes,
  edit,
  type Item,
  lookup,
  nodesOf,
  type OperatorNode,
  operandText,
  type Pass,
  type Port,
  type Program,
  type Region,
  type Tensor,
  walk,
} from '@shardloom/core'

/**
 * The optimizer segment of a training program: the loss is reported, the squared norm of all gradients is summed over
 * every parameter once, and Adam updates a master copy in single precision (or the parameter, where it is as precise) with
 * gradients clipped by that norm.
 */
export const optimizerPass: Pass = {
  name: 'models/optimizer',
  phase: 'differentiate',
  after: ['models/differentiate'],
  run(program) {
    const loop = program.items.find((item): item is Region => item.type === 'region' && item.axis === 'microbatch')
    if (program.phase !== 'training' || !loop || program.items.some((item) => item.id === 'optimizer/clip'))
      return program
    const sums = loop.ports.flatMap((port) =>
      port.kind === 'reduce' && port.result.startsWith('gradient/') ? [port.result] : [],
    )
    const draft = edit(program)
    const builder = new Optimizer(program, (tensor) => draft.setTensor(tensor))
    draft.setItems([...program.items, ...builder.items(sums)])
    return draft.commit()
  },
}

const scalar = { dims: [], shape: [], dtype: 'fp32', role: 'optimizer', per: [] } as const

class Optimizer {
  /** Parameter → the module of the first operator that reads it. */
  private readonly modules = new Map<string, string>()

  constructor(
    private readonly program: Program,
    private readonly declare: (tensor: Tensor) => void,
  ) {
    for (const node of nodesOf(program.items)) {
      for (const id of node.inputs) if (!this.modules.has(id)) this.modules.set(id, node.module)
    }
  }

  items(gradients: readonly string[]): Item[] {
    const layers = this.layerRegion()
    const isInLayers = (id: string) => lookup(this.program.tensors, id).per.length > 0
    const inLayers = gradients.filter(isInLayers)
    const outside = gradients.filter((id) => !isInLayers(id))
    const squares: string[] = []
    const nodes = outside.map((id) => this.squareSum(id, squares))
    const ports: Port[] = []
    const norms =
      layers &&
      this.region('optimizer/norms', layers, inLayers, (id, body) => {
        const inner: string[] = []
        const node = this.squareSum(id, inner)
        const result = `${node.id}.total`
        this.declare({ ...scalar, id: result, role: 'activation' })
        ports.push({
          kind: 'reduce',
          inner: layers.bodies.map((_, index) => (index === body ? node.id : null)),
          result,
        })
        squares.push(result)
        return node
      })
    this.declare({ ...scalar, id: 'optimizer/norm', role: 'activation' })
    this.declare({ ...scalar, id: 'optimizer/clip', role: 'activation' })
    this.declare({ ...scalar, id: 'optimizer/report', role: 'activation' })
    const base = { type: 'node', kind: 'compute', segment: 'optimizer', module: '' } as const
    const sum: OperatorNode = {
      ...base,
      id: 'optimizer/norm',
      op: 'sum_squares',
      rule: `${squares.map(() => '.').join(', ')} -> .`,
      inputs: squares,
      outputs: ['optimizer/norm'],
    }
    const clip: OperatorNode = {
      ...base,
      id: 'optimizer/clip',
      op: 'clip_factor',
      rule: '. -> .',
      inputs: ['optimizer/norm'],
      outputs: ['optimizer/clip'],
    }
    const report: OperatorNode = {
      ...base,
      kind: 'control',
      id: 'optimizer/report',
      op: 'report',
      rule: '. -> .',
      inputs: ['loss'],
      outputs: ['optimizer/report'],
    }
    const updates = layers && this.region('optimizer/updates', layers, inLayers, (id) => this.adam(id))
    return [
      report,
      ...nodes,
      ...(norms ? [{ ...norms, ports }] : []),
      sum,
      clip,
      ...outside.map((id) => this.adam(id)),
      ...(updates ? [updates] : []),
    ]
  }

  /** The forward loop over layers, whose bodies and choice the optimizer's loops share. */
  private layerRegion(): Region | undefined {
    let found: Region | undefined
    walk(this.program.items, (_, place) => {
      found ??= place.path.find(({ region }) => region.axis === 'layer')?.region
    })
    return found
  }

  private region(
    id: string,
    layers: Region,
    gradients: readonly string[],
    build: (gradient: string, body: number) => OperatorNode,
  ): Region {
    const bodies = layers.bodies.map((body, index) => {
      const prefix = `gradient/${body.name}/`
      const own = gradients.filter((gradient) => gradient.startsWith(prefix))
      return { name: body.name, items: own.map((gradient) => build(gradient, index)) }
    })
    return {
      type: 'region',
      id,
      axis: 'layer',
      extent: layers.extent,
      order: 'parallel',
      bodies,
      select: layers.select,
      ports: [],
    }
  }

  private place(gradient: string) {
    const { per, body } = lookup(this.program.tensors, gradient)
    return { per, ...(body !== undefined && { body }) }
  }

  private squareSum(gradient: string, squares: string[]): OperatorNode {
    const parameter = gradient.slice('gradient/'.length)
    const id = `optimizer/${parameter}.squares`
    const { dims, per, body } = lookup(this.program.tensors, gradient)
    this.declare({ ...scalar, id, role: 'activation', per, ...(body !== undefined && { body }) })
    squares.push(id)
    return {
      type: 'node',
      id,
      kind: 'compute',
      op: 'square_sum',
      rule: `${operandText(dims)} -> .`,
      inputs: [gradient],
      outputs: [id],
      segment: 'optimizer',
      module: this.modules.get(parameter) ?? '',
      updates: parameter,
    }
  }

  private adam(gradient: string): OperatorNode {
    const parameter = gradient.slice('gradient/'.length)
    const tensor = lookup(this.program.tensors, parameter)
    const dims = operandText(tensor.dims)
    const place = this.place(gradient)
    // A parameter as precise as a master copy is its own.
    const precise = dataTypes[tensor.dtype] >= dataTypes.fp32
    const states = [...(precise ? [] : ['master']), 'moment1', 'moment2'].map((state) => {
      const id = `optimizer/${parameter}.${state}`
      this.declare({ ...tensor, ...place, id, dtype: 'fp32', role: 'optimizer' })
      return id
    })
    const after = ['next', ...states.map((id) => id.slice(id.lastIndexOf('.') + 1))].map((name, index) => {
      const id = index === 0 ? `optimizer/${parameter}` : `optimizer/${parameter}.${name}.next`
      const nextOf = index === 0 ? parameter : (states[index - 1] ?? '')
      this.declare({
        ...tensor,
        ...place,
        id,
        role: 'activation',
        nextOf,
        ...(index > 0 && { dtype: 'fp32' as const }),
      })
      return id
    })
    return {
      type: 'node',
      id: `optimizer/${parameter}`,
      kind: 'compute',
      op: 'adam',
      rule: `${dims}, ${dims}, ${dims}, ${dims}, . -> ${after.map(() => dims).join(', ')}`,
      inputs: [gradient, ...(precise ? [parameter] : []), ...states, 'optimizer/clip'],
      outputs: after,
      segment: 'optimizer',
      module: this.modules.get(parameter) ?? '',
      updates: parameter,
    }
  }
}
