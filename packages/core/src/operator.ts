import { ShardloomError } from './error.js'
import type { Domain, Kernel, OnnxContext } from './kernel.js'
import type { Reduction } from './placement.js'
import type { Json, NodeKind, OperatorNode, Program, Tensor } from './program.js'
import { parseRule, type Rule } from './rule.js'

/** The classes that FLOPs are reported in. */
export type FlopClass = 'linear' | 'attention' | 'head' | 'other'

/** One term of a derivative: a new operator, or the incoming gradient handed on unchanged. */
export type DerivativeTerm =
  | { readonly alias: number; readonly of: string }
  | {
      readonly op: string
      /** Last segment of the new node's id, unique among the terms of one derivative. */
      readonly name: string
      readonly rule: string
      /** Tensor ids; `{ gradient: i }` stands for the gradient of result `i`. */
      readonly inputs: readonly (string | { readonly gradient: number })[]
      /** The tensors whose gradients the results are. */
      readonly of: readonly string[]
      readonly attributes?: Readonly<Record<string, Json>>
      readonly density?: readonly [number, number]
      /** The forward node that the new one follows, when it is not the one differentiated. */
      readonly differentiates?: string
    }

/** What a derivative may ask about the graph that it differentiates. */
export interface DerivativeContext {
  readonly tensor: (id: string) => Tensor
  /** The forward node that produces a tensor. Throws when there is none. */
  readonly producer: (tensor: string) => OperatorNode
}

/** What a byte count may ask: local bytes of the node's operands and results on one rank. */
export interface ByteContext {
  readonly operand: (index: number) => bigint
  readonly result: (index: number) => bigint
  /** The local size of one of the operator's dims. */
  readonly size: (dim: string) => number
  /** The size of one of the operator's dims over all ranks. */
  readonly extent: (dim: string) => number
  /** Where a dim is not filled evenly: how many times its even share each position on this rank gets. */
  readonly loads: (dim: string) => readonly number[] | undefined
}

/** Positions from the first up to, but without, the second. */
export type Run = readonly [start: number, end: number]

/** The pairs of positions of two dims that count, such as queries with earlier keys. */
export interface Pairs {
  readonly dims: readonly [query: string, key: string]
  /** Twice the pairs that count between some queries and some keys, in one iteration of the axis along which keys grow. */
  readonly count: (queries: readonly Run[], keys: readonly Run[], iteration: number) => bigint
}

/**
 * One kind of operator: everything that models, strategies, verifier, proof and exporters need to know about it.
 */
export interface OperatorDefinition {
  readonly name: string
  /** Default `compute`. */
  readonly kind?: NodeKind
  /**
   * How a dim that stands in operands only is reduced, so that it may be split. One answer for all such dims, or one per
   * dim; a dim without one cannot be split.
   */
  readonly reduce?: Reduction | Readonly<Record<string, Reduction>>
  /** The sets of operands that may be partial sums together, so that the result is one too. `all` is every operand. */
  readonly linear?: readonly (readonly number[])[] | 'each' | 'all'
  /** Its operands are contributions to one sum: it lets partial sums through wherever all of them are. */
  readonly joins?: true
  /** Dims whose global positions the kernel reads (masks, rotary). */
  readonly index?: readonly string[]
  /** FLOPs per point of the iteration space; a multiply-add is 2. Default 0. */
  readonly flops?: number | ((node: OperatorNode, rule: Rule) => number)
  /** Exponentials per point, counted among its FLOPs as one each. Default 0. */
  readonly exponentials?: number
  /** Dims of lists that say which points of the other dims there are (a token's experts): points are counted without them. */
  readonly lists?: readonly string[]
  /** Which pairs of positions count, where not all do (attention that sees no later positions). */
  readonly pairs?: (node: OperatorNode) => Pairs | undefined
  /** Default `other`; a node's attribute `class` overrides it. */
  readonly class?: FlopClass
  /** Bytes moved, where they are not each operand read once and each result written once. */
  readonly bytes?: (node: OperatorNode, context: ByteContext) => { readonly read: bigint; readonly written: bigint }
  /** The terms of the gradient; absent: not differentiable. */
  readonly derivative?: (node: OperatorNode, context: DerivativeContext) => readonly DerivativeTerm[]
  /** What a node of it decides or waits for, and why, in a sentence or two. */
  readonly describes?: (node: OperatorNode, program: Program) => string
  /** What it computes, so that programs with it can be proven; absent: they cannot. */
  readonly execute?: Kernel
  /**
   * The same in nodes of standard ONNX, from the names of its operands to those of its results; floating results may have
   * the type that it computes in. Undefined, or absent: exports hold the operator as a node of its own.
   */
  readonly onnx?: (operands: readonly string[], context: OnnxContext) => readonly string[] | undefined
  /** The values that operands may have which come from outside, by index. */
  readonly domains?: Readonly<Record<number, Domain>>
}

/** The operators of a run, by name. */
export type OperatorTable = ReadonlyMap<string, OperatorDefinition>

/** Makes an operator table. Throws `OPERATOR_TWICE` when two definitions claim one name. */
export function operatorTable(definitions: Iterable<OperatorDefinition>): OperatorTable {
  const table = new Map<string, OperatorDefinition>()
  for (const definition of definitions) {
    const known = table.get(definition.name)
    if (known && known !== definition) {
      throw new ShardloomError('OPERATOR_TWICE', `The operator \`${definition.name}\` is defined twice.`, {
        subject: definition.name,
        help: 'Rename one of them, with the plugin as a prefix.',
      })
    }
    table.set(definition.name, definition)
  }
  return table
}

/** The operator kinds that `communicate` makes: they need no definition and compute no FLOPs. */
const communicationKinds = 'all-reduce all-gather reduce-scatter all-to-all broadcast send recv'.split(' ')

/** The definition of a node's operator. Throws `UNKNOWN_OPERATOR`. */
export function definitionOf(node: OperatorNode, operators: OperatorTable): OperatorDefinition {
  const found = operators.get(node.op)
  if (found) return found
  if (node.kind === 'communication' && communicationKinds.includes(node.op))
    return { name: node.op, kind: 'communication' }
  const message = `\`${node.id}\` uses the operator \`${node.op}\`, which nobody defines.`
  throw new ShardloomError('UNKNOWN_OPERATOR', message, { subject: node.id, help: 'Add the plugin that defines it.' })
}

/** How the operator reduces a dim that stands in operands only; undefined when it cannot be split there. */
export function reductionOf(definition: OperatorDefinition, dim: string): Reduction | undefined {
  return typeof definition.reduce === 'string' ? definition.reduce : definition.reduce?.[dim]
}

/** The sets of operands that may be partial together. */
export function linearSets(definition: OperatorDefinition, operands: number): readonly (readonly number[])[] {
  const every = Array.from({ length: operands }, (_, index) => index)
  if (definition.linear === 'all') return [every]
  if (definition.linear === 'each') return every.map((index) => [index])
  return definition.linear ?? []
}

/** FLOPs of one point of a node's iteration space, and the dims whose points there are. */
export function flopsPerPoint(node: OperatorNode, { flops = 0, lists = [] }: OperatorDefinition) {
  const rule = parseRule(node.rule)
  const dims = rule.space.filter((dim) => !lists.includes(dim))
  return { flops: typeof flops === 'function' ? flops(node, rule) : flops, dims }
}

/** FLOPs of one execution on one device, over the second number; `sizes` are those of its dims in that iteration. */
export function flopsOfOne(
  node: OperatorNode,
  definition: OperatorDefinition,
  sizes: ReadonlyMap<string, number>,
  iteration = 0,
): readonly [flops: bigint, of: bigint] {
  const { flops, dims } = flopsPerPoint(node, definition)
  const pairs = definition.pairs?.(node)
  const [share, whole] = node.density ?? [1, 1]
  const all = (dim: string): readonly Run[] => [[0, sizes.get(dim) ?? 1]]
  const paired = pairs?.count(all(pairs.dims[0]), all(pairs.dims[1]), iteration) ?? 1n
  const rest = dims.filter((dim) => !pairs?.dims.includes(dim))
  const points = rest.reduce((product, dim) => product * BigInt(sizes.get(dim) ?? 1), paired * BigInt(share))
  return [points * BigInt(flops), BigInt(pairs ? 2 * whole : whole)]
}

/** Whether `dim` may be split in this operator at all: present, not whole, and reducible wherever a result lacks it. */
export function splittable(rule: Rule, definition: OperatorDefinition, dim: string): boolean {
  if (!rule.space.includes(dim) || rule.whole.has(dim)) return false
  return rule.results.every((dims) => dims.includes(dim)) || reductionOf(definition, dim) !== undefined
}

/** Logical size of every dim of a node's iteration space, bound by position. Throws `SHAPE` on disagreement. */
export function dimSizes(node: OperatorNode, tensor: (id: string) => Tensor): Map<string, number> {
  const rule = parseRule(node.rule)
  const sizes = new Map<string, number>()
  const bind = (id: string, dims: readonly string[] | undefined) => {
    const { shape } = tensor(id)
    if (!dims || dims.length !== shape.length) {
      const message = `\`${node.id}\` reads \`${id}\` with ${shape.length} dims, but \`${node.rule}\` has ${dims?.length ?? 0}.`
      throw new ShardloomError('SHAPE', message, { subject: node.id })
    }
    dims.forEach((dim, position) => {
      const size = shape[position] ?? 0
      const known = sizes.get(dim)
      if (known !== undefined && known !== size) {
        const message = `In \`${node.id}\` the dim \`${dim}\` is ${known} and, in \`${id}\`, ${size}.`
        throw new ShardloomError('SHAPE', message, { subject: node.id })
      }
      sizes.set(dim, size)
    })
  }
  node.inputs.forEach((id, index) => bind(id, rule.operands[index]))
  node.outputs.forEach((id, index) => bind(id, rule.results[index]))
  return sizes
}
