import type { PlannedSpec } from './sequence.js'

type Options = PlannedSpec['options']

/** What numbers of a plan depend on by convention or choice; those that may be absent are there where they are at work. */
export interface Conventions {
  readonly attention: string
  readonly causal: string
  readonly dtype: string
  readonly uneven: string
  /** What ranks of `dp` divide (ZeRO's stage), and how many of their groups hold all of it. */
  readonly zero: number
  readonly dpReplicate: number
  /** Training: the type that gradients are accumulated in. */
  readonly gradientDtype?: string
  /** Training: where the loss is not one kernel. */
  readonly loss?: 'materialised'
  /** Training, and inference where it is not `reduce`: of tensor parallelism. */
  readonly keyValueGradients?: string
  /** Training: what backward computes again, in the words of the spec. */
  readonly recompute?: Options['recompute']
  /** Training: what waits in host memory, in the words of the spec. */
  readonly offload?: Options['offload']
  /** How tokens are spread over experts: `even`, `power law 1`, `counted`. */
  readonly tokens: string
  /** Training: the type in which gradients are summed over ranks. */
  readonly reduceDtype?: string
  /** Training: when they are, where not as usual for the stage of ZeRO. */
  readonly reduce?: string
  /** ZeRO 3: when parameters are gathered, where not at each use; how many layers ahead, where that is bound. */
  readonly gather?: string
  readonly prefetch?: number
  /** Bytes of gradients from which on a bucket of reductions is full. */
  readonly bucket?: number
  /** Whether ranks of `tp` split the sequence where they split nothing else. */
  readonly sequenceParallel?: true
  /** With `cp`: how ranks come by the keys and values of others, and how they share positions. */
  readonly contextAttention?: string
  readonly positions?: string
  /** Parts in which matmuls run beside collectives of `tp`. */
  readonly overlap?: number
  /** Which layers run their batch as two halves. */
  readonly interleave?: string
  readonly barriers?: true
  /** Of experts: how tokens reach them, copies of some, room over the even share. */
  readonly dispatch?: string
  /** Where matrices of layers, or the KV cache, are stored in another type. */
  readonly weightDtype?: string
  readonly cacheDtype?: string
  readonly redundant?: number
  readonly capacityFactor?: number
}

/** The conventions of a spec. */
export function conventionsOf({ options, parallel, phase }: PlannedSpec): Conventions {
  const { tp, dp, sp, ep, zero, interleave } = options
  const training = phase === 'training'
  const keyValueGradients = tp.keyValueGradients ?? 'reduce'
  const prefetch = dp.prefetch ?? (zero === 3 && (dp.gather ?? 'use') === 'use' ? 1 : undefined)
  return {
    attention: options.attention,
    causal: options.causal,
    dtype: options.dtype,
    ...(training && { gradientDtype: options.gradientDtype }),
    ...(options.loss === 'materialised' && { loss: options.loss }),
    ...(options.weightDtype !== undefined && { weightDtype: options.weightDtype }),
    ...(options.cacheDtype !== undefined && { cacheDtype: options.cacheDtype }),
    uneven: options.uneven,
    zero,
    dpReplicate: parallel.dpReplicate,
    ...((training || keyValueGradients !== 'reduce') && { keyValueGradients }),
    ...(training && { recompute: options.recompute, offload: options.offload }),
    tokens: tokensText(ep.tokens),
    ...(training && { reduceDtype: dp.reduceDtype ?? options.gradientDtype }),
    ...(training && dp.reduce !== undefined && dp.reduce !== (zero >= 2 ? 'shards' : 'step') && { reduce: dp.reduce }),
    ...(dp.gather !== undefined && dp.gather !== 'use' && { gather: dp.gather }),
    ...(prefetch !== undefined && { prefetch }),
    ...(dp.bucket !== undefined && { bucket: dp.bucket }),
    ...(options.sequenceParallel && { sequenceParallel: true as const }),
    ...(parallel.cp > 1 && {
      contextAttention: sp.attention ?? 'gather',
      positions: sp.positions ?? 'zigzag',
    }),
    ...(tp.overlap !== undefined && { overlap: tp.overlap }),
    ...(interleave !== 'none' && { interleave }),
    ...(options.barriers && { barriers: true as const }),
    ...(ep.dispatch !== undefined && ep.dispatch !== 'all-to-all' && { dispatch: ep.dispatch }),
    ...(ep.redundant !== undefined && ep.redundant > 0 && { redundant: ep.redundant }),
    ...(ep.capacityFactor !== undefined && { capacityFactor: ep.capacityFactor }),
  }
}

function tokensText(tokens: Options['ep']['tokens']): string {
  if (!tokens) return 'even'
  return 'powerLaw' in tokens ? `power law ${tokens.powerLaw}` : 'counted'
}
