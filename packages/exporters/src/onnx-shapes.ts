import { coordinates, localSize, type Placement, type Program, type Tensor } from '@shardloom/core'
import { grownShape } from '@shardloom/simulator'
import { type Iterations, shardPositions } from '@shardloom/testing'
import type { Extent, ValueType } from './onnx-schema.js'

type Shards = Placement['shards']

/** What one rank has of tensors. Dims that may have any size have names, such as `batch`, or `seq/tp` where ranks share it. */
export class LocalShapes {
  /** The sizes that dims with names have in the plan. */
  readonly planned = new Map<string, number>()
  private readonly at: ReadonlyMap<string, number>
  private readonly symbolic: ReadonlySet<string>

  constructor(
    private readonly program: Program,
    rank: number,
  ) {
    this.at = coordinates(program.mesh, rank)
    // With a cache that grows, nodes count from the position at which it ends.
    const grows = [...program.tensors.values()].some(({ growth }) => growth)
    this.symbolic = new Set(grows ? ['batch'] : ['batch', 'seq', 'kv_seq'])
  }

  /** The type of what the rank holds of a tensor in an iteration; with `shards`, of what it would hold. */
  type(tensor: Tensor, iterations: Iterations, shards = shardsOf(tensor)): ValueType {
    const sizes = this.sizes(tensor, iterations, shards)
    const shape = sizes.map((size, position): Extent => {
      const dim = tensor.dims[position] ?? ''
      if (!this.symbolic.has(dim)) return size
      const name = [dim, ...(shards[position] ?? [])].join('/')
      this.planned.set(name, size)
      return name
    })
    return { dtype: tensor.dtype, shape }
  }

  /** How many positions of each dim the rank holds. */
  sizes(tensor: Tensor, iterations: Iterations, shards = shardsOf(tensor)): number[] {
    return this.extents(tensor, iterations).map((size, position) =>
      localSize(size, shards[position] ?? [], this.program.mesh, this.at),
    )
  }

  /** How many positions each dim has over all ranks. */
  extents(tensor: Tensor, iterations: Iterations): readonly number[] {
    return grownShape(tensor, iterations.get(tensor.growth?.axis ?? '') ?? 0)
  }

  /** The positions of a dim that the rank has when atoms share it. */
  positions(dim: string | undefined, size: number, atoms: readonly string[]): Int32Array {
    const { mesh, layouts } = this.program
    return shardPositions(size, atoms, mesh, this.at, { layouts, dim })
  }
}

/** The atoms that share each position of a tensor. */
export function shardsOf({ placement, dims }: Tensor): Shards {
  return placement?.shards ?? dims.map(() => [])
}

/** Runs of positions that follow each other: from the first up to, but without, the second. */
export function runsOf(positions: ArrayLike<number>): [from: number, to: number][] {
  const runs: [number, number][] = []
  for (let index = 0; index < positions.length; index++) {
    const position = positions[index] ?? 0
    const last = runs.at(-1)
    if (last && last[1] === position) last[1]++
    else runs.push([position, position + 1])
  }
  return runs
}
