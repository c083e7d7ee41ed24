import type { Plugin } from '@shardloom/core'
import { dataParallel } from '@shardloom/strategy-dp'
import { expertParallel } from '@shardloom/strategy-ep'
import { pipelineParallel } from '@shardloom/strategy-pp'
import { sequenceParallel } from '@shardloom/strategy-sp'
import { tensorParallel } from '@shardloom/strategy-tp'
import type { Spec } from './spec-schema.js'

/** The strategies that are always there, made with the options of a spec. */
export function builtInStrategies({ options, parallel }: Pick<Spec, 'options' | 'parallel'>): readonly Plugin[] {
  return [
    tensorParallel(options.tp),
    dataParallel({ ...options.dp, zero: options.zero, dpReplicate: parallel.dpReplicate }),
    sequenceParallel({ ...options.sp, tensorRanks: options.sequenceParallel }),
    expertParallel(options.ep),
    pipelineParallel({
      ...options.pp,
      ...(options.schedule !== undefined && { schedule: options.schedule }),
      ...(options.virtual !== undefined && { virtual: options.virtual }),
    }),
  ]
}
