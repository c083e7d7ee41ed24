import { type Cluster, clusterNames } from '@shardloom/cluster'
import { ShardloomError } from '@shardloom/core'
import {
  type Engine,
  type Machine,
  machineOf,
  memory,
  type RankMemory,
  runStep,
  type Step,
  simulate,
  type Timeline,
  usualEngine,
} from '@shardloom/simulator'
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
  readonly step: Step
  /** Every node; made when it is first asked for. */
  readonly timeline: Timeline
  /** Of each rank that was run; made when it is first asked for. */
  readonly memory: readonly RankMemory[]
}

/** The cluster of a loaded spec. Throws `NO_CLUSTER` where it names none. */
function clusterOf({ cluster }: LoadedSpec): Cluster {
  if (cluster) return cluster
  throw new ShardloomError('NO_CLUSTER', 'The spec names no cluster: time depends on the hardware.', {
    subject: 'cluster',
    help: `Add one, such as \`cluster: dgx-h100\`. Known are ${clusterNames().join(', ')}.`,
  })
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
  const { program, operators } = timed
  const step = runStep(program, operators, machine)
  let timeline: Timeline | undefined
  let over: readonly RankMemory[] | undefined
  const plan = spec.options.causal === causal ? timed : planLoaded(loaded)
  return {
    loaded,
    plan,
    timed,
    machine,
    step,
    get timeline() {
      timeline ??= simulate(program, operators, machine)
      return timeline
    },
    get memory() {
      over ??= memory(program, operators, this.timeline)
      return over
    },
  }
}
