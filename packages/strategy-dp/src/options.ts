import { type DataType, type Phase, type Selector, ShardloomError } from '@shardloom/core'

/**
 * When gradients are reduced: in every microbatch, once per step, or over the shards in every microbatch and over the
 * replicas of hybrid sharding once per step.
 */
export type ReduceGradients = 'microbatch' | 'shards' | 'step'

/** When parameters are gathered: at every use, once per microbatch, or once per step. */
export type GatherParameters = 'use' | 'keep' | 'step'

/** Options of {@link dataParallel}. */
export interface DataParallelOptions {
  /** The operators that it applies to; default all. */
  readonly where?: Selector
  /**
   * What ranks divide among them instead of holding all of it each: nothing (0, default), the optimizer's state (1), the
   * gradients too (2), the parameters too (3). These are the stages of ZeRO; 3 is fully sharded data parallelism.
   */
  readonly zero?: number
  /** Hybrid sharding: groups of `dp` ranks that each hold all of what `zero` divides inside of them. Default 1. */
  readonly dpReplicate?: number
  /**
   * With `zero: 3`: whether backward gathers a parameter again (`use`, default) or finds what forward of its microbatch
   * gathered (`keep`), or all microbatches find what was gathered before the first of them (`step`).
   */
  readonly gather?: GatherParameters
  /** Default: `step` below `zero: 2`, from there on `shards`. */
  readonly reduce?: ReduceGradients
  /** The type in which gradients are summed over ranks; default: the one that they are accumulated in. */
  readonly reduceDtype?: DataType
  /** Bytes of gradients from which on a bucket is full, whose reductions run as one; default: each runs alone. */
  readonly bucket?: number
  /**
   * With `zero: 3`: how many layers ahead of the one at work parameters may be gathered; 0 gathers a layer's own when the
   * layer before it is done. Default: 1 where they are gathered at every use, as FSDP does (Zhao et al. 2023, section 3.4).
   */
  readonly prefetch?: number
}

/** Options with their defaults, none of which contradict each other. */
export interface Storage {
  readonly where: Selector | undefined
  readonly zero: number
  readonly dpReplicate: number
  readonly gather: GatherParameters
  readonly reduce: ReduceGradients
  readonly reduceDtype: DataType | undefined
  readonly bucket: number | undefined
  readonly prefetch: number | undefined
}

/** Fills in the defaults. Throws `OPTION` for options that contradict each other or would change nothing, both named. */
export function storageOf(options: DataParallelOptions): Storage {
  const { zero = 0, dpReplicate = 1, gather = 'use', where, bucket, prefetch, reduceDtype } = options
  const reduce = options.reduce ?? (zero >= 2 ? 'shards' : 'step')
  const refuse = (subject: string, why: string, help: string) => {
    throw new ShardloomError('OPTION', `\`${subject}\` and \`zero: ${zero}\` contradict each other: ${why}.`, {
      subject: 'dp',
      help,
    })
  }
  if (![0, 1, 2, 3].includes(zero))
    throw new ShardloomError('OPTION', `\`zero\` is ${zero}.`, { subject: 'dp', help: 'Use 0, 1, 2 or 3.' })
  if (dpReplicate > 1 && zero === 0)
    refuse(
      `dpReplicate: ${dpReplicate}`,
      'nothing is divided, so that all ranks are replicas',
      'Use `zero: 3`, or 1 or 2.',
    )
  if (gather !== 'use' && zero < 3)
    refuse(
      `gather: ${gather}`,
      'no parameter is divided, so that none is gathered',
      'Use `zero: 3`, or leave `gather` out.',
    )
  if (gather === 'step' && prefetch !== undefined) {
    const message = `\`gather: step\` and \`prefetch: ${prefetch}\` contradict each other: all layers are gathered before the first of them runs.`
    throw new ShardloomError('OPTION', message, { subject: 'dp', help: 'Leave one of them out.' })
  }
  if (reduce === 'shards' && zero < 2)
    refuse('reduce: shards', 'no gradient is divided', 'Use `zero: 2` or `zero: 3`, or leave `reduce` out.')
  if (reduce === 'microbatch' && zero === 1)
    refuse('reduce: microbatch', 'reduced in every microbatch, gradients are divided too', 'That is `zero: 2`.')
  if (reduce === 'step' && zero === 2)
    refuse('reduce: step', 'gradients that are reduced once per step are whole until then', 'That is `zero: 1`.')
  if (bucket !== undefined && !(Number.isSafeInteger(bucket) && bucket > 0))
    throw new ShardloomError('OPTION', `\`bucket\` is ${bucket}.`, {
      subject: 'dp',
      help: 'Give it bytes, such as 25000000.',
    })
  if (prefetch !== undefined && !(Number.isSafeInteger(prefetch) && prefetch >= 0))
    throw new ShardloomError('OPTION', `\`prefetch\` is ${prefetch}.`, {
      subject: 'dp',
      help: 'Give it a number of layers, such as 1.',
    })
  if (prefetch !== undefined && zero < 3)
    refuse(
      `prefetch: ${prefetch}`,
      'no parameter is divided, so that none is gathered',
      'Use `zero: 3`, or leave `prefetch` out.',
    )
  const ahead = zero === 3 && gather === 'use' ? 1 : undefined
  return { where, zero, dpReplicate, gather, reduce, reduceDtype, bucket, prefetch: prefetch ?? ahead }
}

/** Throws `OPTION` where an option concerns gradients or optimizer state, which the phase has not. */
export function trainingOnly(name: string, value: string | number, phase: Phase): void {
  if (phase === 'training') return
  const message = `\`${name}\` is ${value}, but only training has gradients and optimizer state; the phase is ${phase}.`
  throw new ShardloomError('OPTION', message, { subject: name, help: `Leave \`${name}\` out.` })
}
