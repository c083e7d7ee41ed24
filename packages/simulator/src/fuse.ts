import { definitionOf, lookup, type OperatorNode, type OperatorTable, type Program, parseRule } from '@shardloom/core'
import type { KernelStyle } from './engine.js'

/** The nodes of each kernel, in the order of their first. */
export function membersOf(
  list: readonly OperatorNode[],
  keys: ReadonlyMap<string, string>,
): Map<string, OperatorNode[]> {
  const groups = new Map<string, OperatorNode[]>()
  for (const each of list) {
    const key = keys.get(each.id) ?? each.id
    const known = groups.get(key)
    if (known) known.push(each)
    else groups.set(key, [each])
  }
  return groups
}

/** What is known of a body before element-wise operators are joined. */
export interface Body {
  readonly readers: ReadonlyMap<string, readonly OperatorNode[]>
  readonly makers: ReadonlyMap<string, OperatorNode>
  /** The kernel of each node that products or the graph have one for, and its kind. */
  readonly keys: ReadonlyMap<string, string>
  readonly kinds: ReadonlyMap<string, string>
  readonly program: Program
  readonly operators: OperatorTable
  readonly style: KernelStyle
  /** Whether input and weight gradients run apart. */
  readonly divided: boolean
  readonly isApart: (node: OperatorNode) => boolean
}

/** How an operator goes through its elements, if it is one that can be joined to others. */
type Walk = 'elements' | 'rows' | 'sums over tokens'

/**
 * Which operators run in the kernel of another, as hand-written kernels and epilogues have it (Chetlur et al. 2014; Korthikanti et
 * al. 2022, section 4; Megatron-LM, `megatron/core/fusions`): a bias is added as its product is written; what works element by
 * element goes on with what is at hand (dropout and residual); a sum of gradients is added to by the norm's backward; sums over tokens (gradients of
 * gains and biases) read along. Compilers also let a norm go on with what made its rows. Node → kernel.
 */
export function joinedBy(list: readonly OperatorNode[], body: Body): Map<string, string> {
  const { readers, makers, keys, kinds, program, operators, style, divided, isApart } = body
  // Where a schedule runs input and weight gradients apart, so do kernels.
  const isBeside = (a: OperatorNode, b: OperatorNode) =>
    a.segment === b.segment && a.recompute === b.recompute && (!divided || a.gradient === b.gradient)
  const joined = new Map<string, string>()
  const kernelOf = (id: string) => joined.get(id) ?? keys.get(id)
  const walks = new Map<string, Walk>()
  const readBy = new Map<string, OperatorNode[]>()
  for (const node of list) {
    const walk = keys.has(node.id) || isApart(node) ? undefined : walkOf(node, operators)
    if (walk) {
      walks.set(node.id, walk)
      // What a product wrote with its bias is read from memory.
      const made = node.inputs
        .flatMap((id) => makers.get(id) ?? [])
        .filter((maker) => isBeside(maker, node) && !kinds.has(kernelOf(maker.id) ?? ''))
      const joins = definitionOf(node, operators).joins === true
      const before = made.findLast((maker) => {
        const from = walks.get(maker.id)
        if (from === 'elements') return style === 'compiled' || (walk !== 'rows' && !isSum(maker, walk))
        return from === 'rows' && (walk === 'sums over tokens' || joins)
      })
      const beside =
        walk === 'sums over tokens'
          ? node.inputs
              .flatMap((id) => readBy.get(id) ?? [])
              .find((other) => isBeside(other, node) && reads(other, node))
          : undefined
      const partner = before ?? beside
      if (partner) {
        const key = kernelOf(partner.id) ?? `chain ${partner.id}`
        joined.set(partner.id, key).set(node.id, key)
      } else {
        const product = epilogueOf(node, walk)
        const key = product && keys.get(product.id)
        if (key) joined.set(node.id, key)
      }
    }
    for (const id of node.inputs) readBy.set(id, [...(readBy.get(id) ?? []), node])
  }
  return joined

  /** Gradients are summed where they are made; only what reads a sum along with it goes on with it. */
  function isSum(maker: OperatorNode, walk: Walk): boolean {
    return walk === 'elements' && definitionOf(maker, operators).joins === true
  }

  /** A kernel that reads all that a sum over tokens reads. */
  function reads(other: OperatorNode, node: OperatorNode): boolean {
    return (
      walks.has(other.id) &&
      walks.get(other.id) !== 'sums over tokens' &&
      node.inputs.every((id) => other.inputs.includes(id))
    )
  }

  /** The product whose result a bias is added to, or that reads what a bias gradient sums. */
  function epilogueOf(node: OperatorNode, walk: Walk): OperatorNode | undefined {
    const isProduct = (each: OperatorNode | undefined) => each && kinds.get(keys.get(each.id) ?? '') === 'columns'
    const [first = '', ...others] = node.inputs
    if (walk === 'sums over tokens')
      return others.length === 0
        ? (readers.get(first) ?? []).find((other) => isProduct(other) && isBeside(other, node))
        : undefined
    const maker = makers.get(first)
    const isBias = others.length > 0 && others.every((id) => lookup(program.tensors, id).role === 'parameter')
    return isBias && isProduct(maker) && readers.get(first)?.length === 1 ? maker : undefined
  }
}

function walkOf(node: OperatorNode, operators: OperatorTable): Walk | undefined {
  if (node.kind !== 'compute' || node.barrier || node.fusion !== undefined || node.segment === 'optimizer')
    return undefined
  const definition = definitionOf(node, operators)
  const { operands, results, whole } = parseRule(node.rule)
  const [result = []] = results
  if (definition.bytes && operands.length > 1) return undefined
  const inner = operands.flat().filter((dim) => !result.includes(dim))
  if (inner.length > 0) {
    const overTokens = inner.every((dim) => dim === 'batch' || dim === 'seq') && results.length === 1
    const [first = []] = operands
    return overTokens && operands.every((dims) => dims.length === first.length) && result.length > 0
      ? 'sums over tokens'
      : undefined
  }
  if (definition.bytes || !result.includes('batch')) return undefined
  if (results.some((dims) => dims.join() !== result.join())) return undefined
  return whole.size > 0 ? 'rows' : 'elements'
}
