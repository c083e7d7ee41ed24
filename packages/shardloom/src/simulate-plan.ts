import {
  type Engine,
  type Machine,
  machineOf,
  memory,
  type RankMemory,
  simulate,
  type Timeline,
  usualEngine,
} from '@shardloom/simulator'
import { clusterOf } from './cluster-of.js'
import { type LoadedSpec, type Plan, planLoaded } from './plan.js'

/** What a simulation may be told beside the spec. */
export interface SimulateOptions {
  /** What of a system the graph leaves open; default {@link usualEngine}. */
  readonly engine?: Partial<Engine>
}

/** A plan in time on a cluster. */
export interface Simulation {
  readonly loaded: LoadedSpec
  /** The plan that counts FLOPs as the spec says. */
  readonly plan: Plan
  /** The plan that was run, whose causal FLOPs are those of kernels. */
  readonly timed: Plan
  readonly machine: Machine
  readonly timeline: Timeline
  /** Of each rank that was run. */
  readonly memory: readonly RankMemory[]
}

/**
 * Plans a loaded spec and runs one step of it in time. Causal attention takes the time of what kernels compute, half of the
 * pairs in fused ones and all in materialised ones, whatever the spec says of how FLOPs count.
 */
export function simulateLoaded(loaded: LoadedSpec, options: SimulateOptions = {}): Simulation {
  const cluster = clusterOf(loaded)
  const { spec } = loaded
  const causal = spec.options.attention === 'flash' ? 'halved' : 'whole'
  const timed = planLoaded({ ...loaded, spec: { ...spec, options: { ...spec.options, causal } } })
  const machine = machineOf(cluster, timed.program.mesh, { ...usualEngine, ...options.engine })
  const timeline = simulate(timed.program, timed.operators, machine)
  const plan = spec.options.causal === causal ? timed : planLoaded(loaded)
  return { loaded, plan, timed, machine, timeline, memory: memory(timed.program, timed.operators, timeline) }
}
