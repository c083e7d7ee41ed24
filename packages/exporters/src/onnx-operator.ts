import {
  axesOf,
  type DataType,
  dataTypes,
  definitionOf,
  describePlacement,
  dimSizes,
  type Json,
  lookup,
  type OnnxContext,
  type OperatorNode,
  type OperatorTable,
  type Program,
  parseRule,
  type Rule,
  ShardloomError,
} from '@shardloom/core'
import { communicationBytes, type Meter } from '@shardloom/simulator'
import { elementType, type FunctionRecord, type NodeRecord, ownDomain } from './onnx-schema.js'
import { type LocalShapes, runsOf } from './onnx-shapes.js'

/** What operators of one rank's part of a program are written with. */
export interface OperatorScope {
  readonly program: Program
  readonly operators: OperatorTable
  readonly shapes: LocalShapes
  readonly meter: Meter
  /** How many ranks take part in a communication node. */
  readonly members: (node: OperatorNode) => number
}

/** Writes each operator, the first time as a function of the model where the standard needs several nodes for it. */
export class OperatorWriter {
  /** Functions in order of their first use. */
  readonly functions: FunctionRecord[] = []
  private readonly names = new Map<string, string>()
  private readonly taken = new Map<string, number>()

  constructor(private readonly scope: OperatorScope) {}

  /** A node for an operator, and the iteration axes that it names; `inputs` are the values of its operands. */
  write(
    node: OperatorNode,
    inputs: readonly string[],
    outputs: readonly string[],
    axes: readonly string[],
  ): { readonly record: NodeRecord; readonly uses: readonly string[] } {
    const { program, operators } = this.scope
    for (const id of [...node.inputs, ...node.outputs]) checkType(lookup(program.tensors, id).dtype, node)
    const shown = { name: node.id, description: describe(node, program), outputs }
    const own = { domain: ownDomain, ...shown }
    if (node.communication)
      return { record: { ...own, op: pascal(node.op), inputs, attributes: this.communication(node) }, uses: [] }
    const { onnx } = definitionOf(node, operators)
    let body = new FunctionBody(node, this.scope, axes)
    let results = onnx?.(body.given, body)
    if (body.needsSingle) {
      body = new FunctionBody(node, this.scope, axes, 'fp32')
      results = onnx?.(body.given, body)
    }
    if (!results) {
      // A node without a result is not valid: what waits hands on a token that nobody reads.
      const visible = outputs.length > 0 ? own : { ...own, outputs: [`${node.id}/done`] }
      return { record: { ...visible, op: pascal(node.op), inputs, attributes: ownAttributes(node, program) }, uses: [] }
    }
    const { nodes, uses } = body.finish(results)
    const [only] = nodes
    if (node.kind === 'compute' && nodes.length === 1 && only && outputs.length === 1) {
      const actual = new Map(body.operands.map((name, index) => [name, inputs[index] ?? '']))
      return { record: { ...only, ...shown, inputs: only.inputs.map((name) => actual.get(name) ?? name) }, uses }
    }
    const names = outputs.map((_, index) => resultName(index))
    const op = this.define(pascal(node.op), { inputs: body.operands, outputs: names, attributes: uses, nodes })
    const attributes = Object.fromEntries(uses.map((axis) => [axis, { reference: axis }]))
    return { record: { ...own, op, inputs, attributes }, uses }
  }

  /** The name of a function with this content, which is added when there is none yet. */
  define(base: string, content: Omit<FunctionRecord, 'name'>): string {
    const key = JSON.stringify([base, content], textOfNumbers)
    const known = this.names.get(key)
    if (known !== undefined) return known
    const count = (this.taken.get(base) ?? 0) + 1
    this.taken.set(base, count)
    const name = count === 1 ? base : `${base}_${count}`
    this.names.set(key, name)
    this.functions.push({ name, ...content })
    return name
  }

  private communication(node: OperatorNode): NonNullable<NodeRecord['attributes']> {
    const { program, meter, members } = this.scope
    const { communication, outputs } = node
    if (!communication) return {}
    const tensor = lookup(program.tensors, outputs[0] ?? '')
    const size = members(node)
    const { payload, sent } = communicationBytes(node, program, meter, size)
    const { atoms, reduction, from, to, shift, reason } = communication
    return {
      axes: axesOf(program.mesh, atoms, reason.strategies),
      group_size: size,
      op: reduction,
      bytes: BigInt(Math.round(payload)),
      bytes_sent: BigInt(Math.round(sent)),
      from: describePlacement(tensor, from),
      to: describePlacement(tensor, to),
      shift,
    }
  }
}

/** Numbers that JSON has not. */
const textOfNumbers = (_: string, value: unknown) =>
  typeof value === 'bigint' || (typeof value === 'number' && !Number.isFinite(value)) ? String(value) : value

/** A text as the name of an operator: `all-reduce` is `AllReduce`. */
export function pascal(text: string): string {
  const name = text
    .split(/[^A-Za-z0-9]+/)
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('')
  return /^[A-Za-z]/.test(name) ? name : `Operator${name}`
}

/** Throws `ONNX_TYPE` for an element type that came with a later version. */
export function checkType(dtype: DataType, { id }: { readonly id: string }): void {
  if (elementType(dtype) !== undefined) return
  throw new ShardloomError(
    'ONNX_TYPE',
    `\`${id}\` has elements of ${dtype}, which ONNX has from version 1.14 on only.`,
    {
      subject: id,
      help: 'Plan with `--dtype` and `--cache-dtype` of bf16, fp16 or fp32.',
    },
  )
}

/** What a reader of the graph sees of a node: its rule and splits, or why it communicates. */
function describe({ rule, partition, communication }: OperatorNode, program: Program): string {
  if (communication) {
    const { reason, atoms } = communication
    const by = reason.strategies.length > 0 ? `, by ${reason.strategies.join(', ')}` : ''
    return `over ${axesOf(program.mesh, atoms, reason.strategies).join(', ')}: \`${reason.tensor}\` for \`${reason.consumer}\`${by}`
  }
  const splits = Object.entries(partition?.splits ?? {}).map(([dim, atoms]) => `${dim}/${atoms.join('.')}`)
  return splits.length > 0 ? `${rule} ; split ${splits.join(' ')}` : rule
}

function ownAttributes(node: OperatorNode, program: Program): NonNullable<NodeRecord['attributes']> {
  const barrier = node.barrier && axesOf(program.mesh, node.barrier)
  const entries = Object.entries<Json | undefined>({ ...node.attributes, rule: node.rule, axes: barrier })
  return Object.fromEntries(entries.map(([name, value]) => [name.replace(/\W/g, '_'), value]))
}

const operandName = (index: number) => `in${index}`
const resultName = (index: number) => `out${index}`
const isFloat = (dtype: DataType) => !dtype.startsWith('int')

/** Of the operators that meanings are made of, those that set 17 does not have for bf16. */
const withoutBfloat16: readonly string[] = ['Einsum', 'TopK']

/** The body of an operator while it is written. */
class FunctionBody implements OnnxContext {
  readonly rule: Rule
  readonly operands: readonly string[]
  private readonly nodes: NodeRecord[] = []
  private readonly used = new Set<string>()
  private readonly constants = new Map<string, string>()
  private readonly sizes: ReadonlyMap<string, number>
  private readonly computes: DataType

  constructor(
    readonly node: OperatorNode,
    private readonly scope: OperatorScope,
    private readonly axes: readonly string[],
    computes?: DataType,
  ) {
    this.rule = parseRule(node.rule)
    const types = node.inputs.map((id) => lookup(scope.program.tensors, id).dtype)
    this.sizes = dimSizes(node, (id) => lookup(scope.program.tensors, id))
    this.computes = computes ?? types.filter(isFloat).sort((a, b) => dataTypes[b] - dataTypes[a])[0] ?? 'fp32'
    this.operands = types.map((_, index) => operandName(index))
    this.given = types.map((dtype, index) =>
      isFloat(dtype) && dtype !== this.computes ? this.cast(operandName(index), this.computes) : operandName(index),
    )
  }

  /** The operands in the type that the node computes in. */
  readonly given: readonly string[]

  /** Whether it computes in a type that the standard has not for one of its nodes. */
  get needsSingle(): boolean {
    return this.computes === 'bf16' && this.nodes.some(({ op }) => withoutBfloat16.includes(op))
  }

  size = (dim: string): number => {
    const atoms = this.atoms(dim)
    const extent = this.sizes.get(dim) ?? 1
    return atoms.length === 0 ? extent : this.scope.shapes.positions(dim, extent, atoms).length
  }

  whole = (dim: string): boolean => this.atoms(dim).length === 0

  positions = (dim: string): string => {
    const operand = this.rule.operands.findIndex((dims) => dims.includes(dim))
    const at = this.rule.operands[operand]?.indexOf(dim) ?? 0
    const range = (from: string, to: string) => this.add('Range', [from, to, this.constant(1, 'int64')])
    // Of a dim that stands in results only no operand says how many there are.
    if (this.whole(dim) && operand >= 0) {
      const length = this.add('Shape', [operandName(operand)], { start: at, end: at + 1 })
      return range(this.constant(0, 'int64'), this.add('Squeeze', [length]))
    }
    const runs = runsOf(this.scope.shapes.positions(dim, this.sizes.get(dim) ?? 1, this.atoms(dim)))
    if (runs.length > 16)
      return this.constant(
        runs.flatMap(([from, to]) => Array.from({ length: to - from }, (_, index) => from + index)),
        'int64',
      )
    const parts = runs.map(([from, to]) => range(this.constant(from, 'int64'), this.constant(to, 'int64')))
    return parts.length === 1 ? (parts[0] ?? '') : this.add('Concat', parts, { axis: 0 })
  }

  iteration = (axis: string): string => {
    if (!this.axes.includes(axis)) return this.constant(0, 'int64')
    this.used.add(axis)
    const known = this.constants.get(axis)
    if (known !== undefined) return known
    const name = this.push('Constant', [], { value_int: { reference: axis } })
    this.constants.set(axis, name)
    return name
  }

  constant = (values: number | readonly number[], type: DataType | 'float'): string => {
    const dtype = type === 'float' ? this.computes : type
    const key = `${dtype} ${JSON.stringify(values)} ${values}`
    const known = this.constants.get(key)
    if (known !== undefined) return known
    const list = typeof values === 'number' ? [values] : values
    const shape = typeof values === 'number' ? [] : [values.length]
    const name = `constant_${this.nodes.length}`
    this.nodes.push({ op: 'Constant', name, inputs: [], outputs: [name], tensor: { values: list, shape, dtype } })
    this.constants.set(key, name)
    return name
  }

  add = (op: string, from: readonly string[], attributes: OperatorNode['attributes'] = {}, at = 0): string =>
    this.push(op, from, attributes, at)

  /** The nodes, with the results under their own names and in their own types. */
  finish(results: readonly string[]): { readonly nodes: readonly NodeRecord[]; readonly uses: readonly string[] } {
    const { tensors } = this.scope.program
    const typed = results.map((name, index) => {
      const { dtype } = lookup(tensors, this.node.outputs[index] ?? '')
      return isFloat(dtype) && dtype === this.computes ? name : this.cast(name, dtype)
    })
    const renamed = new Map<string, string>()
    for (const [index, name] of typed.entries()) {
      const isOwn = !renamed.has(name) && !this.operands.includes(name)
      renamed.set(isOwn ? name : this.add('Identity', [name]), resultName(index))
    }
    const rename = (name: string) => renamed.get(name) ?? name
    const nodes = this.nodes.map((each) => ({
      ...each,
      inputs: each.inputs.map(rename),
      outputs: each.outputs.map(rename),
    }))
    return { nodes, uses: [...this.used] }
  }

  private atoms(dim: string): readonly string[] {
    return this.node.partition?.splits[dim] ?? []
  }

  private cast(name: string, dtype: DataType): string {
    return this.push('Cast', [name], { to: elementType(dtype) })
  }

  private push(op: string, inputs: readonly string[], attributes: NodeRecord['attributes'], at = 0): string {
    const base = `${op.toLowerCase()}_${this.nodes.length}`
    const outputs = Array.from({ length: at + 1 }, (_, index) => (at === 0 ? base : `${base}_${index}`))
    this.nodes.push({ op, name: base, inputs, outputs, ...(attributes && { attributes }) })
    return outputs[at] ?? base
  }
}
