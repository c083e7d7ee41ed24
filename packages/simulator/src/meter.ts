import {
  checkProgram,
  coordinates,
  dataTypes,
  localSize,
  lookup,
  neighbour,
  type OperatorNode,
  type OperatorTable,
  type Pairs,
  type Place,
  type Placement,
  type Program,
  parseRule,
  type Tensor,
} from '@shardloom/core'
import { changeAxis, grownShape, iterationsOf } from './changes.js'
import { type FusionBorders, fusionBorders } from './fusion-borders.js'
import { madeOn } from './made.js'
import { type NodeRule, ruleOf } from './node-rule.js'
import { Counter, rangeOf, runsOf } from './points.js'

/** What one node costs on one rank. */
export interface NodeMeasure {
  readonly flops: bigint
  readonly read: bigint
  readonly written: bigint
}

/** Bytes and FLOPs of nodes, read off one program for one rank. */
export interface Meter {
  /** One execution; `step` is the iteration of the axis along which tensors grow (default 0). */
  node(node: OperatorNode, step?: number): NodeMeasure
  /** How many positions of each dim of a node this rank has. */
  sizes(node: OperatorNode, step?: number): (dim: string) => number
  /** All executions in one step of the program, at that place. */
  total(node: OperatorNode, place: Place): NodeMeasure
  /** Bytes of a tensor on this rank under a placement (default: its own). */
  bytes(tensor: Tensor, placement?: Placement): number
  /** Elements on this rank. */
  elements(tensor: Tensor, placement?: Placement): number
}

/** Makes the meter of one rank. Throws `RANK` when the mesh has no such rank. */
export function meterOf(program: Program, operators: OperatorTable, rank = 0): Meter {
  checkProgram(program, operators)
  return new RankMeter(program, operators, rank)
}

// Methods are compiled once, functions that each meter makes for itself again and again.
class RankMeter implements Meter {
  readonly at: ReadonlyMap<string, number>
  private readonly borders: FusionBorders
  private readonly counter: Counter
  private made: ReadonlySet<string> | undefined
  /** Of the node that was asked for last. */
  private last: NodeSizes | undefined

  constructor(
    readonly program: Program,
    private readonly operators: OperatorTable,
    private readonly rank: number,
  ) {
    this.at = coordinates(program.mesh, rank)
    this.borders = fusionBorders(program)
    this.counter = new Counter(program, this.at)
  }

  node(each: OperatorNode, step = 0): NodeMeasure {
    const { points, whole, read, written } = this.undivided(each, step)
    return { flops: whole === 1n ? points : points / whole, read, written }
  }

  sizes(each: OperatorNode, step = 0): (dim: string) => number {
    const sizes = this.sizesOf(each, step)
    return (dim) => sizes.own(dim)
  }

  total(each: OperatorNode, { executions, path }: Place): NodeMeasure {
    const steps = iterationsOf(path, changeAxis(each, this.program))
    const times = BigInt(executions / steps.length)
    // The density is a mean over iterations: only their sum is divided by it.
    const sum = { points: 0n, whole: 1n, read: 0n, written: 0n }
    for (const step of steps) {
      const one = this.undivided(each, step)
      sum.points += one.points * times
      sum.whole = one.whole
      sum.read += one.read * times
      sum.written += one.written * times
    }
    return { flops: sum.points / sum.whole, read: sum.read, written: sum.written }
  }

  bytes(tensor: Tensor, placement = tensor.placement): number {
    return this.elements(tensor, placement) * dataTypes[tensor.dtype]
  }

  elements({ density, dims, shape, placement: usual }: Tensor, placement = usual): number {
    const { mesh } = this.program
    const atomsAt = (position: number) => placement?.shards[position] ?? none
    const own = (position: number) => localSize(shape[position] ?? 1, atomsAt(position), mesh, this.at)
    if (!density) {
      let all = 1
      for (let position = 0; position < shape.length; position++) all *= own(position)
      return all
    }
    const sizes = { own: (dim: string) => own(dims.indexOf(dim)), atoms: (dim: string) => atomsAt(dims.indexOf(dim)) }
    const [points, of] = this.counter.count(dims, sizes, density)
    return Number(points) / Number(of)
  }

  private sizesOf(each: OperatorNode, step: number): NodeSizes {
    if (this.last?.node !== each || this.last.step !== step)
      this.last = new NodeSizes(each, step, ruleOf(each, this.operators), this)
    return this.last
  }

  /** FLOPs are `points` over `whole`, by which they are yet to be divided. */
  private undivided(each: OperatorNode, step: number): Undivided {
    if (each.kind === 'communication') return nothing
    const sizes = this.sizesOf(each, step)
    const { definition, pairs, flops, dims } = sizes.rule
    const [rest, of] = this.counter.count(dims, sizes, each.density, flops)
    const [paired, twice] = pairs ? this.pairsOf(each, pairs, sizes) : [1n, 1n]
    const points = pairs ? rest * paired : rest
    const whole = pairs ? of * twice : of
    const operand = (index: number) => this.operandBytes(sizes, index)
    const result = (index: number) => this.resultBytes(sizes, index)
    if (!definition.bytes)
      return { points, whole, read: sumOf(each.inputs, operand), written: sumOf(each.outputs, result) }
    const { loads: all } = this.program
    const loads = (dim: string) => {
      const list = all?.[dim]
      const mean = (list ?? []).reduce((sum, load) => sum + load, 0) / (list?.length ?? 1)
      const range = rangeOf(list?.length ?? 0, sizes.atoms(dim), this.program.mesh, this.at)
      return list?.slice(...range).map((load) => load / mean)
    }
    const size = (dim: string) => sizes.own(dim)
    const extent = (dim: string) => sizes.extent(dim)
    return { points, whole, ...definition.bytes(each, { operand, result, size, extent, loads }) }
  }

  private operandBytes(sizes: NodeSizes, index: number): bigint {
    const { node, rule } = sizes
    const border = this.borders.get(node.id)
    if (border && !border.inputs[index]) return 0n
    const own = lookup(this.program.tensors, node.inputs[index] ?? '')
    // Terms of gradients that another rank has are not there.
    if (own.role === 'gradient' && !this.isMade(own.id)) return 0n
    return this.local(own, rule.rule.operands[index], sizes)
  }

  private resultBytes(sizes: NodeSizes, index: number): bigint {
    const { node, rule } = sizes
    const border = this.borders.get(node.id)
    if (border && !border.outputs[index]) return 0n
    return this.local(lookup(this.program.tensors, node.outputs[index] ?? ''), rule.rule.results[index], sizes)
  }

  private local({ density, dtype }: Tensor, dims: readonly string[] = none, sizes: NodeSizes): bigint {
    const [points, of] = this.counter.count(dims, sizes, density, dataTypes[dtype])
    return of === 1n ? points : (points + of - 1n) / of
  }

  private isMade(id: string): boolean {
    this.made ??= madeOn(this.program, this.rank)
    return this.made.has(id)
  }

  /** The pairs of positions that count on this rank, over the second number. */
  private pairsOf(each: OperatorNode, pairs: Pairs, sizes: NodeSizes): readonly [bigint, bigint] {
    const { step } = sizes
    const [queries = [], keys] = pairs.dims.map((dim) =>
      runsOf(this.program, dim, sizes.extent(dim), sizes.atoms(dim), this.turned(each, dim, step)),
    )
    if (keys) return [pairs.count(queries, keys, step), 2n]
    // Dealt out one by one, keys of every age are with every rank.
    const [, dim] = pairs.dims
    const size = sizes.extent(dim)
    return [pairs.count(queries, [[0, size]], step) * BigInt(sizes.own(dim)), 2n * BigInt(size)]
  }

  /** The place of the rank whose shard of a dim this one holds: in a ring, one that stands before it. */
  private turned(each: OperatorNode, dim: string, step: number): ReadonlyMap<string, number> {
    const { mesh, tensors } = this.program
    const { operands } = parseRule(each.rule)
    for (const [index, id] of each.inputs.entries()) {
      const { rotation } = lookup(tensors, id)
      if (!rotation || operands[index]?.[rotation.position] !== dim) continue
      const behind = rotation.offset + (rotation.axis === undefined ? 0 : step)
      return coordinates(mesh, neighbour(mesh, this.rank, rotation.atoms, -behind))
    }
    return this.at
  }
}

interface Undivided {
  readonly points: bigint
  readonly whole: bigint
  readonly read: bigint
  readonly written: bigint
}

const nothing: Undivided = { points: 0n, whole: 1n, read: 0n, written: 0n }

const none: readonly string[] = []

/** The sizes of a node's dims: of all ranks together, and on one. */
class NodeSizes {
  private readonly known = new Map<string, number>()

  constructor(
    readonly node: OperatorNode,
    readonly step: number,
    readonly rule: NodeRule,
    private readonly of: RankMeter,
  ) {}

  atoms(dim: string): readonly string[] {
    return this.node.partition?.splits[dim] ?? none
  }

  extent(dim: string): number {
    const place = this.rule.sizes.get(dim)
    if (!place) return 1
    const own = lookup(this.of.program.tensors, place[0])
    return (this.step && own.growth ? grownShape(own, this.step) : own.shape)[place[1]] ?? 1
  }

  own(dim: string): number {
    const known = this.known.get(dim)
    if (known !== undefined) return known
    const found = localSize(this.extent(dim), this.atoms(dim), this.of.program.mesh, this.of.at)
    this.known.set(dim, found)
    return found
  }
}

/** Of tensors that stand in a list several times one. */
function sumOf(ids: readonly string[], of: (index: number) => bigint): bigint {
  return ids.reduce((total, id, index) => (ids.indexOf(id) === index ? total + of(index) : total), 0n)
}
