import type { Accelerator } from '@shardloom/cluster'
import type { PlannedSpec } from './sequence.js'

/** Types of 16 bits, which matrix units of most accelerators multiply equally fast. */
const like = { bf16: 'fp16', fp16: 'bf16' } as const

/** Says where products run in a type of 16 bits of which the accelerator has no peak, so that the other's stands in for it. */
export function standInPeak({ name, peak }: Accelerator, { options }: PlannedSpec): string[] {
  const types = new Set<string>([options.dtype, options.linearDtype ?? options.dtype])
  return (['bf16', 'fp16'] as const).flatMap((dtype) => {
    const other = like[dtype]
    if (!types.has(dtype) || peak[dtype] !== undefined || peak[other] === undefined) return []
    return [
      `no peak of \`${name}\` is known in ${dtype}: that in ${other} stands in for it; --dtype ${other} is what it names`,
    ]
  })
}
