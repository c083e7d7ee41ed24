import { collectiveOps, collectiveSeconds } from '@shardloom/cluster'
import {
  axesOf,
  type DataType,
  dataTypes,
  type FlopClass,
  groupSizeOf,
  lookup,
  nodesOf,
  type OperatorNode,
  type OperatorTable,
  type Place,
  type Program,
  regionsOf,
} from '@shardloom/core'
import { programOf } from '@shardloom/core/unroll'
import { communicationBytes } from './communication-table.js'
import { type MatmulShape, matmulSeconds } from './kernel-time.js'
import { type Kernel, kernelsOf, type Product, productOf } from './kernels.js'
import type { Machine } from './machine.js'
import { changeAxis, flopClassOf, type Meter, meterOf } from './measure.js'

/** Where a node runs: on the cores, on the links of some axes, between device and host, or nowhere. */
export type Stream = 'compute' | 'copy' | 'none' | `${string} links`

/** What one execution of a node costs on one rank. */
export interface NodeTime {
  readonly stream: Stream
  /** In iteration `step` of the axis along which its operands grow. Seconds. */
  readonly seconds: (step: number) => number
  /** That axis, or undefined. */
  readonly grows: string | undefined
}

const nothing: NodeTime = { stream: 'none', seconds: () => 0, grows: undefined }

/**
 * What each node of one rank's part of a program takes. Nodes of one kernel (`fusion`) take their time together, at the last of
 * them: `leads` gives for each of the others the node that ends when it does.
 */
export interface NodeTimes {
  readonly times: ReadonlyMap<string, NodeTime>
  readonly leads: ReadonlyMap<string, string>
  /** The place of each node in program order. */
  readonly order: ReadonlyMap<string, number>
}

/** Times the nodes of one rank. Throws `NO_PEAK` for matmuls of a type that the accelerator lacks. Linear in the program. */
export function nodeTimes(whole: Program, operators: OperatorTable, machine: Machine, rank: number): NodeTimes {
  const program = programOf(whole, rank)
  const meter = meterOf(program, operators, rank)
  const sums = new Set(
    regionsOf(program.items).flatMap(({ ports }) =>
      ports.flatMap((port) => (port.kind === 'reduce' ? port.inner.flatMap((id) => id ?? []) : [])),
    ),
  )
  const times = new Map<string, NodeTime>()
  const leads = new Map<string, string>()
  for (const kernel of kernelsOf(program, operators)) {
    const { nodes, place, lead } = kernel
    for (const node of nodes) {
      if (node === lead) continue
      times.set(node.id, nothing)
      leads.set(node.id, lead.id)
    }
    const time = lead.communication
      ? communicationTime(nodes, place, whole, program, meter, machine)
      : kernelTime(kernel, operators, program, meter, machine, sums)
    times.set(lead.id, time)
  }
  const order = new Map(nodesOf(program.items).map(({ id }, index) => [id, index]))
  return { times, leads, order }
}

function kernelTime(
  { nodes, kind }: Kernel,
  operators: OperatorTable,
  program: Program,
  meter: Meter,
  machine: Machine,
  sums: ReadonlySet<string>,
): NodeTime {
  const [first] = nodes
  if (!first || first.barrier) return nothing
  const grows = nodes.map((node) => changeAxis(node, program)).find((axis) => axis !== undefined)
  if (first.op === 'offload' || first.op === 'reload') {
    const host = machine.cluster.accelerator.hostBandwidth ?? usualHost
    return { stream: 'copy', grows, seconds: (step) => movedBy(first, meter, step).all / host }
  }
  const own = matmulType(nodes, program)
  const type = narrowest(own, nodes, program)
  const rates = machine.rates(type)
  const { efficiency, memory, reading, peak } = rates
  const classes = nodes.map((node) => flopClassOf(node, operators))
  const isFlash = kind === 'fused' && classes.includes('attention')
  const products = nodes.map((node) => productOf(node, operators))
  const flashShare = first.segment === 'backward' ? efficiency.flashBackward : efficiency.flashForward
  const seconds = (step: number) => {
    const flops = nodes.map((node) => Number(meter.node(node, step).flops))
    const bytes = bytesOf(nodes, kind, meter, step, program, sums)
    if (bytes.all === 0 && flops.every((each) => each === 0)) return 0
    const of = (name: FlopClass) => flops.reduce((sum, each, index) => (classes[index] === name ? sum + each : sum), 0)
    const moving = bytes.all / memory
    if (isFlash) return Math.max(of('attention') / (flashShare * peak), bytes.all / reading) + efficiency.kernelSeconds
    const shapes = products.flatMap((product, index) => {
      const node = nodes[index]
      if (!product || !node) return []
      const sizes = meter.sizes(node, step)
      const own = shapeOf(product, sizes, flops[index] ?? 0)
      bytes.all -= unreadBytes(node, product, own, meter, program, sizes)
      return [own]
    })
    const shape = shapes.length > 0 && kind !== 'fused' ? joined(shapes, kind) : undefined
    if (!shape) return moving + efficiency.kernelSeconds
    const work =
      classes[0] === 'attention'
        ? Math.max(of('attention') / (efficiency.batched * peak), moving)
        : matmulSeconds(shape, bytes, rates) + castSeconds(own, type, shape, memory)
    return work + efficiency.kernelSeconds
  }
  return { stream: 'compute', seconds, grows }
}

/** What a kernel reads and writes: an operand that its nodes have in common once, products that are summed not at all. */
function bytesOf(
  nodes: readonly OperatorNode[],
  kind: Kernel['kind'],
  meter: Meter,
  step: number,
  program: Program,
  sums: ReadonlySet<string>,
) {
  const total = { all: 0, written: 0 }
  const add = ({ all, written }: typeof total) => {
    total.all += all
    total.written += written
  }
  const read = new Set<string>()
  nodes.forEach((node, index) => {
    const { all, written } = movedBy(node, meter, step)
    const isLast = index === nodes.length - 1
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

/** B/s to the host where nobody says: PCIe of the fourth generation, one direction. */
const usualHost = 25e9

function matmulType(nodes: readonly OperatorNode[], program: Program) {
  return lookup(program.tensors, nodes.find(({ inputs }) => inputs.length > 0)?.inputs[0] ?? '').dtype
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

function movedBy(node: OperatorNode, meter: Meter, step: number) {
  const { read, written } = meter.node(node, step)
  return { all: Number(read + written), written: Number(written) }
}

/** A term that is added to a sum over iterations is read with it and written in its type. */
function sumBytes(node: OperatorNode, { tensors, items }: Program, meter: Meter, sums: ReadonlySet<string>) {
  const term = node.outputs.find((id) => sums.has(id))
  if (term === undefined) return { all: 0, written: 0 }
  const port = regionsOf(items)
    .flatMap(({ ports }) => ports)
    .find((each) => each.kind === 'reduce' && each.inner.includes(term))
  const own = lookup(tensors, term)
  const sum = port?.kind === 'reduce' ? lookup(tensors, port.result) : own
  const bytes = meter.elements(own) * dataTypes[sum.dtype]
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

/** Bytes of the weights of experts that no token comes to. */
function unreadBytes(
  node: OperatorNode,
  product: Product | undefined,
  shape: MatmulShape,
  meter: Meter,
  { tensors }: Program,
  size: (dim: string) => number,
): number {
  if (!product?.shared.includes('experts')) return 0
  const all = product.shared.reduce((count, dim) => count * size(dim), 1)
  const weight = node.inputs.map((id) => lookup(tensors, id)).find(({ role }) => role === 'parameter')
  return weight ? meter.bytes(weight) * (1 - shape.batch / all) : 0
}

function communicationTime(
  nodes: readonly OperatorNode[],
  place: Place,
  whole: Program,
  program: Program,
  meter: Meter,
  machine: Machine,
): NodeTime {
  const [node] = nodes
  const communication = node?.communication
  // What a recv takes is the time of its send.
  if (!node || !communication || node.op === 'recv') return nothing
  const { atoms } = communication
  const members = groupSizeOf(whole, node, place)
  const payload = nodes.reduce((sum, each) => sum + communicationBytes(each, program, meter, members).payload, 0)
  const axes = axesOf(program.mesh, atoms)
  const { blocking, fused } = machine.engine
  const left = 1 - Math.max(0, ...axes.map((axis) => fused[axis] ?? 0))
  const group = machine.group(atoms)
  const op = collectiveOps.find((each) => each === node.op) ?? 'send'
  const seconds = payload === 0 ? 0 : left * collectiveSeconds(group, { op, bytes: payload })
  const stream: Stream = axes.some((axis) => blocking.includes(axis)) ? 'compute' : `${axes.join('·')} links`
  return { stream, seconds: () => seconds, grows: undefined }
}
