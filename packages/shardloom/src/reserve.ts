/** Bytes of a device that no tensor of a plan gets, and where the figure comes from. */
export interface Reserve {
  readonly bytes: number
  readonly source: string
}

/** Context, allocator and what is not counted; the buffers of the communication library among 2 ranks, and among more. */
const usual = { other: 3_758_096_384, communication: { two: 358_612_992, more: 411_041_792 } } as const

/**
 * What is kept free: as the spec says, or what NVIDIA's configurator of inference keeps, which started from 551 MB and was raised
 * to 3.5 GiB for safety.
 */
export function reserveOf(given: number | undefined, world: number): Reserve {
  if (given !== undefined) return { bytes: given, source: 'the spec' }
  const { two, more } = usual.communication
  return {
    bytes: usual.other + (world > 2 ? more : world === 2 ? two : 0),
    source:
      'github.com/ai-dynamo/aiconfigurator, systems/*.yaml at 66a01e1e8b3d: other_mem (3.5 GiB for context, allocator and what is not counted) and nccl_mem',
  }
}
