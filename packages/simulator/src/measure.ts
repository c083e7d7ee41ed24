import {
  bodyCounts,
  definitionOf,
  type EdgeKind,
  type FlopClass,
  lookup,
  type NodeKind,
  type OperatorNode,
  type OperatorTable,
  type Program,
  regionsOf,
  type Tensor,
  walk,
} from '@shardloom/core'
import { programOf } from '@shardloom/core/unroll'
import { countRankEdges } from './edges.js'
import { type Meter, meterOf } from './meter.js'

/** One rank, one step, unrolled. Bytes are of compute, control and memory nodes; communication has its own table. */
export interface RankMeasure {
  readonly parameters: bigint
  readonly parameterBytes: bigint
  /** Bytes of gradients that are summed over microbatches and kept until the optimizer reads them. */
  readonly gradientBytes: bigint
  /** Bytes of the optimizer's state: master copies and moments. */
  readonly optimizerBytes: bigint
  readonly flops: bigint
  readonly flopsByClass: Readonly<Record<FlopClass, bigint>>
  readonly bytesRead: bigint
  readonly bytesWritten: bigint
  readonly kvBytesRead: bigint
  readonly kvBytesWritten: bigint
  readonly nodes: Readonly<Record<NodeKind, bigint>>
  readonly edges: Readonly<Record<EdgeKind, bigint>>
}

/** Measures one rank over one step of the program, unrolled, without unrolling it. Linear in the rolled program. */
export function measure(
  whole: Program,
  operators: OperatorTable,
  options: { readonly rank?: number } = {},
): RankMeasure {
  const program = programOf(whole, options.rank ?? 0)
  const meter = meterOf(program, operators, options.rank)
  const flopsByClass: Record<FlopClass, bigint> = { linear: 0n, attention: 0n, head: 0n, other: 0n }
  const nodes: Record<NodeKind, bigint> = { compute: 0n, communication: 0n, control: 0n, memory: 0n }
  const sum = {
    bytesRead: 0n,
    bytesWritten: 0n,
    kvBytesRead: 0n,
    kvBytesWritten: 0n,
  }
  const sums = accumulatorsOf(program)
  walk(program.items, (node, place) => {
    nodes[node.kind] += BigInt(place.executions)
    const cost = meter.total(node, place)
    flopsByClass[flopClassOf(node, operators)] += cost.flops
    const extra = accumulation(node, place.executions, sums, meter, program)
    sum.bytesRead += cost.read + extra.read
    sum.bytesWritten += cost.written + extra.written
    if (node.kind === 'memory') {
      if (node.outputs.some((id) => lookup(program.tensors, id).role === 'cache')) sum.kvBytesWritten += cost.written
      else if (node.inputs.some((id) => lookup(program.tensors, id).role === 'cache')) sum.kvBytesRead += cost.read
    }
  })
  const flops = Object.values(flopsByClass).reduce((a, b) => a + b, 0n)
  return {
    ...sum,
    ...storedOn(program, meter),
    flops,
    flopsByClass,
    nodes,
    edges: countRankEdges(whole, options.rank ?? 0),
  }
}

/** What outlives a step on the rank of a meter: parameters, accumulated gradients, optimizer state. Linear in the rolled program. */
export function storedOn(
  program: Program,
  meter: Meter,
): Pick<RankMeasure, 'parameters' | 'parameterBytes' | 'gradientBytes' | 'optimizerBytes'> {
  const seen = new Set<string>()
  const sum = { parameters: 0n, parameterBytes: 0n, gradientBytes: 0n, optimizerBytes: 0n }
  walk(program.items, (node, place) => {
    for (const id of node.inputs) {
      const tensor = lookup(program.tensors, id)
      const stored = storedAs(tensor, node)
      // Of a pipeline with two directions a rank holds other layers for each.
      const direction = place.path.find(({ region }) => region.axis === 'microbatch')?.body
      const key = tensor.per.includes('layer') && direction !== undefined ? `${id} ${direction}` : id
      if (!stored || seen.has(key)) continue
      seen.add(key).add(id)
      const instances = BigInt(
        instancesOf(
          tensor,
          place.path.map(({ region, body }) => ({ axis: region.axis, count: bodyCounts(region)[body] ?? 0 })),
        ),
      )
      if (stored === 'parameterBytes') sum.parameters += BigInt(meter.elements(tensor)) * instances
      sum[stored] += BigInt(meter.bytes(tensor)) * instances
    }
  })
  return sum
}

/** The kind of training state that a tensor is when `reader` reads it; undefined: none that outlives its readers. */
export function storedAs({ role, versionOf }: Tensor, reader: OperatorNode) {
  if (versionOf !== undefined) return undefined
  if (role === 'parameter') return 'parameterBytes'
  if (role === 'optimizer') return 'optimizerBytes'
  return role === 'gradient' && reader.segment === 'optimizer' ? 'gradientBytes' : undefined
}

/** Terms of sums over iterations: the accumulator that each is added to, and how many iterations add to it. */
export function accumulatorsOf(
  program: Program,
): Map<string, { readonly result: string; readonly iterations: number }> {
  const sums = new Map<string, { result: string; iterations: number }>()
  for (const region of regionsOf(program.items)) {
    const counts = bodyCounts(region)
    for (const port of region.ports) {
      if (port.kind !== 'reduce') continue
      port.inner.forEach((id, body) => {
        if (id) sums.set(id, { result: port.result, iterations: counts[body] || 1 })
      })
    }
  }
  return sums
}

/**
 * What a node moves beyond its own operands when its result is added to an accumulator: the accumulator is written in its
 * own type in the result's place, and read before, except by the first iteration.
 */
export function accumulation(
  node: OperatorNode,
  executions: number,
  sums: ReturnType<typeof accumulatorsOf>,
  meter: Meter,
  program: Program,
): { readonly read: bigint; readonly written: bigint } {
  const total = { read: 0n, written: 0n }
  for (const id of node.outputs) {
    const sum = sums.get(id)
    if (!sum || executions === 0) continue
    const term = lookup(program.tensors, id)
    const bytes = meter.bytes({ ...lookup(program.tensors, sum.result), shape: term.shape }, term.placement)
    total.read += BigInt(bytes) * BigInt(executions - executions / sum.iterations)
    // What a collective moves is not counted: its result is read once more to be added.
    const [read, written] = node.communication ? [meter.bytes(term), bytes] : [0, bytes - meter.bytes(term)]
    total.read += BigInt(read) * BigInt(executions)
    total.written += BigInt(written) * BigInt(executions)
  }
  return total
}

function instancesOf(tensor: Tensor, path: readonly { axis: string; count: number }[]): number {
  return path.reduce((product, { axis, count }) => (tensor.per.includes(axis) ? product * count : product), 1)
}

/** The class that a node's FLOPs are reported in. */
export function flopClassOf(node: OperatorNode, operators: OperatorTable): FlopClass {
  const own = node.attributes?.['class']
  if (own === 'linear' || own === 'attention' || own === 'head' || own === 'other') return own
  return definitionOf(node, operators).class ?? 'other'
}
