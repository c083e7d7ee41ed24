import { axesOf, type DataType, lookup, type Program, type Tensor } from '@shardloom/core'
import type { Iterations } from '@shardloom/testing'
import { elementType, type NodeRecord, type ValueType } from './onnx-schema.js'
import { type LocalShapes, runsOf, shardsOf } from './onnx-shapes.js'

/** One value of a tensor: in the iterations of those of its axes that do not stand around. */
export interface Value {
  readonly tensor: Tensor
  readonly iterations: Iterations
}

/**
 * The main graph, or the body of a function, while it is written. A value is called by its tensor, and in brackets by those
 * iterations that the scope does not stand in: `layer/attention/q/weight[3]`.
 */
export class Scope {
  readonly nodes: NodeRecord[] = []
  /** What is read and not made here, in order. */
  readonly inputs = new Map<string, Value>()
  /** The types of values that are made here, by name. */
  readonly types = new Map<string, ValueType>()
  /** The iteration axes, of those around, that something inside names. */
  readonly uses = new Set<string>()
  private readonly values = new Map<string, string>()
  private readonly pending = new Map<string, (iterations: Iterations) => string>()

  constructor(
    private readonly program: Program,
    readonly shapes: LocalShapes,
    /** The iteration axes around, outermost first. */
    readonly axes: readonly string[],
  ) {}

  /** The iteration axes of a tensor that do not stand around. */
  free({ per }: Tensor): readonly string[] {
    return per.filter((axis) => !this.axes.includes(axis))
  }

  nameOf({ tensor, iterations }: Value): string {
    const free = this.free(tensor).map((axis) => iterations.get(axis) ?? 0)
    return free.length > 0 ? `${tensor.id}[${free}]` : tensor.id
  }

  /** The name of a value that is read: of what is made elsewhere, an input. */
  read(value: Value): string {
    const key = this.nameOf(value)
    const known = this.values.get(key)
    if (known !== undefined) return known
    const name = this.pending.get(value.tensor.id)?.(value.iterations) ?? key
    if (name === key && !this.types.has(key)) this.inputs.set(key, value)
    this.values.set(key, name)
    return name
  }

  /** Declares a value that a node of this scope makes. */
  make(value: Value): string {
    const name = this.nameOf(value)
    this.values.set(name, name)
    this.types.set(name, this.shapes.type(value.tensor, value.iterations))
    return name
  }

  /** Says how a tensor comes about, when it is first read. */
  define(tensor: string, make: (iterations: Iterations) => string): void {
    this.pending.set(tensor, make)
  }

  add(record: NodeRecord, uses: readonly string[] = []): void {
    this.nodes.push(record)
    for (const axis of uses) this.uses.add(axis)
  }

  /** A value as a reader wants it that takes a part of what the rank holds: in the shards `wanted`. */
  fit(name: string, { tensor, iterations }: Value, wanted: readonly (readonly string[])[]): string {
    const held = shardsOf(tensor)
    const extents = this.shapes.extents(tensor, iterations)
    let [current, shards] = [name, held]
    for (const [position, atoms] of wanted.entries()) {
      const own = held[position] ?? []
      if (tensor.rotation?.position === position || atoms.length <= own.length) continue
      shards = shards.with(position, atoms)
      const positions = (of: readonly string[]) =>
        this.shapes.positions(tensor.dims[position], extents[position] ?? 1, of)
      const places = new Map([...positions(own)].map((each, place) => [each, place]))
      const local = [...positions(atoms)].map((each) => places.get(each) ?? 0)
      const split = `${tensor.dims[position]}/${axesOf(this.program.mesh, atoms).join('.')}`
      const part = `${current}/slice(${split})`
      if (!this.types.has(part)) {
        this.types.set(part, this.shapes.type(tensor, iterations, shards))
        this.slice(part, current, position, local)
      }
      current = part
    }
    return current
  }

  /** A value that has grown to the size of another tensor: zeros behind its last positions. */
  grow(name: string, { tensor, iterations }: Value, to: Value): string {
    const position = to.tensor.growth?.position
    if (position === undefined || (shardsOf(to.tensor)[position]?.length ?? 0) > 0) return name
    const by =
      (this.shapes.extents(to.tensor, to.iterations)[position] ?? 0) -
      (this.shapes.extents(tensor, iterations)[position] ?? 0)
    if (by <= 0) return name
    const grown = `${name}/grown`
    if (this.types.has(grown)) return grown
    this.types.set(grown, this.shapes.type(to.tensor, to.iterations))
    const pads = tensor.dims.map(() => 0)
    const pad = this.whole(`${name}/room`, [...pads, ...pads.with(position, by)])
    this.add({ op: 'Pad', name: grown, inputs: [name, pad], outputs: [grown], description: 'room for new positions' })
    return grown
  }

  /** A value in another element type. */
  cast(name: string, { tensor, iterations }: Value, dtype: DataType): string {
    if (dtype === tensor.dtype) return name
    const other = `${name}/${dtype}`
    if (this.types.has(other)) return other
    this.types.set(other, { ...this.shapes.type(tensor, iterations), dtype })
    this.add({ op: 'Cast', name: other, inputs: [name], outputs: [other], attributes: { to: elementType(dtype) } })
    return other
  }

  /** The sum of values of one shape. */
  sum(name: string, tensor: Tensor, iterations: Iterations, terms: readonly string[]): string {
    this.types.set(name, this.shapes.type(tensor, iterations))
    if (terms.length > 0) this.add({ op: 'Sum', name, inputs: terms, outputs: [name] })
    else {
      // Another rank of the pipeline has all terms.
      const shape = this.whole(`${name}/shape`, this.shapes.sizes(tensor, iterations))
      this.types.set(`${name}/zero`, { dtype: tensor.dtype, shape: [] })
      const zero = { values: [0], shape: [], dtype: tensor.dtype }
      this.add({ op: 'Constant', name: `${name}/zero`, inputs: [], outputs: [`${name}/zero`], tensor: zero })
      this.add({ op: 'Expand', name, inputs: [`${name}/zero`, shape], outputs: [name] })
    }
    return name
  }

  private slice(name: string, from: string, axis: number, places: readonly number[]): void {
    const runs = runsOf(places)
    const [[start, end] = [0, 0]] = runs
    const shown = { name, outputs: [name], description: 'the part that this rank computes with' }
    if (runs.length > 1)
      return this.add({
        ...shown,
        op: 'Gather',
        inputs: [from, this.whole(`${name}/places`, places)],
        attributes: { axis },
      })
    const bounds = { start: [start], end: [end], axis: [axis] }
    const inputs = Object.entries(bounds).map(([word, values]) => this.whole(`${name}/${word}`, values))
    this.add({ ...shown, op: 'Slice', inputs: [from, ...inputs] })
  }

  private whole(name: string, values: readonly number[]): string {
    this.types.set(name, { dtype: 'int64', shape: [values.length] })
    const tensor = { values, shape: [values.length], dtype: 'int64' as const }
    this.add({ op: 'Constant', name, inputs: [], outputs: [name], tensor })
    return name
  }
}

/** A value by the id of its tensor. */
export const valueAt = (program: Program, id: string, iterations: Iterations): Value => ({
  tensor: lookup(program.tensors, id),
  iterations,
})
