import type { OperatorNode } from '@shardloom/core'
import { type Block, elementsOf } from './block.js'
import { kernelError } from './interpret-errors.js'

/**
 * What a kernel returned as blocks, one per result. Plugins bring kernels, so that nothing of what they return is taken for
 * granted: throws `KERNEL` when it is not a list of arrays with the elements that the results have on this rank.
 */
export function resultBlocks(
  node: OperatorNode,
  returned: unknown,
  positions: readonly (readonly Int32Array[])[],
  rank: number,
): readonly Block[] {
  if (!Array.isArray(returned)) throw kernelError(node, `it returns ${kindOf(returned)}, not a list of results`)
  if (returned.length !== positions.length)
    throw kernelError(
      node,
      `it returns ${returned.length} results, but its rule \`${node.rule}\` has ${positions.length}`,
    )
  return positions.map((own, index): Block => {
    const result: unknown = returned[index]
    if (result instanceof Float64Array)
      return { positions: own, values: checked(node, `result ${index}`, result, own, rank) }
    const { values, logSumExp } = fieldsOf(result)
    const block = { positions: own, values: checked(node, `result ${index}`, values ?? result, own, rank) }
    const rows = checked(node, `\`logSumExp\` of result ${index}`, logSumExp, own.slice(0, -1), rank)
    return { ...block, logSumExp: rows }
  })
}

function fieldsOf(result: unknown): { values?: unknown; logSumExp?: unknown } {
  return typeof result === 'object' && result !== null && !Array.isArray(result) && !ArrayBuffer.isView(result)
    ? result
    : {}
}

function checked(
  node: OperatorNode,
  what: string,
  found: unknown,
  positions: readonly Int32Array[],
  rank: number,
): Float64Array {
  const shape = positions.map((each) => each.length).join('×') || 'a scalar'
  if (!(found instanceof Float64Array)) throw kernelError(node, `${what} is ${kindOf(found)}, not a Float64Array`)
  if (found.length === elementsOf(positions)) return found
  throw kernelError(node, `${what} has ${found.length} elements, but its shape on rank ${rank} is ${shape}`)
}

function kindOf(value: unknown): string {
  if (value === null || typeof value !== 'object') return String(value)
  const name = value.constructor?.name ?? 'object'
  return `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}`
}
