import { bodyAt, lookup, type OperatorNode, type Place, type Program, type Tensor } from '@shardloom/core'

/** The axis along which what a node reads or writes grows, or goes round a ring; undefined: all iterations are alike. */
export function changeAxis(node: OperatorNode, { tensors }: Program): string | undefined {
  const all = [...node.inputs, ...node.outputs].map((id) => lookup(tensors, id))
  return (all.find(({ growth }) => growth)?.growth ?? all.find(({ rotation }) => rotation?.axis)?.rotation)?.axis
}

/** The iterations of an axis in which the items of a body run; without such an axis around them, one. */
export function iterationsOf(path: Place['path'], axis: string | undefined): readonly number[] {
  const around = path.find(({ region }) => region.axis === axis)
  if (!around) return [0]
  const all = Array.from({ length: around.region.extent }, (_, iteration) => iteration)
  const own = all.filter((iteration) => bodyAt(around.region, iteration) === around.body)
  return own.length > 0 ? own : [0]
}

/** The shape of a growing tensor in iteration `step` of its axis. */
export function grownShape(tensor: Tensor, step: number): readonly number[] {
  const { growth, shape } = tensor
  if (!growth) return shape
  return shape.map((size, position) => {
    if (position !== growth.position) return size
    return Math.max(size, Math.min(size + growth.by * step, growth.limit ?? Number.POSITIVE_INFINITY))
  })
}
