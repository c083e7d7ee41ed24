import {
  dimSizes,
  lookup,
  neighbour,
  type OperatorNode,
  type Program,
  parseRule,
  type Rotation,
  type Tensor,
} from '@shardloom/core'
import { shardPositions } from './block.js'
import type { Iterations } from './iterations.js'

/** A node with everything that does not change from execution to execution. */
export interface Prepared {
  readonly node: OperatorNode
  /** Per rank, the positions of each dim of the node's iteration space. */
  readonly spaces: readonly ReadonlyMap<string, Int32Array>[]
  readonly extents: ReadonlyMap<string, number>
}

/** The sizes of tensors, which may grow from iteration to iteration, and the shares that ranks have of them. */
export class Shapes {
  private readonly prepared = new Map<string, Prepared>()
  private readonly moving = new Map<OperatorNode, readonly string[]>()

  constructor(
    private readonly program: Program,
    private readonly ranks: readonly ReadonlyMap<string, number>[],
  ) {}

  /** The tensor with the shape that it has grown to. */
  current(id: string, iterations: Iterations): Tensor {
    const tensor = lookup(this.program.tensors, id)
    const { growth, shape } = tensor
    if (!growth) return tensor
    const { position, axis, by, limit = Number.POSITIVE_INFINITY } = growth
    const grown = (size: number) => Math.max(size, Math.min(limit, size + by * (iterations.get(axis) ?? 0)))
    return { ...tensor, shape: shape.map((size, dim) => (dim === position ? grown(size) : size)) }
  }

  /** A node prepared for an iteration. */
  prepare(node: OperatorNode, iterations: Iterations): Prepared {
    const axes = this.moving.get(node) ?? this.axesOf(idsOf(node))
    this.moving.set(node, axes)
    const key = axes.length === 0 ? node.id : `${node.id}@${axes.map((axis) => iterations.get(axis) ?? 0)}`
    const known = this.prepared.get(key)
    if (known?.node === node) return known
    const extents = dimSizes(node, (id) => this.current(id, iterations))
    const splits = node.partition?.splits ?? {}
    const rule = parseRule(node.rule)
    const turns = new Map<string, Rotation>()
    const ids = idsOf(node)
    for (const [index, dims] of [...rule.operands, ...rule.results].entries()) {
      const { rotation } = lookup(this.program.tensors, ids[index] ?? '')
      const dim = dims[rotation?.position ?? -1]
      if (rotation && dim !== undefined) turns.set(dim, rotation)
    }
    const spaces = this.ranks.map(
      (_, rank) =>
        new Map(
          [...extents].map(([dim, size]) => {
            return [dim, this.share(size, splits[dim] ?? [], dim, this.home(turns.get(dim), rank, iterations))]
          }),
        ),
    )
    const prepared = { node, spaces, extents }
    this.prepared.set(key, prepared)
    return prepared
  }

  /** The axes along which tensors grow or go round. */
  private axesOf(ids: readonly string[]): string[] {
    return ids.flatMap((id) => {
      const { growth, rotation } = lookup(this.program.tensors, id)
      return [growth?.axis, rotation?.axis].flatMap((axis) => axis ?? [])
    })
  }

  /** The positions of a tensor that a rank holds: those that its placement gives to it, or to the rank that they come from. */
  held({ shape, dims, placement, rotation }: Tensor, rank: number, iterations: Iterations): Int32Array[] {
    return shape.map((size, position) => {
      const turn = rotation?.position === position ? rotation : undefined
      return this.share(size, placement?.shards[position] ?? [], dims[position], this.home(turn, rank, iterations))
    })
  }

  private share(size: number, atoms: readonly string[], dim: string | undefined, rank: number): Int32Array {
    const { mesh, layouts } = this.program
    return shardPositions(size, atoms, mesh, this.ranks[rank] ?? new Map(), { layouts, dim })
  }

  /** The rank whose shard a rank holds of a tensor that goes round. */
  private home(rotation: Rotation | undefined, rank: number, iterations: Iterations): number {
    if (!rotation) return rank
    const { atoms, axis, offset } = rotation
    return neighbour(this.program.mesh, rank, atoms, -offset - (axis === undefined ? 0 : (iterations.get(axis) ?? 0)))
  }
}

const idsOf = ({ inputs, outputs }: OperatorNode) => [...inputs, ...outputs]
