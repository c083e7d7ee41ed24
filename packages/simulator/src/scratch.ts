import { lookup, type OperatorNode, type Program } from '@shardloom/core'
import type { Meter } from './meter.js'

/**
 * Bytes that a node holds beside its tensors while it runs, for each element of its first result: its attribute `scratch`; where ranks
 * divide the last dim of that, `scratchDivided`.
 */
export function scratchOf({ attributes, outputs: [id] }: OperatorNode, { tensors }: Program, meter: Meter): number {
  if (attributes?.['scratch'] === undefined || id === undefined) return 0
  const tensor = lookup(tensors, id)
  const isDivided = (tensor.placement?.shards.at(-1)?.length ?? 0) > 0
  const bytes = attributes[isDivided ? 'scratchDivided' : 'scratch'] ?? attributes['scratch']
  return typeof bytes === 'number' ? bytes * meter.elements(tensor) : 0
}
