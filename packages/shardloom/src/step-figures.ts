import { mapAxes } from '@shardloom/cluster'
import { coordinateOf } from '@shardloom/core'
import { formatBytes } from '@shardloom/exporters'
import { type PeakMemory, type RankStep, replication } from '@shardloom/simulator'
import { activationsOf } from './activations.js'
import { type Budget, budgetOf } from './budget.js'
import { type Conventions, conventionsOf } from './conventions.js'
import { draftOf } from './draft.js'
import { slotsOf } from './mesh-of-spec.js'
import type { Plan } from './plan.js'
import { reserveOf } from './reserve.js'
import type { PlannedSpec } from './sequence.js'
import type { Simulation } from './simulate-plan.js'
import { standInPeak } from './stand-in-peak.js'
import { statedError } from './stated-error.js'
import { meanOverRanks, stepBreakdown } from './step-breakdown.js'

/** What a step comes to, in figures that take no list of all nodes. Seconds, and shares of 1. */
export interface StepFigures {
  readonly model: string
  readonly phase: string
  readonly world: number
  readonly stepSeconds: number
  readonly tokensPerStep: number
  readonly tokensPerSecond: number
  readonly tokensPerSecondPerRank: number
  /** Prefill: until the first token of the batch is there, without waiting for a place in it. */
  readonly ttftSeconds?: number
  /** Decode: from one token of a sequence to its next. */
  readonly tpotSeconds?: number
  /** Model FLOPs over what the ranks could do at peak in the time; hardware FLOPs count what is computed again, and padding of experts. */
  readonly mfu: number
  readonly hfu: number
  /** What a step is of; training in stages: the order of their microbatches. */
  readonly batch: {
    readonly sequences: number
    readonly microbatches: number
    /** Of decode, where there are several: they count as one step. */
    readonly steps?: number
    readonly seq: number
    readonly schedule?: string
  }
  readonly conventions: Conventions & {
    readonly cluster: string
    readonly accelerator: string
    /** FLOP/s of the type that matmuls run in. */
    readonly peak: number
    /** What MFU counts, and who counts so. The time of causal attention is that of what a kernel computes, whatever is counted. */
    readonly flops: string
    /** The type in which linear layers multiply, where it is another. */
    readonly linearDtype?: string
    /** The system that runs the plan. */
    readonly engine: string
    /** Where the constants of kernels come from, and whether they were fitted to this accelerator. */
    readonly constants: string
    readonly fitted: boolean
    /** The relative error that times are good for; smaller differences are ties. */
    readonly error: number
    readonly reserve: string
    readonly energy?: string
  }
  /** Over which links each axis runs. */
  readonly mapping: readonly { readonly axis: string; readonly text: string }[]
  /** Share of the step in which a stage has nothing to compute and nothing of its own to wait for; a mean over ranks. */
  readonly bubble: { readonly global: number; readonly ownSpan: number }
  /** Per axis the seconds in which nothing is computed because its communication has not ended; a mean over ranks. */
  readonly exposedCommunicationSeconds: Readonly<Record<string, number>>
  readonly stages: readonly Omit<RankStep, 'memory'>[]
  /** Of the stage that holds most, and of each; whether that fits, with what is kept free. Bytes and seconds. */
  readonly memory: {
    readonly peakBytes: number
    readonly reserveBytes: number
    readonly capacityBytes: number
    readonly fits: boolean
    readonly perStage: readonly StageMemory[]
  }
  /** Joules of one step, by `conventions.energy`. */
  readonly energyJoules?: number
  /** What a budget of tokens takes, or what a price makes of tokens, where the spec gives either. */
  readonly budget?: Budget
  /** Those of the plan, and that the step does not fit. */
  readonly warnings: readonly string[]
}

/** The most that a stage holds. */
export interface StageMemory extends PeakMemory {
  readonly stage: number
  /** The rank of the stage that was run. */
  readonly rank: number
  /** What waits in host memory, where activations do: of one microbatch, and at most of all that are in flight. As `plan` has it. */
  readonly host?: { readonly bytes: number; readonly peakBytes: number }
}

/** Says in figures what came of a simulation. */
export function stepFigures({ loaded, plan, machine, step }: Simulation): StepFigures {
  const { program, operators, spec, architecture } = plan
  const { accelerator } = machine.cluster
  const { seconds } = step
  const { world } = program.mesh
  const counts = replication(program, operators, { products: true })
  const useful = counts.flops - counts.replicatedFlops
  const { dtype, linearDtype = dtype } = spec.options
  // Of the peaks of the types that matrices are multiplied in, the highest: no share is more than all.
  const peak = Math.max(machine.peak(dtype), machine.peak(linearDtype))
  const share = (flops: bigint) => Number(flops) / (seconds * world * peak)
  const stages = step.ranks.map(({ memory: _, ...rank }) => rank)
  const { exposed, waiting } = stepBreakdown({ plan, machine, step })
  const inside = meanOverRanks({ plan, machine, step })((each) => each.waitingInside)
  const tokens = tokensOf(spec)
  const { powerWatts, sources } = accelerator
  const memory = withHost(plan, memoryOf({ plan, machine, step }))
  return {
    model: architecture.name,
    phase: spec.phase,
    world,
    stepSeconds: seconds,
    bubble: { global: waiting / seconds, ownSpan: inside / seconds },
    exposedCommunicationSeconds: exposed,
    tokensPerStep: tokens,
    tokensPerSecond: tokens / seconds,
    tokensPerSecondPerRank: tokens / seconds / world,
    ...(spec.phase === 'prefill' && { ttftSeconds: seconds }),
    ...(spec.phase === 'decode' && { tpotSeconds: (seconds * spec.batch) / tokens }),
    mfu: share(useful - counts.recomputedFlops - counts.paddedFlops) * keptShare(spec),
    hfu: share(useful),
    batch: {
      sequences: spec.batch,
      microbatches: slotsOf(spec).microbatches,
      seq: spec.seq,
      ...(spec.phase === 'decode' && spec.steps > 1 && { steps: spec.steps }),
      ...(program.pipeline && spec.phase === 'training' && { schedule: program.pipeline.schedule }),
    },
    conventions: {
      ...conventionsOf(spec),
      cluster: machine.cluster.name,
      accelerator: accelerator.name,
      peak,
      flops: `causal FLOPs ${countedAs[spec.options.causal]}`,
      ...(machine.productType !== undefined && { linearDtype: machine.productType }),
      engine: machine.engine.name,
      constants: machine.constants.source,
      fitted: machine.constants.fitted,
      error: statedError({ fitted: machine.constants.fitted, file: loaded.efficiency }),
      reserve: reserveOf(spec.reserveBytes, world).source,
      ...(powerWatts !== undefined && {
        energy: `${powerWatts} W (${sources['powerWatts'] ?? 'the cluster'}) while a rank computes or waits for its own communication, none while it waits for other stages`,
      }),
    },
    mapping: mapAxes(machine.cluster, program.mesh).map(({ axis, text }) => ({ axis, text })),
    stages,
    memory,
    ...(powerWatts !== undefined && { energyJoules: powerWatts * world * (seconds - waiting) }),
    ...budgetOf(spec, { tokens, seconds, world }),
    warnings: [...plan.warnings, ...standInPeak(accelerator, spec), ...tooSmall(memory), ...batchesInFlight(spec)],
  }
}

const countedAs = {
  whole: 'whole (Korthikanti et al. 2022)',
  halved: 'halved (as Megatron-LM does today)',
} as const

/** Tokens that a step trains on, reads or makes: what is cached already it does not read. */
export function tokensOf({ phase, batch, seq, steps, options }: PlannedSpec): number {
  if (phase !== 'decode') return batch * (seq - (phase === 'prefill' ? (options.prefill.cached ?? 0) : 0))
  const { keep = 1, expected = keep } = draftOf(options.decode)
  return batch * steps * expected
}

/** Of the tokens that a step of decode computes the share that it keeps: the rest are drafts that the target rejects. */
function keptShare({ phase, options }: PlannedSpec): number {
  const { draft = 0, keep = 1, expected = keep } = draftOf(options.decode)
  return phase === 'decode' ? expected / (draft + 1) : 1
}

/** The most bytes that each stage of a simulated step holds, what the device has and what of that is in reserve, and whether it fits. */
export function memoryOf({
  plan,
  machine,
  step: { ranks },
}: Pick<Simulation, 'plan' | 'machine' | 'step'>): StepFigures['memory'] {
  const capacityBytes = machine.cluster.accelerator.memoryBytes
  const peakBytes = fullestOf(ranks)
  const reserveBytes = reserveOf(plan.spec.reserveBytes, plan.program.mesh.world).bytes
  return {
    peakBytes,
    reserveBytes,
    capacityBytes,
    fits: peakBytes + reserveBytes <= capacityBytes,
    perStage: ranks.map(({ rank, memory }) => ({ stage: coordinateOf(plan.program, rank), rank, ...memory })),
  }
}

/** With what of each stage waits in host memory, if anything does. */
function withHost(plan: Plan, memory: StepFigures['memory']): StepFigures['memory'] {
  if (plan.spec.options.offload === 'none') return memory
  const perStage = memory.perStage.map((stage) => {
    const { hostBytes: bytes = 0, hostPeakBytes: peakBytes = 0 } = activationsOf(plan, stage.rank) ?? {}
    return bytes > 0 ? { ...stage, host: { bytes, peakBytes } } : stage
  })
  return { ...memory, perStage }
}

/** That the device has less memory than a step takes. */
function tooSmall({ fits, peakBytes, reserveBytes, capacityBytes }: StepFigures['memory']): string[] {
  if (fits) return []
  return [`the step does not fit: ${formatBytes(peakBytes + reserveBytes - capacityBytes)} are missing`]
}

/** That batches of decode that are in flight begin and end with the plan, where engines have them go round. */
function batchesInFlight(spec: PlannedSpec): string[] {
  const { microbatches } = slotsOf(spec)
  if (spec.phase !== 'decode' || spec.parallel.pp === 1 || microbatches === 1) return []
  const steps = spec.steps === 1 ? 'one step' : `${spec.steps} steps`
  return [
    `${microbatches} batches fill ${spec.parallel.pp} stages and drain them once in ${steps}, which counts to the time per token; more \`steps\` make it count less, and \`phase: serving\` has batches go round for as long as there are requests`,
  ]
}

/** The most bytes that any rank of a step holds. */
function fullestOf(ranks: readonly RankStep[]): number {
  return ranks.reduce((most, { memory }) => Math.max(most, memory.peakBytes), 0)
}
