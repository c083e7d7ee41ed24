import { mapAxes } from '@shardloom/cluster'
import {
  atomDegree,
  checkOptions,
  coordinateOf,
  coordinates,
  definitionOf,
  type EdgeKind,
  type FlopClass,
  findAxis,
  groupOf,
  type NodeKind,
  nodesOf,
  type OperatorTable,
  type Program,
  pipelineAtoms,
  rankAt,
} from '@shardloom/core'
import { countParameters } from '@shardloom/models'
import { communicationTable, imbalance, measure, measureFolded, replication } from '@shardloom/simulator'
import { type ActivationSummary, activationsOf } from './activations.js'
import { type ControlSummary, controlOf } from './control.js'
import { type Conventions, conventionsOf } from './conventions.js'
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
  /** Bytes of the tensor logical to the group; where it grows from execution to execution, the mean. */
  readonly payloadBytes: number
  /** Bytes that this rank sends: by a ring, and in an all-to-all to each other rank directly; the mean, where they grow. */
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
  /** Over which links of the spec's cluster each axis runs. */
  readonly links?: readonly { readonly axis: string; readonly text: string }[]
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
  readonly conventions: Conventions
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
    /** FLOPs of the ranks that do least and most, and which, where `uneven: ragged` or causal attention over runs of positions lets shares differ. */
    readonly flopsPerRank?: {
      readonly least: number
      readonly most: number
      readonly leastRank: number
      readonly mostRank: number
    }
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
  /** The control nodes that this rank runs: barriers, routers, samplers. */
  readonly control: readonly ControlSummary[]
  readonly warnings: readonly string[]
}

/** Describes one rank of a plan over one step. Throws `RANK` when the mesh has no such rank. */
export function summarise(plan: Plan, options: SummaryOptions = {}): PlanSummary {
  checkPlan(plan)
  checkOptions(options, { rank: 'number', fold: 'boolean' })
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
    ...(plan.cluster && { links: mapAxes(plan.cluster, program.mesh).map(({ axis, text }) => ({ axis, text })) }),
    batch: {
      sequences: spec.batch,
      microbatches: slotsOf(spec).microbatches,
      seq: spec.seq,
      steps: spec.steps,
      ...spec.options.prefill,
      ...draftOf(spec.options.decode),
    },
    conventions: conventionsOf(spec),
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
    control: controlOf(plan, rank),
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
  const ranks = unlikeRanks(program, operators).map((rank) => ({
    rank,
    flops: Number(measure(program, operators, { rank }).flops),
  }))
  const [first] = ranks
  if (!first) return totals
  const least = ranks.reduce((a, b) => (b.flops < a.flops ? b : a))
  const most = ranks.reduce((a, b) => (b.flops > a.flops ? b : a))
  if (least.flops === most.flops) return totals
  const flopsPerRank = { least: least.flops, most: most.flops, leastRank: least.rank, mostRank: most.rank }
  return { ...totals, flopsPerRank }
}

/** Ranks, some of each stage, among which are those that do least and most, where shares differ: earlier ones get what is left over. */
function unlikeRanks(program: Program, operators: OperatorTable): readonly number[] {
  const { mesh, uneven, layouts = [] } = program
  const causal = nodesOf(program.items).filter((node) => definitionOf(node, operators).pairs?.(node))
  const queries = new Set(causal.flatMap(({ partition }) => partition?.splits['seq'] ?? []))
  const inRuns = mesh.axes.filter(
    ({ name, atoms }) => layouts.every(({ axis }) => axis !== name) && atoms.some((atom) => queries.has(atom)),
  )
  if (inRuns.length === 0 && uneven !== 'ragged') return []
  // Of consecutive runs of positions the last has most earlier ones.
  const ends = (rank: number) => {
    const at = new Map(coordinates(mesh, rank))
    return [0, 1].map((end) => {
      for (const atom of inRuns.flatMap(({ atoms }) => atoms)) at.set(atom, end * (atomDegree(mesh, atom) - 1))
      return rankAt(mesh, at)
    })
  }
  const first = uneven === 'ragged' ? [0, mesh.world - 1] : [0]
  const stages = first.flatMap((rank) => groupOf(mesh, rank, pipelineAtoms(program)))
  return [...new Set(stages.flatMap(ends))]
}

function doubles<Name extends string>(counts: Readonly<Record<Name, bigint>>): Record<Name, number> {
  const entries = Object.entries<bigint>(counts).map(([name, count]) => [name, Number(count)])
  return Object.fromEntries(entries) as Record<Name, number> // the same names, which Object.entries forgets
}

function withTotal<Name extends string>(counts: Readonly<Record<Name, bigint>>): Record<Name | 'total', number> {
  const total = Object.values<bigint>(counts).reduce((sum, count) => sum + count, 0n)
  return { total: Number(total), ...doubles(counts) }
}
