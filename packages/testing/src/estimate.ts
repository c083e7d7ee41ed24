import {
  bodyCounts,
  dataTypes,
  dimSizes,
  groupSize,
  lookup,
  type Program,
  pipelineAtoms,
  type Region,
  regionsOf,
  ShardloomError,
  type Tensor,
  walk,
} from '@shardloom/core'

/** What interpreting a program would take. */
export interface Estimate {
  /** Points of iteration spaces over all nodes, executions and ranks. */
  readonly points: number
  /** Bytes of all tensors on all ranks in float64, none of which is freed. */
  readonly bytes: number
}

/** What the interpreter accepts unless it is told otherwise: some ten seconds and a gigabyte. */
export const defaultLimit: Estimate = { points: 1e9, bytes: 1e9 }

/** What interpreting a program would take, from its rolled form: O(nodes + tensors). */
export function estimate(program: Program): Estimate {
  const { mesh } = program
  const tensor = (id: string) => lookup(program.tensors, id)
  // Of the ranks of a pipeline each runs its own layers.
  const ranks = mesh.world / groupSize(mesh, pipelineAtoms(program))
  let points = 0
  walk(program.items, (node, { executions }) => {
    let local = executions * ranks
    for (const [dim, size] of dimSizes(node, tensor))
      local *= Math.ceil(size / groupSize(mesh, node.partition?.splits[dim] ?? []))
    points += local
  })
  const regions = regionsOf(program.items)
  const bytes = [...program.tensors.values()].reduce((sum, each) => sum + heldBytes(each, program, regions, ranks), 0)
  return { points, bytes }
}

function heldBytes(tensor: Tensor, { mesh }: Program, regions: readonly Region[], ranks: number): number {
  const local = tensor.shape.reduce(
    (count, size, position) => count * Math.ceil(size / groupSize(mesh, tensor.placement?.shards[position] ?? [])),
    dataTypes.fp64 * ranks,
  )
  return tensor.per.reduce((bytes, axis) => {
    const region = regions.find((each) => each.axis === axis)
    const body = region?.bodies.findIndex((each) => each.name === tensor.body) ?? -1
    return bytes * (region ? (bodyCounts(region)[body] ?? region.extent) : 1)
  }, local)
}

/** Refuses a program that would take too long or too much memory. Throws `INTERPRET_SIZE` with the estimate. */
export function refuseLarge(program: Program, limit: Estimate): void {
  const { points, bytes } = estimate(program)
  if (points <= limit.points && bytes <= limit.bytes) return
  const amount = (value: number) => value.toExponential(1)
  throw new ShardloomError(
    'INTERPRET_SIZE',
    `Running \`${program.name}\` on ${program.mesh.world} virtual ${program.mesh.world === 1 ? 'rank' : 'ranks'} would take about ${amount(points)} points of iteration spaces and ${amount(bytes)} bytes; the limits are ${amount(limit.points)} and ${amount(limit.bytes)}.`,
    { help: 'Use smaller dims, where a few elements of each are enough, fewer layers, or lower degrees.' },
  )
}
