import type { KernelContext } from '@shardloom/core'

/**
 * For each point of `dims`, in row-major order, its offset in a block with the dims `own`. Dims that the block lacks are
 * broadcast; those that it has beside `dims` stand at their first position.
 */
export function offsets(
  dims: readonly string[],
  own: readonly string[],
  size: (dim: string) => number,
): Int32Array<ArrayBuffer> {
  const strides = new Map<string, number>()
  let stride = 1
  for (const dim of [...own].reverse()) {
    strides.set(dim, stride)
    stride *= size(dim)
  }
  const table = new Int32Array(countOf(dims, size))
  let filled = table.length > 0 ? 1 : 0
  // Each dim, innermost first, repeats what is filled so far at its own stride.
  for (const dim of [...dims].reverse()) {
    const step = strides.get(dim) ?? 0
    const [count, block] = [size(dim), filled]
    for (let index = 1; index < count && filled > 0; index++) {
      const shift = index * step
      for (let place = 0; place < block; place++) table[filled++] = (table[place] ?? 0) + shift
    }
  }
  return table
}

/** How many points `dims` have. */
export function countOf(dims: readonly string[], size: (dim: string) => number): number {
  return dims.reduce((count, dim) => count * size(dim), 1)
}

/** A block of zeros for result `index` of a rule. */
export function zeros({ rule, size }: KernelContext, index = 0): Float64Array {
  return new Float64Array(countOf(rule.results[index] ?? [], size))
}

/** The dims of a rule's operand, those that its kernel goes through one by one and those that it takes whole. */
export function rowsOf(dims: readonly string[], isInner: (dim: string) => boolean) {
  return { outer: dims.filter((dim) => !isInner(dim)), inner: dims.filter(isInner) }
}

/** A number among the attributes of a node. */
export function numberOf({ node }: KernelContext, name: string): number | undefined {
  const value = node.attributes?.[name]
  return typeof value === 'number' ? value : undefined
}
