import type { KernelContext, OperatorDefinition } from '@shardloom/core'
import type { Iterations } from './iterations.js'
import type { Prepared } from './shapes.js'

/** What a kernel may ask for when it runs on a rank. Its questions throw when the operator's rule or definition does not cover them. */
export function kernelContext(
  { node, spaces, extents }: Prepared,
  rule: KernelContext['rule'],
  { index }: OperatorDefinition,
  rank: number,
  iterations: Iterations,
): KernelContext {
  const known = (size: number | undefined, dim: string) => {
    if (size === undefined)
      throw new Error(`it asks for the dim \`${dim}\`, which its rule \`${node.rule}\` does not have`)
    return size
  }
  const space = spaces[rank]
  return {
    node,
    rule,
    size: (dim) => known(space?.get(dim)?.length, dim),
    extent: (dim) => known(extents.get(dim), dim),
    positions: (dim) => {
      if (index?.includes(dim)) return space?.get(dim) ?? new Int32Array()
      throw new Error(`it reads the positions of \`${dim}\`, which its definition's \`index\` does not name`)
    },
    iteration: (axis) => iterations.get(axis) ?? 0,
  }
}
