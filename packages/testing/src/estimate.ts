import {
  dataTypes,
  dimSizes,
  groupSize,
  lookup,
  type Program,
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
  let points = 0
  walk(program.items, (node, { executions }) => {
    let local = executions * mesh.world
    for (const [dim, size] of dimSizes(node, tensor))
      local *= Math.ceil(size / groupSize(mesh, node.partition?.splits[dim] ?? []))
    points += local
  })
  const extents = new Map(regionsOf(program.items).map((region) => [region.axis, region.extent]))
  const bytes = [...program.tensors.values()].reduce((sum, each) => sum + heldBytes(each, program, extents), 0)
  return { points, bytes }
}

function heldBytes(tensor: Tensor, { mesh }: Program, extents: ReadonlyMap<string, number>): number {
  const local = tensor.shape.reduce(
    (count, size, position) => count * Math.ceil(size / groupSize(mesh, tensor.placement?.shards[position] ?? [])),
    dataTypes.fp64 * mesh.world,
  )
  return tensor.per.reduce((bytes, axis) => bytes * (extents.get(axis) ?? 1), local)
}

/** Refuses a program that would take too long or too much memory. Throws `INTERPRET_SIZE` with the estimate. */
export function refuseLarge(program: Program, limit: Estimate): void {
  const { points, bytes } = estimate(program)
  if (points <= limit.points && bytes <= limit.bytes) return
  const amount = (value: number) => value.toExponential(1)
  throw new ShardloomError(
    'INTERPRET_SIZE',
    `Running \`${program.name}\` on ${program.mesh.world} virtual ranks would take about ${amount(points)} points of iteration spaces and ${amount(bytes)} bytes; the limits are ${amount(limit.points)} and ${amount(limit.bytes)}.`,
    { help: 'Prove it with small dims: the same layers and degrees need only a few elements along each dim.' },
  )
}
