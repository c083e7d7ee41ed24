import type { Plugin } from '@shardloom/core'
import { dataParallel } from '@shardloom/strategy-dp'
import { expertParallel } from '@shardloom/strategy-ep'
import { pipelineParallel } from '@shardloom/strategy-pp'
import { sequenceParallel } from '@shardloom/strategy-sp'
import { tensorParallel } from '@shardloom/strategy-tp'
import type { Spec } from './spec-schema.js'

/** The strategies that are always there, made with the options of a spec; `csv` is the schedule that it names as a file. */
export function builtInStrategies(
  { options, parallel }: Pick<Spec, 'options' | 'parallel'>,
  csv?: string,
): readonly Plugin[] {
  const named = options.schedule === undefined ? {} : { schedule: options.schedule }
  return [
    tensorParallel(options.tp),
    dataParallel({ ...options.dp, zero: options.zero, dpReplicate: parallel.dpReplicate }),
    sequenceParallel({ ...options.sp, tensorRanks: options.sequenceParallel }),
    expertParallel(options.ep),
    pipelineParallel({
      ...options.pp,
      ...(csv === undefined ? named : { csv }),
      ...(options.virtual !== undefined && { virtual: options.virtual }),
    }),
  ]
}
