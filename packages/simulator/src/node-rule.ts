import {
  definitionOf,
  flopsPerPoint,
  type OperatorDefinition,
  type OperatorNode,
  type OperatorTable,
  type Pairs,
  parseRule,
} from '@shardloom/core'

/** What of a node no size changes: FLOPs are of each point of `dims`. */
export interface NodeRule {
  readonly definition: OperatorDefinition
  readonly rule: ReturnType<typeof parseRule>
  readonly pairs: Pairs | undefined
  readonly flops: number
  readonly dims: readonly string[]
  /** Where the size of each dim stands: the first tensor that has it, and at which place. */
  readonly sizes: ReadonlyMap<string, readonly [tensor: string, position: number]>
}

/** By operators and node: programs that differ in sizes share both. */
const rulesOf = new WeakMap<OperatorTable, WeakMap<OperatorNode, NodeRule>>()

/** The rule of a node, found once. Throws what {@link definitionOf} and {@link parseRule} throw. */
export function ruleOf(node: OperatorNode, operators: OperatorTable): NodeRule {
  const known = rulesOf.get(operators) ?? new WeakMap<OperatorNode, NodeRule>()
  rulesOf.set(operators, known)
  const found = known.get(node)
  if (found) return found
  const definition = definitionOf(node, operators)
  const pairs = definition.pairs?.(node)
  const { flops, dims } = flopsPerPoint(node, definition)
  const own = dims.filter((dim) => !pairs?.dims.includes(dim))
  const rule = parseRule(node.rule)
  const made = { definition, rule, pairs, flops, dims: own, sizes: sizesIn(node, rule) }
  known.set(node, made)
  return made
}

function sizesIn({ inputs, outputs }: OperatorNode, { operands, results }: NodeRule['rule']): NodeRule['sizes'] {
  const sizes = new Map<string, readonly [string, number]>()
  const add = (id: string, dims: readonly string[] = []) =>
    dims.forEach((dim, position) => sizes.has(dim) || sizes.set(dim, [id, position]))
  inputs.forEach((id, index) => add(id, operands[index]))
  outputs.forEach((id, index) => add(id, results[index]))
  return sizes
}
