import type { DataType, OperatorNode } from './program.js'
import type { Rule } from './rule.js'

/** What a kernel may know about the execution that it computes: its node, and this rank's share of each dim. */
export interface KernelContext {
  readonly node: OperatorNode
  readonly rule: Rule
  /** How many positions of a dim this rank has. */
  readonly size: (dim: string) => number
  /** The positions of a dim that this rank has, in their order; only for dims that the operator's `index` names. */
  readonly positions: (dim: string) => Int32Array
  /** How many positions a dim has over all ranks. */
  readonly extent: (dim: string) => number
  /** The iteration of the innermost region over that axis around the node; 0 where there is none. */
  readonly iteration: (axis: string) => number
}

/** A result that is one term of a log-sum-exp merge: a weight per row, that is for all positions but the last. */
export interface WeightedRows {
  readonly values: Float64Array
  readonly logSumExp: Float64Array
}

/**
 * What an operator computes on one rank, for the proof: its operands' local elements, row-major in float64 by the order
 * of dims in the rule, to those of its results. A kernel never sees another rank's elements. Pure; it must not keep or
 * change its operands.
 */
export type Kernel = (
  operands: readonly Float64Array[],
  context: KernelContext,
) => readonly (Float64Array | WeightedRows)[]

/** What the meaning of an operator in ONNX is written with; values have names, and sizes are those of the rank whose graph it is. */
export interface OnnxContext extends Pick<KernelContext, 'node' | 'rule' | 'size'> {
  /** Whether this rank has all positions of a dim. */
  readonly whole: (dim: string) => boolean
  /** The positions of a dim of an operand that this rank has: a list of int64. */
  readonly positions: (dim: string) => string
  /** The iteration of the innermost region over that axis around the node: a scalar of int64. */
  readonly iteration: (axis: string) => string
  /** A constant; `float` is the type that the node computes in, the widest of its operands. */
  readonly constant: (values: number | readonly number[], type: DataType | 'float') => string
  /** Adds a node of the operator set ai.onnx 17 and gives one of its results, by default the first, the last that it has. Whole attributes are INT. */
  readonly add: (op: string, from: readonly string[], attributes?: OperatorNode['attributes'], at?: number) => string
}

/**
 * The values that an operand from outside may have: positive numbers, or whole numbers below the size of the first of
 * these dims that the rule has. Default: any.
 */
export type Domain = 'positive' | { readonly below: readonly string[] }
