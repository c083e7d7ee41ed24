import {
  definitionOf,
  type FlopClass,
  flopsPerPoint,
  type Item,
  lookup,
  type OperatorNode,
  type OperatorTable,
  type Place,
  type Program,
  parseRule,
  regionsOf,
  walk,
} from '@shardloom/core'
import type { Engine, KernelStyle } from './engine.js'
import { joinedBy, membersOf } from './fuse.js'
import { flopClassOf } from './measure.js'

/** Nodes of one body that run as one kernel. */
export interface Kernel {
  readonly nodes: readonly OperatorNode[]
  readonly place: Place
  /** The node at which it takes its time: for the others `lead` has ended when they do. */
  readonly lead: OperatorNode
  /**
   * `alone`: one node. `fused`: nodes of one `fusion`. `columns`: products of one operand with several others, and what is done
   * to their results as they are written. `sum`: products that are added up as they are made, and the sum. `chain`: operators
   * that work on what is at hand, element by element or row by row.
   */
  readonly kind: 'alone' | 'fused' | 'columns' | 'sum' | 'chain'
}

/** What decides which nodes share a kernel. */
export interface KernelChoices {
  readonly style: KernelStyle
  /** Whether input and weight gradients run apart. */
  readonly divided: boolean
  /** Ends of the names of nodes that are in no kernel of others. */
  readonly apart: readonly string[]
}

/** How a node's dims take part in a matrix product. */
export interface Product {
  readonly shared: readonly string[]
  readonly rows: readonly string[]
  readonly columns: readonly string[]
  readonly inner: readonly string[]
}

const products = new WeakMap<OperatorNode, Product | null>()

/** The matrix product that a node is, if it is one. */
export function productOf(node: OperatorNode, operators: OperatorTable): Product | undefined {
  const known = products.get(node)
  if (known !== undefined) return known ?? undefined
  const found = findProduct(node, operators)
  products.set(node, found ?? null)
  return found
}

function findProduct(node: OperatorNode, operators: OperatorTable): Product | undefined {
  if (node.kind !== 'compute') return undefined
  const definition = definitionOf(node, operators)
  // A sum by index, such as the gradient of an embedding, has a product's rule and multiplies nothing.
  if (!definition.reduce || flopsPerPoint(node, definition).flops === 0) return undefined
  const { operands, results } = parseRule(node.rule)
  const [left, right, more] = operands
  const [result] = results
  if (!left || !right || !result || more || results.length > 1) return undefined
  const inner = left.filter((dim) => right.includes(dim) && !result.includes(dim))
  const rows = left.filter((dim) => !right.includes(dim) && result.includes(dim))
  const columns = right.filter((dim) => !left.includes(dim) && result.includes(dim))
  if (inner.length === 0 || rows.length + columns.length === 0) return undefined
  return { shared: left.filter((dim) => right.includes(dim) && result.includes(dim)), rows, columns, inner }
}

/**
 * The kernels of a program. Beside what the graph fuses, libraries join products: of one input with several weights (query,
 * key and value; gate and up), of what backward has of these with the same input, and sums of products, which a matmul
 * adds up as it goes; and what is done to each element on its way, as {@link joinedBy} says. Eager kernels join nothing.
 * `known` holds what bodies have that other parts of the program run as a whole too. Linear in the program.
 */
export function kernelsOf(
  program: Program,
  operators: OperatorTable,
  { style = 'fused', divided = false, apart = [] }: Partial<KernelChoices> = {},
  readers = readersOf(program),
  known: KnownKernels = new Map(),
): Kernel[] {
  // Nodes of one body share the object that says where they stand.
  const bodies = new Map<Place, OperatorNode[]>()
  walk(program.items, (node, place) => {
    const list = bodies.get(place)
    if (list) list.push(node)
    else bodies.set(place, [node])
  })
  return Array.from(bodies, ([place, list]) => {
    const at = place.path.at(-1)
    const items = at?.region.bodies[at.body]?.items ?? program.items
    const found = known.get(items) ?? kernelsOfBody(list, readers, program, operators, { style, divided, apart })
    known.set(items, found)
    return found.map(({ nodes, lead, kind }): Kernel => ({ nodes, place, lead, kind }))
  }).flat()
}

/** The kernels of lists of items. */
export type KnownKernels = Map<readonly Item[], readonly Omit<Kernel, 'place'>[]>

/** The nodes that read each tensor, in program order. */
export type Readers = ReadonlyMap<string, readonly OperatorNode[]>

/** The nodes of a program that read each tensor. */
export function readersOf({ items }: Program): Readers {
  const readers = new Map<string, OperatorNode[]>()
  walk(items, (node) => {
    for (const id of node.inputs) {
      const known = readers.get(id)
      if (known) known.push(node)
      else readers.set(id, [node])
    }
  })
  return readers
}

/** Tensors that leave their body by a port, whoever else reads them. */
export function leavingByPorts({ items }: Program): ReadonlySet<string> {
  return new Set(
    regionsOf(items).flatMap(({ ports }) =>
      ports.flatMap((port) => {
        if (port.kind === 'carry') return port.next
        return port.kind === 'reduce' ? port.inner.flatMap((id) => id ?? []) : []
      }),
    ),
  )
}

function kernelsOfBody(
  list: readonly OperatorNode[],
  readers: Readers,
  program: Program,
  operators: OperatorTable,
  choices: KernelChoices,
): Omit<Kernel, 'place'>[] {
  const { style } = choices
  const position = new Map(list.map(({ id }, index) => [id, index]))
  const keys = new Map<string, string>()
  const kinds = new Map<string, Kernel['kind']>()
  const isLinear = (node: OperatorNode, product: Product | undefined): product is Product => {
    const flopClass: FlopClass = flopClassOf(node, operators)
    return (
      product !== undefined && product.shared.length === 0 && flopClass !== 'attention' && node.fusion === undefined
    )
  }
  const makers = new Map(list.flatMap((node) => node.outputs.map((id) => [id, node] as const)))
  const readersOfAll = ({ outputs }: OperatorNode) => outputs.flatMap((id) => readers.get(id) ?? [])
  for (const node of list) {
    if (node.fusion !== undefined) {
      // What a collective carries from here back into the kernel, such as a cache that ranks share, is there before it begins.
      const comesBack = readersOfAll(node).some(
        (reader) => reader.communication && readersOfAll(reader).some(({ fusion }) => fusion === node.fusion),
      )
      if (comesBack) continue
      keys.set(node.id, `fusion ${node.fusion}`)
      kinds.set(`fusion ${node.fusion}`, 'fused')
      continue
    }
    if (style !== 'eager' && definitionOf(node, operators).joins) {
      const made = node.inputs.map((id) => makers.get(id))
      const only = made.every(
        (maker, index) =>
          maker && isLinear(maker, productOf(maker, operators)) && readers.get(node.inputs[index] ?? '')?.length === 1,
      )
      if (!only || made.length < 2) continue
      for (const each of [...made, node]) if (each) keys.set(each.id, `sum ${node.id}`)
      kinds.set(`sum ${node.id}`, 'sum')
    }
  }
  for (const node of style === 'eager' ? [] : list) {
    const product = keys.has(node.id) ? undefined : productOf(node, operators)
    if (!isLinear(node, product)) continue
    // The operand that products have in common is the one whose other dims are tokens.
    const common = node.inputs.findIndex((id) => lookup(program.tensors, id).dims.includes('batch'))
    const gradient = product.inner.includes('batch')
    const key = `columns ${node.segment} ${gradient ? node.inputs.at(-1) : node.inputs[common]} ${product.inner} ${node.recompute}`
    if (common < 0) continue
    keys.set(node.id, key)
    kinds.set(key, 'columns')
  }
  if (style !== 'eager') {
    const isApart = (node: OperatorNode) => choices.apart.some((end) => isNamed(node, end))
    for (const [id, key] of joinedBy(list, { readers, makers, keys, kinds, program, operators, isApart, ...choices })) {
      keys.set(id, key)
      if (!kinds.has(key)) kinds.set(key, 'chain')
    }
  }
  return [...membersOf(list, keys)].flatMap(([key, nodes]): Omit<Kernel, 'place'>[] => {
    const [first] = nodes
    const last = nodes.at(-1)
    if (!first || !last) return []
    if (nodes.length === 1) return [{ nodes, lead: last, kind: 'alone' }]
    const kind = kinds.get(key) ?? 'alone'
    const end = position.get(last.id) ?? 0
    const isReadBetween = nodes
      .slice(0, -1)
      .flatMap(({ outputs }) => outputs.flatMap((id) => readers.get(id) ?? []))
      .some((reader) => !nodes.includes(reader) && (position.get(reader.id) ?? Number.POSITIVE_INFINITY) < end)
    if (kind === 'fused' || kind === 'sum' || !isReadBetween) return [{ nodes, lead: last, kind }]
    const products = nodes.filter((node) => isLinear(node, productOf(node, operators)))
    // Whoever reads the first of them cannot wait for the last; the first has all that the others read in common.
    if (kind === 'columns' && products.every(({ inputs }) => inputs[0] === first.inputs[0]))
      return [{ nodes, lead: first, kind }]
    return nodes.map((node) => ({ nodes: [node], lead: node, kind: 'alone' as const }))
  })
}

/** What each kernel of several nodes mostly computes, by the node at which it takes its time: a product where it has one. */
export function kernelClasses(
  program: Program,
  operators: OperatorTable,
  choices: Partial<KernelChoices>,
): ReadonlyMap<string, FlopClass> {
  const found = new Map<string, FlopClass>()
  for (const { nodes, lead } of kernelsOf(program, operators, choices)) {
    const own = nodes.map((node) => flopClassOf(node, operators)).find((each) => each !== 'other')
    if (own !== undefined) found.set(lead.id, own)
  }
  return found
}

/**
 * What each kernel of several nodes is called, by the node at which it takes its time: after all that it computes, behind what
 * their names begin with, such as `forward/layer/ffn/gate+up`.
 */
export function kernelNames(
  program: Program,
  operators: OperatorTable,
  choices: Partial<KernelChoices>,
): ReadonlyMap<string, string> {
  const names = new Map<string, string>()
  for (const { nodes, lead } of kernelsOf(program, operators, choices)) {
    const paths = nodes.filter(({ kind }) => kind === 'compute').map(({ id }) => id.split('/'))
    const [first = []] = paths
    if (paths.length < 2) continue
    const differing = first.findIndex((part, at) => paths.some((path) => path[at] !== part))
    const common = differing < 0 ? first.length - 1 : differing
    const ends = paths.map((path) => path.slice(common).join('/'))
    names.set(lead.id, [...first.slice(0, common), ends.join('+')].join('/'))
  }
  return names
}

/** Kernels of an engine, of a schedule that may run input and weight gradients apart. */
export function choicesOf(
  { pipeline }: Program,
  { kernels, traffic }: Pick<Engine, 'kernels' | 'traffic'>,
): KernelChoices {
  const divided = pipeline?.actions.some((actions) => /\d[IW]\d/.test(actions)) ?? false
  return { style: kernels, divided, apart: Object.keys(traffic).filter((name) => name.includes('/')) }
}

/** Whether a node has a name that ends so. */
export const isNamed = ({ id }: OperatorNode, end: string) => id.endsWith(`/${end}`)
