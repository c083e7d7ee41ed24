import type { OperatorNode } from './program.js'
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

/**
 * The values that an operand from outside may have: positive numbers, or whole numbers below the size of the first of
 * these dims that the rule has. Default: any.
 */
export type Domain = 'positive' | { readonly below: readonly string[] }
