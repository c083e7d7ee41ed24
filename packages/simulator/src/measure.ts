import {
  type ByteContext,
  bodyCounts,
  checkProgram,
  coordinates,
  dataTypes,
  definitionOf,
  type EdgeKind,
  type FlopClass,
  localSize,
  lookup,
  type NodeKind,
  neighbour,
  type OperatorNode,
  type OperatorTable,
  type Pairs,
  type Place,
  type Placement,
  type Program,
  parseRule,
  regionsOf,
  type Tensor,
  walk,
} from '@shardloom/core'
import { programOf } from '@shardloom/core/unroll'
import { changeAxis, grownShape, iterationsOf } from './changes.js'
import { countRankEdges } from './edges.js'
import { madeOn } from './made.js'
import { ruleOf } from './node-rule.js'
import { counterOf, rangeOf, runsOf } from './points.js'

/** What one node costs on one rank. */
export interface NodeMeasure {
  readonly flops: bigint
  readonly read: bigint
  readonly written: bigint
}

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

/** Bytes and FLOPs of nodes, read off one program for one rank. */
export interface Meter {
  /** One execution; `step` is the iteration of the axis along which tensors grow (default 0). */
  readonly node: (node: OperatorNode, step?: number) => NodeMeasure
  /** How many positions of each dim of a node this rank has. */
  readonly sizes: (node: OperatorNode, step?: number) => (dim: string) => number
  /** All executions in one step of the program, at that place. */
  readonly total: (node: OperatorNode, place: Place) => NodeMeasure
  /** Bytes of a tensor on this rank under a placement (default: its own). */
  readonly bytes: (tensor: Tensor, placement?: Placement) => number
  /** Elements on this rank. */
  readonly elements: (tensor: Tensor, placement?: Placement) => number
}

/** Makes the meter of one rank. Throws `RANK` when the mesh has no such rank. */
export function meterOf(program: Program, operators: OperatorTable, rank = 0): Meter {
  checkProgram(program, operators)
  const { mesh } = program
  const at = coordinates(mesh, rank)
  const tensor = (id: string) => lookup(program.tensors, id)
  const fused = fusionBorders(program)
  const count = counterOf(program, at)
  const elements = ({ density, dims, shape, placement: usual }: Tensor, placement = usual) => {
    const own = shape.map((size, position) => localSize(size, placement?.shards[position] ?? [], mesh, at))
    if (!density) return own.reduce((all, size) => all * size, 1)
    const atoms = (dim: string) => placement?.shards[dims.indexOf(dim)] ?? []
    const size = (dim: string) => own[dims.indexOf(dim)] ?? 1
    const [points, of] = count({ dims, size, atoms, density })
    return Number(points) / Number(of)
  }
  const bytes = (each: Tensor, placement = each.placement) => elements(each, placement) * dataTypes[each.dtype]

  /** How large a dim of a node is, and how much of it this rank has. */
  const sizesOf = (each: OperatorNode, step: number) => {
    const { sizes } = ruleOf(each, operators)
    const splits = each.partition?.splits ?? {}
    const extent = (dim: string) => {
      const place = sizes.get(dim)
      if (!place) return 1
      const [own, position] = [tensor(place[0]), place[1]]
      return (step && own.growth ? grownShape(own, step) : own.shape)[position] ?? 1
    }
    const known = new Map<string, number>()
    const size = (dim: string) => {
      const found = known.get(dim) ?? localSize(extent(dim), splits[dim] ?? [], mesh, at)
      known.set(dim, found)
      return found
    }
    return { extent, size }
  }

  let made: ReadonlySet<string> | undefined
  const isMade = (id: string) => (made ??= madeOn(program, rank)).has(id)

  /** FLOPs are `points` over `whole`, by which they are yet to be divided. */
  const undivided = (each: OperatorNode, step: number) => {
    if (each.kind === 'communication') return { points: 0n, whole: 1n, read: 0n, written: 0n }
    const { definition, rule, pairs, flops, dims } = ruleOf(each, operators)
    const splits = each.partition?.splits ?? {}
    const { extent, size } = sizesOf(each, step)
    const atoms = (dim: string) => splits[dim] ?? []
    const [rest, of] = count({ dims, size, atoms, density: each.density })
    const [paired, twice] = pairs ? pairsOf(each, pairs, extent, step) : [1n, 1n]
    const points = flops * rest * paired
    const whole = of * twice
    const local = (id: string, dims: readonly string[]) => {
      const own = tensor(id)
      const [points, of] = count({ dims, size, atoms, density: own.density })
      return (points * BigInt(dataTypes[own.dtype]) + of - 1n) / of
    }
    const border = fused.get(each.id)
    const isThere = (id: string) => tensor(id).role !== 'gradient' || isMade(id)
    const context: ByteContext = {
      operand(index) {
        const id = each.inputs[index] ?? ''
        if ((border && !border.inputs[index]) || !isThere(id)) return 0n
        return local(id, rule.operands[index] ?? [])
      },
      result: (index) =>
        border && !border.outputs[index] ? 0n : local(each.outputs[index] ?? '', rule.results[index] ?? []),
      size,
      extent,
      loads: (dim) => {
        const list = program.loads?.[dim]
        const mean = (list ?? []).reduce((sum, load) => sum + load, 0) / (list?.length ?? 1)
        return list?.slice(...rangeOf(list.length, atoms(dim), mesh, at)).map((load) => load / mean)
      },
    }
    if (definition.bytes) return { points, whole, ...definition.bytes(each, context) }
    const sum = (ids: readonly string[], of: (index: number) => bigint) =>
      ids.reduce((total, id, index) => (ids.indexOf(id) === index ? total + of(index) : total), 0n)
    return { points, whole, read: sum(each.inputs, context.operand), written: sum(each.outputs, context.result) }
  }
  /** The pairs of positions that count on this rank, over the second number. */
  const pairsOf = (
    each: OperatorNode,
    pairs: Pairs,
    extent: (dim: string) => number,
    step: number,
  ): readonly [bigint, bigint] => {
    const [queries = [], keys] = pairs.dims.map((dim) => {
      const split = each.partition?.splits[dim] ?? []
      return runsOf(program, dim, extent(dim), split, turned(each, dim, step))
    })
    if (keys) return [pairs.count(queries, keys, step), 2n]
    // Dealt out one by one, keys of every age are with every rank.
    const [, dim] = pairs.dims
    const size = extent(dim)
    const own = localSize(size, each.partition?.splits[dim] ?? [], mesh, at)
    return [pairs.count(queries, [[0, size]], step) * BigInt(own), 2n * BigInt(size)]
  }
  /** The place of the rank whose shard of a dim this one holds: in a ring, one that stands before it. */
  const turned = (each: OperatorNode, dim: string, step: number): ReadonlyMap<string, number> => {
    const { operands } = parseRule(each.rule)
    for (const [index, id] of each.inputs.entries()) {
      const { rotation } = tensor(id)
      if (!rotation || operands[index]?.[rotation.position] !== dim) continue
      const behind = rotation.offset + (rotation.axis === undefined ? 0 : step)
      return coordinates(mesh, neighbour(mesh, rank, rotation.atoms, -behind))
    }
    return at
  }
  const node = (each: OperatorNode, step = 0): NodeMeasure => {
    const { points, whole, read, written } = undivided(each, step)
    return { flops: points / whole, read, written }
  }
  const total = (each: OperatorNode, { executions, path }: Place): NodeMeasure => {
    const steps = iterationsOf(path, changeAxis(each, program))
    const times = BigInt(executions / steps.length)
    // The density is a mean over iterations: only their sum is divided by it.
    const sum = { points: 0n, whole: 1n, read: 0n, written: 0n }
    for (const step of steps) {
      const one = undivided(each, step)
      sum.points += one.points * times
      sum.whole = one.whole
      sum.read += one.read * times
      sum.written += one.written * times
    }
    return { flops: sum.points / sum.whole, read: sum.read, written: sum.written }
  }
  return { node, sizes: (each, step = 0) => sizesOf(each, step).size, total, bytes, elements }
}

/** Per fused node, which operands come from outside its kernel and which results leave it. */
function fusionBorders({ items }: Program): ReadonlyMap<string, { inputs: boolean[]; outputs: boolean[] }> {
  const known = bordersOf.get(items) ?? findBorders(items)
  bordersOf.set(items, known)
  return known
}

/** By items: programs that differ in sizes share them. */
const bordersOf = new WeakMap<Program['items'], ReadonlyMap<string, { inputs: boolean[]; outputs: boolean[] }>>()

function findBorders(items: Program['items']): Map<string, { inputs: boolean[]; outputs: boolean[] }> {
  const groups = new Map<Place, Map<string, OperatorNode[]>>()
  /** Of each tensor the kernels that read it; undefined: a node by itself. */
  const readers = new Map<string, (readonly OperatorNode[] | undefined)[]>()
  walk(items, (node, place) => {
    const { fusion } = node
    // Nodes of one body share the object that says where they stand.
    const body = groups.get(place) ?? new Map<string, OperatorNode[]>()
    groups.set(place, body)
    const group = fusion === undefined ? undefined : (body.get(fusion) ?? [])
    for (const id of node.inputs) {
      const known = readers.get(id)
      if (known) known.push(group)
      else readers.set(id, [group])
    }
    if (!group || fusion === undefined) return
    group.push(node)
    body.set(fusion, group)
  })
  const borders = new Map<string, { inputs: boolean[]; outputs: boolean[] }>()
  for (const nodes of Array.from(groups.values(), (body) => [...body.values()]).flat()) {
    const made = new Set(nodes.flatMap((node) => node.outputs))
    const read = new Set<string>()
    for (const node of nodes) {
      const inputs = node.inputs.map((id) => {
        const counts = !made.has(id) && !read.has(id)
        read.add(id)
        return counts
      })
      const outputs = node.outputs.map((id) => {
        const all = readers.get(id) ?? []
        return all.length === 0 || all.some((reader) => reader !== nodes)
      })
      borders.set(node.id, { inputs, outputs })
    }
  }
  return borders
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
