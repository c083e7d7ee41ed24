import type { Fact } from '../sources.js'

/** What arithmetic peaks and tensors are told apart by. */
export const dtypes = ['fp32', 'tf32', 'bf16', 'fp16', 'fp8', 'int8', 'fp4'] as const

/** A type of numbers that an accelerator multiplies in. */
export type Dtype = (typeof dtypes)[number]

/** An accelerator as it is written down here: every value with its source. */
export interface AcceleratorRecord {
  readonly name: string
  readonly vendor: string
  readonly peak: { readonly [dtype in Dtype]?: Fact }
  readonly vectorPeak?: Fact
  readonly exponentialPeak?: Fact
  readonly memoryBytes: Fact
  readonly memoryBandwidth: Fact
  readonly cacheBytes?: Fact
  readonly cores?: Fact
  readonly powerWatts?: Fact
  readonly perNode: Fact
  /** Names in `links`. */
  readonly scaleUp: string
  readonly scaleOut: string
  readonly nicSharedBy?: Fact
  readonly hostBandwidth?: Fact
}

/** A kind of link as it is written down here. */
export interface LinkRecord {
  readonly kind: string
  readonly bandwidth: Fact
  readonly efficiency: Fact
  readonly latency: Fact
  readonly perPeer?: Fact
  readonly torus?: boolean
  readonly reduction?: { readonly efficiency: Fact; readonly latency: Fact }
  readonly launch?: Fact
  readonly fill?: Fact
  readonly copyBandwidth?: Fact
}

/** A cluster as it is written down here. The last level is open: it holds as many units as a plan needs. */
export interface ClusterRecord {
  readonly name: string
  readonly accelerator: string
  readonly levels: readonly {
    readonly name: string
    readonly link: string
    /** Units of the level below in one of this; left out where open. */
    readonly fanOut?: Fact
    readonly sharedBy?: Fact
  }[]
}
