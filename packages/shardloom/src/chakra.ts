import { type ChakraOptions, type ChakraTraces, chakraTraces } from '@shardloom/exporters/chakra'
import type { LoadedSpec, Plan } from './plan.js'
import { machineOfSpec, timedPlan } from './simulate-plan.js'

export type { ChakraOptions, ChakraTraces }

/** The traces of a spec, and the plan that they hold. */
export interface TracedPlan extends ChakraTraces {
  readonly plan: Plan
}

/**
 * Plans a loaded spec and writes it down as execution traces of MLCommons Chakra (see `chakraTraces`). Causal attention has the
 * FLOPs of what kernels compute, as in `simulate`; where the spec names a cluster, compute nodes have their durations there. Throws
 * what planning throws, and `CHAKRA`.
 */
export function traceLoaded(loaded: LoadedSpec, options: Omit<ChakraOptions, 'machine'> = {}): TracedPlan {
  const plan = timedPlan(loaded)
  const machine = plan.cluster && machineOfSpec(loaded, plan)
  return { plan, ...chakraTraces(plan.program, plan.operators, { ...options, ...(machine && { machine }) }) }
}
