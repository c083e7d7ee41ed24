import { type Cluster, mapAxes } from '@shardloom/cluster'
import {
  breakdown,
  type CriticalNode,
  criticalPath,
  type Engine,
  type Machine,
  type MemoryParts,
  machineOf,
  memory,
  type RankBreakdown,
  type RankMemory,
  replication,
  simulate,
  type Timeline,
  usualEngine,
} from '@shardloom/simulator'
import { clusterOf } from './cluster-of.js'
import { draftOf } from './draft.js'
import { type LoadedSpec, type Plan, planLoaded } from './plan.js'

/** What a simulation may be told beside the spec. */
export interface SimulateOptions {
  /** What of a system the graph leaves open; default {@link usualEngine}. */
  readonly engine?: Partial<Engine>
  /** Whether to simulate changes one at a time, as `whatIf` lists them. Default: no. */
  readonly whatIf?: boolean
}

/**
 * Bytes of a device that a plan does not get: context, allocator and communication library. What measured serving engines leave
 * beside their KV cache, on 80 GB devices.
 */
const usualReserve = 3e9

/** A plan in time on a cluster. */
export interface Simulation {
  /** The plan that counts FLOPs as the spec says. */
  readonly plan: Plan
  /** The plan that was run, whose causal FLOPs are those of kernels. */
  readonly timed: Plan
  readonly machine: Machine
  readonly timeline: Timeline
  /** Of each rank that was run. */
  readonly memory: readonly RankMemory[]
}

/** What `shardloom simulate --json` prints. Seconds, and shares of 1. */
export interface SimulationSummary {
  readonly schema: 'shardloom.simulate/1'
  readonly model: string
  readonly phase: string
  readonly world: number
  readonly stepSeconds: number
  readonly tokensPerSecond: number
  readonly tokensPerSecondPerRank: number
  /** Prefill: until all prompts have their first token. Decode: per token that a sequence gets. */
  readonly ttftSeconds?: number
  readonly tpotSeconds?: number
  /** Model FLOPs over what the ranks could do at peak in the time; hardware FLOPs count what is computed again. */
  readonly mfu: number
  readonly hfu: number
  readonly conventions: {
    readonly cluster: string
    readonly accelerator: string
    /** FLOP/s of the type that matmuls run in. */
    readonly peak: number
    readonly attention: string
    /** How FLOPs of causal attention count. Its time is that of what a kernel computes, whatever is counted. */
    readonly causal: string
    readonly dtype: string
    /** Where the constants of kernels come from, and whether they were fitted to this accelerator. */
    readonly constants: string
    readonly fitted: boolean
  }
  /** Over which links each axis runs. */
  readonly mapping: readonly { readonly axis: string; readonly text: string }[]
  /** Share of the step in which a stage has nothing to compute and nothing of its own to wait for; a mean over stages. */
  readonly bubble: { readonly global: number; readonly ownSpan: number }
  /** Per axis the seconds in which nothing is computed because its communication has not ended; a mean over stages. */
  readonly exposedCommunicationSeconds: Readonly<Record<string, number>>
  readonly stages: readonly RankBreakdown[]
  /** Of the stage that holds most, and of each; whether that fits, with what is kept free. Bytes and seconds. */
  readonly memory: {
    readonly peakBytes: number
    readonly reserveBytes: number
    readonly capacityBytes: number
    readonly fits: boolean
    readonly perStage: readonly {
      readonly stage: number
      readonly peakBytes: number
      readonly atSeconds: number
      readonly parts: MemoryParts
    }[]
  }
  readonly criticalPath: readonly CriticalNode[]
  readonly whatIf: readonly { readonly change: string; readonly stepSeconds: number }[]
  /** Joules of one step at most: all ranks at the accelerator's rated power. */
  readonly energyJoules?: number
  readonly warnings: readonly string[]
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
  return { plan, timed, machine, timeline, memory: memory(timed.program, timed.operators, timeline) }
}

/** Says what came of a simulation. */
export function summariseSimulation(
  simulation: Simulation,
  options: Pick<SimulateOptions, 'whatIf'> = {},
): SimulationSummary {
  const { plan, machine, timeline } = simulation
  const { program, operators, spec, architecture } = plan
  const { accelerator } = machine.cluster
  const { seconds } = timeline
  const { world } = program.mesh
  const counts = replication(program, operators)
  const useful = counts.flops - counts.replicatedFlops
  const { peak } = machine.rates(spec.options.dtype)
  const share = (flops: bigint) => Number(flops) / (seconds * world * peak)
  const stages = breakdown(timeline, program.mesh)
  const mean = (of: (stage: RankBreakdown) => number) => stages.reduce((sum, each) => sum + of(each), 0) / stages.length
  const axes = [...new Set(stages.flatMap(({ exposed }) => Object.keys(exposed)))].sort()
  const tokens = spec.phase === 'decode' ? spec.batch * spec.steps : spec.batch * spec.seq
  return {
    schema: 'shardloom.simulate/1',
    model: architecture.name,
    phase: spec.phase,
    world,
    stepSeconds: seconds,
    tokensPerSecond: tokens / seconds,
    tokensPerSecondPerRank: tokens / seconds / world,
    ...(spec.phase === 'prefill' && { ttftSeconds: seconds }),
    ...(spec.phase === 'decode' && { tpotSeconds: seconds / (spec.steps * keptTokens(spec)) }),
    mfu: share(useful - counts.recomputedFlops),
    hfu: share(useful),
    conventions: {
      cluster: machine.cluster.name,
      accelerator: accelerator.name,
      peak,
      attention: spec.options.attention,
      causal: spec.options.causal,
      dtype: spec.options.dtype,
      constants: machine.constants.source,
      fitted: machine.constants.fitted,
    },
    mapping: mapAxes(machine.cluster, program.mesh).map(({ axis, text }) => ({ axis, text })),
    bubble: { global: mean(({ waiting }) => waiting) / seconds, ownSpan: mean((each) => each.waitingInside) / seconds },
    exposedCommunicationSeconds: Object.fromEntries(
      axes.map((axis) => [axis, mean((each) => each.exposed[axis] ?? 0)]),
    ),
    stages,
    memory: memoryOf(simulation),
    criticalPath: criticalPath(timeline),
    whatIf: options.whatIf ? changes(simulation, axes) : [],
    ...(accelerator.powerWatts !== undefined && { energyJoules: accelerator.powerWatts * world * seconds }),
    warnings: plan.warnings,
  }
}

/** Tokens that a sequence gets in a step: one, or what drafting lets expect. */
function keptTokens({ options }: LoadedSpec['spec']): number {
  const { keep = 1, expected = keep } = draftOf(options.decode)
  return expected
}

function memoryOf({ machine, memory: ranks }: Simulation): SimulationSummary['memory'] {
  const capacityBytes = machine.cluster.accelerator.memoryBytes
  const peakBytes = Math.max(...ranks.map((rank) => rank.peakBytes))
  return {
    peakBytes,
    reserveBytes: usualReserve,
    capacityBytes,
    fits: peakBytes + usualReserve <= capacityBytes,
    perStage: ranks.map(({ peakBytes, atSeconds, parts }, stage) => ({ stage, peakBytes, atSeconds, parts })),
  }
}

/** Changes one at a time, and what the step would then take. */
function changes({ timed, machine }: Simulation, axes: readonly string[]): SimulationSummary['whatIf'] {
  const { program, operators } = timed
  const { cluster, engine } = machine
  const secondsOf = (changed: Cluster, with_: Engine) =>
    simulate(program, operators, machineOf(changed, program.mesh, with_)).seconds
  const faster = {
    ...cluster,
    levels: cluster.levels.map((level) => ({ ...level, link: { ...level.link, bandwidth: 2 * level.link.bandwidth } })),
  }
  return [
    ...axes.map((axis) => ({
      change: `without communication over ${axis}`,
      stepSeconds: secondsOf(cluster, { ...engine, fused: { ...engine.fused, [axis]: 1 } }),
    })),
    ...(axes.length > 0 ? [{ change: 'links of twice the bandwidth', stepSeconds: secondsOf(faster, engine) }] : []),
  ]
}
