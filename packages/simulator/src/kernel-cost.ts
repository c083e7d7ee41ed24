import {
  type DataType,
  dataTypes,
  definitionOf,
  type FlopClass,
  flopsPerPoint,
  lookup,
  type OperatorNode,
  type OperatorTable,
  type Program,
  regionsOf,
} from '@shardloom/core'
import { changeAxis } from './changes.js'
import { attentionSeconds, type MatmulShape, matmulSeconds, type Rates } from './kernel-time.js'
import { isNamed, type Kernel, type Product, productOf, type Readers } from './kernels.js'
import { hostBandwidthOf, type Machine } from './machine.js'
import { flopClassOf } from './measure.js'
import type { Meter, NodeMeasure } from './meter.js'
import { type NodeTime, nothing } from './node-time.js'
import { scratchOf } from './scratch.js'

/** What the time of a kernel depends on. */
export interface KernelContext {
  readonly program: Program
  readonly operators: OperatorTable
  readonly meter: () => Meter
  readonly machine: Machine
  /** The nodes that read each tensor. */
  readonly readers: Readers
  /** Tensors that leave their body by a port. */
  readonly leaving: ReadonlySet<string>
  /** Terms of sums over iterations → bytes of an element of the sum. */
  readonly sums: ReadonlyMap<string, number>
  /** What was found of kernels. */
  readonly traits: Map<Kernel, KernelTraits>
}

interface Bytes {
  all: number
  written: number
}

/** What of a kernel no size changes. */
export interface KernelTraits {
  /** The axis along which its operands grow. */
  readonly grows: string | undefined
  readonly products: readonly (Product | undefined)[]
  readonly classes: readonly FlopClass[]
  /** Whether its operands are cast to the type in which linear layers multiply. */
  readonly casts: boolean
  /** The type of its first operand, and that in which it computes. */
  readonly own: DataType
  readonly type: DataType
  /** Whether it is attention going backward: forward that runs again in backward has the products of forward. */
  readonly isGradient: boolean
  /** By how many times its bytes move. */
  readonly factor: number
}

function traitsOf(
  kernel: Kernel,
  { program, operators, machine }: Pick<KernelContext, 'program' | 'operators' | 'machine'>,
): KernelTraits {
  const { nodes } = kernel
  const { traffic } = machine.engine
  const named = Object.entries(traffic).filter(([name]) => name.includes('/'))
  const products = nodes.map((node) => productOf(node, operators))
  const classes = nodes.map((node) => flopClassOf(node, operators))
  const casts = machine.productType !== undefined && isLinearLayer(kernel, products, classes)
  const own = lookup(program.tensors, nodes.find(({ inputs }) => inputs.length > 0)?.inputs[0] ?? '').dtype
  return {
    grows: nodes.map((node) => changeAxis(node, program)).find((axis) => axis !== undefined),
    products,
    classes,
    casts,
    own,
    type: (casts ? machine.productType : undefined) ?? narrowest(own, nodes, program),
    isGradient: nodes.some(
      ({ segment, recompute }, index) => classes[index] === 'attention' && segment === 'backward' && !recompute,
    ),
    factor: Math.max(...nodes.map((node) => traffic[node.op] ?? named.find(([end]) => isNamed(node, end))?.[1] ?? 1)),
  }
}

/** The time of each kernel of one rank. Throws `NO_PEAK` for products of a type that the accelerator lacks. */
export function kernelCost(context: KernelContext): (kernel: Kernel) => NodeTime {
  const { program, operators, machine, sums, traits } = context
  return (kernel) => {
    const { nodes, kind } = kernel
    const [first] = nodes
    if (!first || first.barrier) return nothing
    const meter = context.meter()
    if (first.op === 'offload' || first.op === 'reload') {
      const bandwidth = hostBandwidthOf(machine.cluster.accelerator)
      const grows = changeAxis(first, program)
      return { stream: 'copy', grows, seconds: (step) => bytesIn(meter.node(first, step)).all / bandwidth }
    }
    const known = traits.get(kernel) ?? traitsOf(kernel, context)
    traits.set(kernel, known)
    const { grows, products, classes, casts, own, type, isGradient, factor } = known
    const { castBytes, castRate, launches, host } = machine.engine
    const rates = machine.rates(type)
    const { efficiency, memory, reading } = rates
    let atPeak: Rates | undefined
    const multiplying = () => (atPeak ??= { ...rates, peak: (casts ? castRate : 1) * machine.peak(type, first.id) })
    const isFlash = kind === 'fused' && classes.includes('attention')
    const flashShare = isGradient ? efficiency.flashBackward : efficiency.flashForward
    const scratch = nodes.reduce((sum, node) => sum + scratchOf(node, program, meter), 0)
    const seconds = (step: number) => {
      const measures = nodes.map((node) => meter.node(node, step))
      const flops = measures.map((each) => Number(each.flops))
      const bytes =
        kind === 'chain'
          ? chainBytes(nodes, context)
          : bytesOf(nodes, kind, products, context, measures.map(bytesIn), sums)
      if (bytes.all === 0 && flops.every((each) => each === 0)) return 0
      const of = (name: FlopClass) =>
        flops.reduce((sum, each, index) => (classes[index] === name ? sum + each : sum), 0)
      // What a node holds beside its tensors is written and read again, if its kernels do not move more anyway.
      const moving = Math.max(factor * bytes.all, bytes.all + 2 * scratch) / memory
      if (isFlash) {
        const exponentials = nodes.reduce(
          (sum, node, index) => sum + exponentialsOf(node, flops[index] ?? 0, operators),
          0,
        )
        const computing = attentionSeconds(
          { flops: of('attention'), exponentials, isGradient },
          { peak: multiplying().peak, exponentialPeak: machine.cluster.accelerator.exponentialPeak, share: flashShare },
        )
        return Math.max(Math.max(computing, (factor * bytes.all) / reading) + efficiency.kernelSeconds, host.product)
      }
      const shapes = products.flatMap((product, index) => {
        const node = nodes[index]
        if (!product || !node) return []
        const sizes = meter.sizes(node, step)
        return [shapeOf(product, sizes, flops[index] ?? 0)]
      })
      const shape = shapes.length > 0 && kind !== 'fused' && kind !== 'chain' ? joined(shapes, kind) : undefined
      if (!shape) return Math.max(moving + launches * efficiency.kernelSeconds, launches * host.operator)
      if (classes[0] === 'attention')
        return Math.max(of('attention') / (efficiency.batched * multiplying().peak), moving) + efficiency.kernelSeconds
      const cast = casts ? castOf(nodes, products, context, meter, dataTypes[type]) : { elements: 0, saved: 0 }
      const work = matmulSeconds(shape, { ...bytes, all: bytes.all - cast.saved }, multiplying())
      const casting = casts
        ? cast.elements > 0
          ? (castBytes * cast.elements) / memory + efficiency.kernelSeconds
          : 0
        : castSeconds(own, type, shape, memory)
      const issued = products.some((product) => product?.shared.includes('experts')) ? Math.ceil(shape.batch) : 1
      return Math.max(work + casting + efficiency.kernelSeconds, issued * host.product)
    }
    return { stream: 'compute', seconds, grows }
  }
}

/** The exponentials that a node takes, one of the FLOPs of each. */
function exponentialsOf(node: OperatorNode, flops: number, operators: OperatorTable): number {
  const definition = definitionOf(node, operators)
  return definition.exponentials ? (flops * definition.exponentials) / flopsPerPoint(node, definition).flops : 0
}

/** Products with weights of one byte multiply in that type (Micikevicius et al. 2022). */
function narrowest(own: DataType, nodes: readonly OperatorNode[], { tensors }: Program): DataType {
  const weights = nodes.flatMap(({ inputs }) => inputs.map((id) => lookup(tensors, id)))
  const weight = weights.find(({ role, dims }) => role === 'parameter' && dims.length > 1)
  return weight && dataTypes[weight.dtype] < dataTypes[own] ? weight.dtype : own
}

/** What casting the tokens of a product takes: they are read in one type and written in the other. */
function castSeconds(from: DataType, to: DataType, { m, k }: MatmulShape, memory: number): number {
  return from === to ? 0 : (m * k * (dataTypes[from] + dataTypes[to])) / memory
}

/** Terms of sums over iterations, with the type of their sum. */
export function sumsOf({ items, tensors }: Program): ReadonlyMap<string, number> {
  const sums = new Map<string, number>()
  for (const { ports } of regionsOf(items))
    for (const port of ports)
      if (port.kind === 'reduce')
        for (const id of port.inner) if (id) sums.set(id, dataTypes[lookup(tensors, port.result).dtype])
  return sums
}

/** Products of the linear layers of a layer: of what systems that multiply in eight bits do so (Micikevicius et al. 2022). */
function isLinearLayer(
  { place, nodes }: Kernel,
  products: readonly (Product | undefined)[],
  classes: readonly FlopClass[],
): boolean {
  if (!place.path.some(({ region }) => region.axis === 'layer')) return false
  return nodes.some(
    ({ module }, index) => products[index] !== undefined && classes[index] === 'linear' && !module.includes('router'),
  )
}

/**
 * Elements that are cast for a product, and bytes that it reads fewer: tokens in forward and gradients in backward, from which
 * weight gradients read the same casts. Weights are cast once per step, and tokens once for all weights of a module: experts multiply
 * them by two in their first layer.
 */
function castOf(
  nodes: readonly OperatorNode[],
  products: readonly (Product | undefined)[],
  { program: { tensors }, operators, machine, readers }: KernelContext,
  meter: Meter,
  size: number,
): { readonly elements: number; readonly saved: number } {
  const seen = new Set<string>()
  const total = { elements: 0, saved: 0 }
  const again = machine.engine.castsAgain
  nodes.forEach((node, index) => {
    const product = products[index]
    if (!product) return
    const isLike = ({ segment, recompute, module }: OperatorNode) =>
      segment === node.segment && recompute === node.recompute && module === node.module
    for (const id of node.inputs) {
      if (seen.has(id)) continue
      seen.add(id)
      const tensor = lookup(tensors, id)
      const elements = meter.elements(tensor)
      total.saved += Math.max(0, meter.bytes(tensor) - size * elements)
      const isKept = product.inner.includes('batch') && (!again || !id.startsWith('forward/'))
      const first = readers.get(id)?.find((reader) => isLike(reader) && productOf(reader, operators))
      const isCast = first !== undefined && !nodes.includes(first)
      if (tensor.dims.includes('batch') && !isKept && !isCast) total.elements += elements
    }
  })
  return total
}

/** What a chain reads from outside, once, and what of its results somebody else reads. */
function chainBytes(
  nodes: readonly OperatorNode[],
  { program, meter: meterOf, leaving, readers }: KernelContext,
): Bytes {
  const meter = meterOf()
  const made = new Set(nodes.flatMap(({ outputs }) => outputs))
  const inputs = new Set(nodes.flatMap((node) => node.inputs).filter((id) => !made.has(id)))
  const isRead = (id: string) => {
    const all = readers.get(id) ?? []
    return leaving.has(id) || all.length === 0 || all.some((reader) => !nodes.includes(reader))
  }
  const bytes = (id: string) => meter.bytes(lookup(program.tensors, id))
  const sum = (ids: Iterable<string>) => [...ids].reduce((total, id) => total + bytes(id), 0)
  const written = sum([...made].filter(isRead))
  return { all: sum(inputs) + written, written }
}

/** What a kernel reads and writes: an operand that its nodes have in common once, products that are summed not at all. */
function bytesOf(
  nodes: readonly OperatorNode[],
  kind: Kernel['kind'],
  products: readonly (Product | undefined)[],
  { program, meter: meterOf }: KernelContext,
  moved: readonly Bytes[],
  sums: ReadonlyMap<string, number>,
): Bytes {
  const meter = meterOf()
  const total = { all: 0, written: 0 }
  const add = ({ all, written }: Bytes) => {
    total.all += all
    total.written += written
  }
  const read = new Set<string>()
  nodes.forEach((node, index) => {
    const { all, written } = moved[index] as Bytes // one for each node
    const isLast = index === nodes.length - 1
    if (kind === 'columns' && !products[index]) return
    if (kind === 'sum') add(isLast ? { all: written, written } : { all: all - written, written: 0 })
    else add({ all, written })
    if (kind === 'columns') {
      for (const id of node.inputs) {
        const tensor = lookup(program.tensors, id)
        if (read.has(id)) total.all -= meter.bytes(tensor)
        read.add(id)
      }
    }
    if (kind !== 'fused') add(sumBytes(node, program, meter, sums))
  })
  return total
}

/** Products side by side: as many more columns (or rows), or as much longer sums. */
function joined(shapes: readonly MatmulShape[], kind: Kernel['kind']): MatmulShape {
  const [first = { batch: 1, m: 1, n: 1, k: 1 }, ...others] = shapes
  let { m, n, k } = first
  for (const other of others) {
    if (kind === 'sum') k += other.k
    else if (other.m === first.m) n += other.n
    else m += other.m
  }
  return { batch: first.batch, m, n, k }
}

function bytesIn({ read, written }: NodeMeasure): Bytes {
  return { all: Number(read + written), written: Number(written) }
}

/** A term that is added to a sum over iterations is read with it and written in its type. */
function sumBytes(node: OperatorNode, { tensors }: Program, meter: Meter, sums: ReadonlyMap<string, number>): Bytes {
  const term = node.outputs.find((id) => sums.has(id))
  if (term === undefined) return { all: 0, written: 0 }
  const own = lookup(tensors, term)
  const bytes = meter.elements(own) * (sums.get(term) ?? 0)
  const written = bytes - meter.bytes(own)
  return { all: bytes + written, written }
}

/**
 * The sizes of a product on a rank. Of routed tokens and causal pairs a share exists: as many rows, or as long a sum. Experts that no token
 * comes to are not computed.
 */
function shapeOf({ shared, rows, columns, inner }: Product, size: (dim: string) => number, flops: number): MatmulShape {
  const product = (dims: readonly string[]) => dims.reduce((all, dim) => all * size(dim), 1)
  const shape = { batch: product(shared), m: product(rows), n: product(columns), k: product(inner) }
  const share = flops / (2 * shape.batch * shape.m * shape.n * shape.k)
  if (inner.includes('batch')) return { ...shape, k: shape.k * share }
  const reached = shared.includes('experts') ? reachedShare(share, shape.m) : 1
  return { ...shape, batch: shape.batch * reached, m: (shape.m * share) / reached }
}

/** The share of experts that some of `tokens` is routed to, each to a `share` of them. */
const reachedShare = (share: number, tokens: number) => Math.min(1, 1 - (1 - share) ** tokens)
