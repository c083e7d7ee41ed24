import { coordinateOf, type EdgeKind, type FlopClass, findAxis, type NodeKind } from '@shardloom/core'
import { countParameters } from '@shardloom/models'
import { communicationTable, imbalance, measure, measureFolded, replication } from '@shardloom/simulator'
import { type ActivationSummary, activationsOf } from './activations.js'
import { draftOf } from './draft.js'
import { slotsOf } from './mesh-of-spec.js'
import { checkPlan, type Plan } from './plan.js'
import { shortReason } from './reason.js'

/** Which rank is described, and whether nodes and edges are counted unrolled (the default) or folded. */
export interface SummaryOptions {
  readonly rank?: number
  readonly fold?: boolean
}

/** Like executions of communication on one rank: `count` is per step, bytes are per execution. */
export interface CommunicationSummary {
  readonly op: string
  readonly axes: readonly string[]
  readonly groupSize: number
  readonly count: number
  /** Bytes of the tensor logical to the group. */
  readonly payloadBytes: number
  /** Bytes that this rank sends, by a ring. */
  readonly bytesPerRank: number
  /** The part of the phase: `forward`, `backward`, `optimizer`, `prefill` or `decode`. */
  readonly phase: string
  /** The iteration axes around it, outermost first, such as `microbatch/layer`; empty outside of all. */
  readonly region: string
  /** Why the first of `nodes` exists, in a few words. */
  readonly reason: string
  /** The nodes of the rolled program that are counted here. */
  readonly nodes: readonly string[]
}

/** What `shardloom plan --json` prints: one rank, one step. Numbers are the nearest doubles of exact counts. */
export interface PlanSummary {
  readonly schema: 'shardloom.plan/1'
  readonly model: { readonly name: string; readonly parameters: number; readonly activeParameters: number }
  /** Axis → degree, outermost axis first. */
  readonly mesh: Readonly<Record<string, number>>
  readonly world: number
  readonly phase: string
  readonly batch: {
    readonly sequences: number
    readonly microbatches: number
    readonly seq: number
    readonly steps: number
    /** Prefill: tokens of each sequence that are cached already, and tokens of a chunk, where the spec says so. */
    readonly cached?: number
    readonly chunk?: number
    /** Speculative decoding: tokens that a step is given to verify, that it keeps, and that it yields on average. */
    readonly draft?: number
    readonly keep?: number
    readonly expected?: number
  }
  /** What numbers depend on by convention. */
  readonly conventions: {
    readonly attention: string
    readonly causal: string
    readonly dtype: string
    readonly gradientDtype: string
    readonly uneven: string
    /** What ranks of `dp` divide (ZeRO's stage), and how many of their groups hold all of it. */
    readonly zero: number
    readonly dpReplicate: number
    /** Of tensor parallelism. */
    readonly keyValueGradients: string
    /** Training: what backward computes again, in the words of the spec. */
    readonly recompute: Plan['spec']['options']['recompute']
    /** Training: what waits in host memory, in the words of the spec. */
    readonly offload: Plan['spec']['options']['offload']
    /** How tokens are spread over experts: `even`, `power law 1`, `counted`. */
    readonly tokens: string
  }
  readonly folded: boolean
  readonly nodes: Readonly<Record<NodeKind | 'total', number>>
  readonly edges: Readonly<Record<EdgeKind | 'total', number>>
  readonly rank: number
  readonly perRank: {
    readonly parameters: number
    readonly parameterBytes: number
    /** Training: bytes of gradients that are kept until the optimizer reads them. */
    readonly gradientBytes: number
    /** Training: bytes of the optimizer's state, master copies of parameters and moments. */
    readonly optimizerBytes: number
    readonly flops: number
    readonly flopsByClass: Readonly<Record<FlopClass, number>>
    readonly bytesRead: number
    readonly bytesWritten: number
    readonly kvBytesRead: number
    readonly kvBytesWritten: number
  }
  /** All ranks together in one step, and how much of it more than one device would do and hold. */
  readonly allRanks: {
    readonly flops: number
    readonly replicatedFlops: number
    /** Part of what one device would do: operators that run again because their results were not kept. */
    readonly recomputedFlops: number
    readonly parameters: number
    readonly replicatedParameters: number
    /** FLOPs of the ranks that do least and most, where `uneven: ragged` lets shares differ. */
    readonly flopsPerRank?: { readonly least: number; readonly most: number }
    /** Tokens for the experts of the busiest rank of `ep` over the mean of all, where they are not spread evenly. */
    readonly expertImbalance?: number
  }
  /** The layers that this rank's stage of a pipeline holds, first and last ones of each chunk, and how they are ordered. */
  readonly pipeline?: {
    readonly stage: number
    readonly stages: number
    readonly schedule: string
    readonly layers: readonly { readonly first: number; readonly last: number }[]
  }
  /** Training: what this rank keeps for backward. */
  readonly activations?: ActivationSummary
  readonly communication: readonly CommunicationSummary[]
  readonly warnings: readonly string[]
}

/** Describes one rank of a plan over one step. Throws `RANK` when the mesh has no such rank. */
export function summarise(plan: Plan, options: SummaryOptions = {}): PlanSummary {
  checkPlan(plan)
  const { rank = 0, fold = false } = options
  const { architecture, operators, program, spec } = plan
  const measured = measure(program, operators, { rank })
  const { nodes, edges } = fold ? measureFolded(program) : measured
  const { total, active } = countParameters(architecture)
  const activations = activationsOf(plan, rank)
  return {
    schema: 'shardloom.plan/1',
    model: { name: architecture.name, parameters: total, activeParameters: active },
    mesh: Object.fromEntries(program.mesh.axes.map(({ name, degree }) => [name, degree])),
    world: program.mesh.world,
    phase: program.phase,
    batch: {
      sequences: spec.batch,
      microbatches: slotsOf(spec).microbatches,
      seq: spec.seq,
      steps: spec.steps,
      ...spec.options.prefill,
      ...draftOf(spec.options.decode),
    },
    conventions: {
      attention: spec.options.attention,
      causal: spec.options.causal,
      dtype: spec.options.dtype,
      gradientDtype: spec.options.gradientDtype,
      uneven: spec.options.uneven,
      zero: spec.options.zero,
      dpReplicate: spec.parallel.dpReplicate,
      keyValueGradients: spec.options.tp?.keyValueGradients ?? 'reduce',
      recompute: spec.options.recompute,
      offload: spec.options.offload,
      tokens: tokensText(spec.options.ep.tokens),
    },
    ...pipelineOf(plan, rank),
    folded: fold,
    nodes: withTotal(nodes),
    edges: withTotal(edges),
    rank,
    perRank: {
      parameters: Number(measured.parameters),
      parameterBytes: Number(measured.parameterBytes),
      gradientBytes: Number(measured.gradientBytes),
      optimizerBytes: Number(measured.optimizerBytes),
      flops: Number(measured.flops),
      flopsByClass: doubles(measured.flopsByClass),
      bytesRead: Number(measured.bytesRead),
      bytesWritten: Number(measured.bytesWritten),
      kvBytesRead: Number(measured.kvBytesRead),
      kvBytesWritten: Number(measured.kvBytesWritten),
    },
    allRanks: allRanksOf(plan),
    ...(activations && { activations }),
    communication: communicationTable(program, operators, { rank }).map(({ segment, reason, nodes, ...row }) => ({
      ...row,
      phase: segment,
      reason: shortReason(plan, nodes[0] ?? '', rank),
      nodes,
    })),
    warnings: plan.warnings,
  }
}

function pipelineOf({ program }: Plan, rank: number): Pick<PlanSummary, 'pipeline'> {
  const { mesh, pipeline } = program
  if (!pipeline) return {}
  const stage = coordinateOf(program, rank)
  const own = pipeline.chunks.filter((chunk) => chunk.rank === stage && chunk.to > chunk.from)
  const layers = own.map(({ from, to }) => ({ first: from, last: to - 1 })).sort((a, b) => a.first - b.first)
  const stages = findAxis(mesh, pipeline.axis)?.degree ?? 1
  return { pipeline: { stage, stages, schedule: pipeline.schedule, layers } }
}

function allRanksOf({ program, operators }: Plan): PlanSummary['allRanks'] {
  const uneven = imbalance(program, 'experts', findAxis(program.mesh, 'ep')?.atoms ?? [])
  const totals = {
    ...doubles(replication(program, operators)),
    ...(uneven !== undefined && { expertImbalance: uneven }),
  }
  if (program.uneven !== 'ragged') return totals
  // Earlier shares get what is left over, so that rank 0 does most and the last rank least.
  const [most, least] = [0, program.mesh.world - 1].map((rank) => Number(measure(program, operators, { rank }).flops))
  return { ...totals, flopsPerRank: { least: least ?? 0, most: most ?? 0 } }
}

function tokensText(tokens: Plan['spec']['options']['ep']['tokens']): string {
  if (!tokens) return 'even'
  return 'powerLaw' in tokens ? `power law ${tokens.powerLaw}` : 'counted'
}

function doubles<Name extends string>(counts: Readonly<Record<Name, bigint>>): Record<Name, number> {
  const entries = Object.entries<bigint>(counts).map(([name, count]) => [name, Number(count)])
  return Object.fromEntries(entries) as Record<Name, number> // the same names, which Object.entries forgets
}

function withTotal<Name extends string>(counts: Readonly<Record<Name, bigint>>): Record<Name | 'total', number> {
  const total = Object.values<bigint>(counts).reduce((sum, count) => sum + count, 0n)
  return { total: Number(total), ...doubles(counts) }
}
