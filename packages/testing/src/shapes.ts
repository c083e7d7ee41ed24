import { dimSizes, lookup, type OperatorNode, type Program, type Tensor } from '@shardloom/core'
import { shardPositions } from './block.js'
import type { Iterations } from './interpret.js'

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
    const growing = [...node.inputs, ...node.outputs].flatMap((id) => {
      const axis = lookup(this.program.tensors, id).growth?.axis
      return axis === undefined ? [] : [iterations.get(axis) ?? 0]
    })
    const key = growing.length === 0 ? node.id : `${node.id}@${growing[0]}`
    const known = this.prepared.get(key)
    if (known?.node === node) return known
    const extents = dimSizes(node, (id) => this.current(id, iterations))
    const splits = node.partition?.splits ?? {}
    const spaces = this.ranks.map(
      (at) =>
        new Map(
          [...extents].map(([dim, size]) => [dim, shardPositions(size, splits[dim] ?? [], this.program.mesh, at)]),
        ),
    )
    const prepared = { node, spaces, extents }
    this.prepared.set(key, prepared)
    return prepared
  }
}
