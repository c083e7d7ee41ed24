import {
  definitionOf,
  findAxis,
  groupSize,
  type Item,
  lookup,
  nodesOf,
  type OperatorNode,
  type OperatorTable,
  outsideRoles,
  type Program,
  parseRule,
  regionsOf,
} from '@shardloom/core'

/** A collective of `tp` with the operators that can run part by part beside it. */
export interface Site {
  readonly collective: OperatorNode
  /** The position of its tensor that is divided. */
  readonly position: number
  /** The atoms that split the dim where it is split most, major first. */
  readonly finest: readonly string[]
  /** What makes the value that it reduces: matmuls, and the sums of their results; in the order of the program. */
  readonly before: readonly OperatorNode[]
  /** The matmuls that read what it gathers. */
  readonly behind: readonly OperatorNode[]
  /** Whether others read the whole of what it makes. */
  readonly others: boolean
}

/** A collective and the ways to divide it: per dim that may be divided how many elements one block of it has on a rank. */
export interface Candidate {
  readonly collective: OperatorNode
  readonly dims: readonly { readonly site: Site; readonly dim: string; readonly size: number }[]
}

/** Finds the collectives of activations over ranks of `tp` that a matmul makes work for, or waits for, in each body. */
export function overlapCandidates(program: Program, operators: OperatorTable): Candidate[] {
  const reads = countReads(program)
  const bodies = [
    program.items,
    ...regionsOf(program.items).flatMap((region) => region.bodies.map((body) => body.items)),
  ]
  return bodies.flatMap((items) => candidatesIn(items, program, operators, reads))
}

function candidatesIn(
  items: readonly Item[],
  program: Program,
  operators: OperatorTable,
  reads: ReadonlyMap<string, number>,
): Candidate[] {
  const { mesh } = program
  const nodes = items.flatMap((item) => (item.type === 'node' ? [item] : []))
  const makers = new Map(nodes.flatMap((node) => node.outputs.map((id) => [id, node] as const)))
  const tensor = (id: string) => lookup(program.tensors, id)
  const atoms = findAxis(mesh, 'tp')?.atoms ?? []

  /** Whether part of `node` gives part of its result, when its result is divided at `position`. */
  const divides = (node: OperatorNode, position: number, finest: readonly string[]): boolean => {
    const rule = parseRule(node.rule)
    const dim = rule.results[0]?.[position] ?? ''
    const split = node.partition?.splits[dim] ?? []
    const fed = node.inputs.filter((_, index) => rule.operands[index]?.includes(dim)).map(tensor)
    return (
      node.density === undefined &&
      node.fusion === undefined &&
      !rule.whole.has(dim) &&
      fed.length > 0 &&
      [...fed, ...node.outputs.map(tensor)].every(({ density, growth }) => !density && !growth) &&
      fed.every(({ role }) => !outsideRoles.includes(role)) &&
      split.every((atom, index) => finest[index] === atom)
    )
  }
  /** A gradient of a weight is none: it contracts the tokens, by which matmuls are divided, and waits for nothing new. */
  const isMatmul = (node: OperatorNode) => {
    if (node.outputs.some((id) => tensor(id).role === 'gradient')) return false
    const definition = definitionOf(node, operators)
    const rule = parseRule(node.rule)
    const contracts = rule.operands.flat().some((dim) => !rule.results[0]?.includes(dim))
    return definition.class === 'linear' && node.inputs.length === 2 && contracts && definition.linear === 'each'
  }
  /** What makes `id` and can be divided with it: a matmul, or a sum with those of its terms that can. */
  const makersOf = (id: string, position: number, finest: readonly string[]): OperatorNode[] => {
    const node = makers.get(id)
    if (!node || node.communication || reads.get(id) !== 1 || !divides(node, position, finest)) return []
    if (isMatmul(node)) return [node]
    if (definitionOf(node, operators).joins !== true) return []
    const terms = node.inputs.flatMap((term) => makersOf(term, position, finest))
    return terms.length ? [...terms, node] : []
  }
  const siteOf = (collective: OperatorNode, position: number): Site | undefined => {
    const { communication, op, inputs, outputs } = collective
    if (!communication) return undefined
    const { from, to } = communication
    const gathers = op === 'all-gather'
    const finest = (gathers ? from : to).shards[position] ?? []
    const before = gathers ? [] : makersOf(inputs[0] ?? '', position, finest)
    const behind = nodes.filter((node) => {
      if (!gathers || !isMatmul(node)) return false
      const rule = parseRule(node.rule)
      const index = node.inputs.indexOf(outputs[0] ?? '')
      if (index !== node.inputs.lastIndexOf(outputs[0] ?? '')) return false
      const dim = rule.operands[index]?.[position]
      const place = dim === undefined ? -1 : (rule.results[0]?.indexOf(dim) ?? -1)
      return place >= 0 && divides(node, place, finest)
    })
    const ordered = nodes.filter((node) => before.includes(node))
    const others = (reads.get(outputs[0] ?? '') ?? 0) > behind.length
    return before.length || behind.length
      ? { collective, position, finest, before: ordered, behind, others }
      : undefined
  }
  return nodes.flatMap((collective): Candidate[] => {
    const { communication, op, outputs } = collective
    // A barrier moves nothing.
    if (outputs.length === 0) return []
    const result = tensor(outputs[0] ?? '')
    const ours = communication?.atoms.every((atom) => atoms.includes(atom))
    const kinds = ['all-gather', ...(communication?.reduction === 'sum' ? ['all-reduce', 'reduce-scatter'] : [])]
    if (!ours || !kinds.includes(op) || result.role !== 'activation' || result.density || result.growth) return []
    const dims = result.dims.flatMap((dim, position) => {
      const site = siteOf(collective, position)
      return site ? [{ site, dim, size: (result.shape[position] ?? 1) / groupSize(mesh, site.finest) }] : []
    })
    return dims.length ? [{ collective, dims }] : []
  })
}

/** How often each tensor is read, by nodes and by ports that hand on. */
function countReads({ items }: Program): Map<string, number> {
  const reads = new Map<string, number>()
  const add = (id: string) => reads.set(id, (reads.get(id) ?? 0) + 1)
  for (const { inputs } of nodesOf(items)) inputs.forEach(add)
  for (const { ports } of regionsOf(items))
    for (const port of ports) {
      if (port.kind === 'carry') [port.initial, ...port.next].forEach(add)
      if (port.kind === 'reduce') for (const id of port.inner) if (id !== null) add(id)
    }
  return reads
}
