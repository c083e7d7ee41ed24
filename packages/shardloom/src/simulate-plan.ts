import { type Mesh, type Program, ShardloomError } from '@shardloom/core'
import {
  type Engine,
  efficiencyOn,
  engineFrom,
  findEngine,
  type Machine,
  machineOf,
  memory,
  type RankMemory,
  runStep,
  type Step,
  simulate,
  type Timeline,
} from '@shardloom/simulator'
import { clusterOf } from './cluster-of.js'
import { type LoadedSpec, type Plan, planLoaded } from './plan.js'

/** What a simulation may be told beside the spec. */
export interface SimulateOptions {
  /** What of a system the graph leaves open; default: as the spec says. */
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

/**
 * Plans a loaded spec and runs one step of it in time. Causal attention takes the time of what kernels compute, half of the
 * pairs in fused ones and all in materialised ones, whatever the spec says of how FLOPs count.
 */
export function simulateLoaded(loaded: LoadedSpec, options: SimulateOptions = {}): Simulation {
  const { spec } = loaded
  const timed = timedPlan(loaded)
  const machine = machineOfSpec(loaded, timed, options)
  const { program, operators } = timed
  const step = runStep(program, operators, machine)
  let timeline: Timeline | undefined
  let over: readonly RankMemory[] | undefined
  const plan = spec.options.causal === timed.spec.options.causal ? timed : planLoaded(loaded)
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

/** The plan that is run: causal attention with the FLOPs of what kernels compute. */
export function timedPlan(loaded: LoadedSpec): Plan {
  const { spec } = loaded
  const causal = spec.options.attention === 'flash' ? 'halved' : 'whole'
  return planLoaded({ ...loaded, spec: { ...spec, options: { ...spec.options, causal } } })
}

/**
 * The program that was run, for pictures: its notes are those of the plan, in whose words FLOPs count, and beside them how the time of
 * causal attention counts where that differs.
 */
export function drawnProgram({ plan, timed }: Simulation): Program {
  const { notes } = plan.program
  const { causal } = timed.program.notes
  return {
    ...timed.program,
    notes: causal === undefined || causal === notes.causal ? notes : { ...notes, causalTime: causal },
  }
}

/** The cluster of a spec under the ranks of its plan, with the engine that it names. Throws `NO_CLUSTER`, `UNKNOWN_ENGINE`. */
export function machineOfSpec(loaded: LoadedSpec, { program }: Plan, options: SimulateOptions = {}): Machine {
  return machineOfMesh(loaded, program.mesh, options)
}

/** {@link machineOfSpec} for a mesh. */
export function machineOfMesh(loaded: LoadedSpec, mesh: Mesh, options: SimulateOptions = {}): Machine {
  const cluster = clusterOf(loaded)
  const { efficiency } = loaded
  if (efficiency && efficiency.accelerator !== cluster.accelerator.name) {
    const message = `The constants are of ${efficiency.accelerator}, the cluster has ${cluster.accelerator.name}.`
    throw new ShardloomError('EFFICIENCY_VALUE', message, {
      subject: 'options.efficiency',
      help: 'Calibrate with measurements of this accelerator, or leave the constants out.',
    })
  }
  const { engine = 'usual', linearDtype } = loaded.spec.options
  const named = typeof engine === 'string' ? findEngine(engine) : engineFrom(engine)
  const { foundOn: _, ...rest } = named
  // What was measured counts more than what is known of an engine.
  const constants = {
    ...efficiencyOn(named, cluster.accelerator),
    ...efficiency?.values,
    ...options.engine?.efficiency,
  }
  const machine = machineOf(cluster, mesh, { ...rest, ...options.engine, efficiency: constants }, linearDtype)
  if (!efficiency) return machine
  return { ...machine, constants: { ...machine.constants, source: efficiency.source, fitted: true } }
}
