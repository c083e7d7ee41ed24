import {
  dimSizesOf,
  findAxis,
  isShardloomError,
  lookup,
  type Mesh,
  type OperatorTable,
  type Program,
  regionsOf,
  type ShardloomError,
  type Tensor,
} from '@shardloom/core'
import type { ModelArchitecture } from '@shardloom/models'
import {
  type Machine,
  meterOf,
  nothingKnown,
  type PartCost,
  partCosts,
  type Sample,
  type StateCost,
  type StateSample,
  sampleOf,
  stateCosts,
  stateSampleOf,
} from '@shardloom/simulator'
import { meshOfSpec } from '../mesh-of-spec.js'
import { axesOfLoaded, type LoadedSpec } from '../plan.js'
import type { PlannedSpec } from '../sequence.js'
import { machineOfMesh, timedPlan } from '../simulate-plan.js'
import type { Pipelines } from './pipelines.js'
import {
  type Asked,
  askedBy,
  type Divided,
  dividedBy,
  SizeDecisions,
  sharesText,
  structureOf,
} from './size-decisions.js'

/** Layers of each kind on each stage of a sample: one follows its like. */
const sampledLayers = 2

/** What parts of a model take, of one microbatch, with what passes between stages. */
export interface BlockCosts {
  readonly parts: ReadonlyMap<string, PartCost>
  /** What a stage sends to the next for a microbatch, and back. */
  readonly sendBytes: number
}

const inKernels = new WeakMap<BlockCosts, BlockCosts>()

/** Costs in which nothing but computing takes time: of overlapped pairs what the two take that the device does for one at a time. */
export function kernelsAlone(blocks: BlockCosts): BlockCosts {
  const known = inKernels.get(blocks)
  if (known) return known
  // What parts hold is found when it is asked for.
  const of = (cost: PartCost): PartCost => Object.create(cost, { seconds: { value: cost.kernels } }) as PartCost
  const found = { parts: new Map(Array.from(blocks.parts, ([part, cost]) => [part, of(cost)])), sendBytes: 0 }
  inKernels.set(blocks, found)
  return found
}

/** Seconds that a microbatch is in one of a part, forward and backward. */
export function secondsIn({ parts }: Pick<BlockCosts, 'parts'>, part: string): number {
  const { F = 0, B = 0, I = 0, W = 0 } = parts.get(part)?.seconds ?? {}
  return F + B + I + W
}

/** Ranks of a mesh, and the machine that they lie on. */
export interface Laid {
  readonly mesh: Mesh
  readonly machine: Machine
}

/** A planned sample, with what it is measured by. */
interface Planned {
  readonly program: Program
  readonly operators: OperatorTable
  readonly batch: number
  /** Its tensors in batches that are so many times as large. */
  readonly grown: Map<number, Program['tensors']>
  sample?: Sample
  state?: StateSample
  /** What is handed from layer to layer going forward. */
  sent?: readonly string[]
}

/**
 * Samples of the specs of a search: models of a few layers, planned once for all specs whose strategies decide the same, and measured in
 * the sizes of each.
 */
export class Samples {
  private readonly planned = new Map<string, Planned>()
  private readonly refused = new Map<string, ShardloomError>()
  /** By structure. */
  private readonly asked = new Map<string, Asked>()
  /** By structure and all that was asked of it. */
  private readonly divided = new Map<string, readonly Divided[]>()
  private readonly sizes = new Map<string, readonly number[]>()
  private readonly decisions: SizeDecisions
  private readonly axes = new Map<number, ReturnType<typeof axesOfLoaded>>()
  private readonly meshes = new Map<string, Mesh>()
  private readonly small: LoadedSpec
  private readonly known = nothingKnown()
  /** How many were planned, and how many measured in other sizes. */
  readonly count = { planned: 0, measured: 0 }

  constructor(
    private readonly loaded: LoadedSpec,
    readonly pipelines: Pipelines,
  ) {
    // A sample may have more ranks than there are: of the cluster it needs no more than links and kernels.
    const { cluster: _, ...rest } = loaded
    this.small = { ...rest, architecture: sampled(loaded.architecture, 1) }
    const { program } = timedPlan({ ...this.small, spec: { ...alone(loaded.spec) } })
    const dims = new Set([...program.tensors.values()].flatMap((tensor) => tensor.dims))
    for (const dim of dims) if (dim !== 'batch') this.sizes.set(dim, dimSizesOf(program, dim))
    this.decisions = new SizeDecisions(this.sizes, loaded.plugins.length > 0)
  }

  /** The mesh of a spec. Throws what {@link meshOfSpec} throws. */
  meshOf(spec: PlannedSpec): Mesh {
    const key = `${spec.order} ${Object.values(spec.parallel)}`
    const known = this.meshes.get(key)
    if (known) return known
    // How replicas divide dp its strategy knows from the spec.
    const { dpReplicate } = spec.parallel
    const axes = this.axes.get(dpReplicate) ?? axesOfLoaded({ ...this.loaded, spec })
    this.axes.set(dpReplicate, axes)
    const mesh = meshOfSpec(spec, axes, (dim) => this.sizes.get(dim) ?? [])
    this.meshes.set(key, mesh)
    return mesh
  }

  /** The ranks of a spec as they lie on the cluster. Throws what {@link meshOfSpec} throws. */
  laidBy(spec: PlannedSpec): Laid {
    const mesh = this.meshOf(spec)
    return { mesh, machine: among(machineOfMesh(this.loaded, mesh), mesh) }
  }

  /** What the parts of a spec's model take, its communication laid over these ranks. Throws what planning throws. */
  blocks(spec: PlannedSpec, { mesh, machine }: Laid): BlockCosts {
    const stages = this.pipelines.isDivided(spec.options.schedule ?? '1f1b') ? 2 : 1
    const { planned, program, growth } = this.sized(spec, mesh, stages)
    planned.sample ??= sampleOf(planned.program, planned.operators, machine)
    this.count.measured++
    return {
      parts: partCosts(planned.sample, program, machine, growth, this.known),
      sendBytes: sentBytes(planned, program),
    }
  }

  /** What parts of a spec's model cost in parameters, gradients and optimizer state; microbatch and recomputation do not matter. */
  states(spec: PlannedSpec, { mesh, machine }: Laid): ReadonlyMap<string, StateCost> {
    // What both ends of a model read is there twice if they are on different stages.
    const stages = this.loaded.architecture.tiedEmbeddings ? 2 : 1
    const { planned, program } = this.sized(spec, mesh, stages)
    planned.state ??= stateSampleOf(planned.program, planned.operators, machine)
    return stateCosts(planned.state, program, planned.operators, machine, this.known)
  }

  /** A program that stands for that of a spec, in its sizes. */
  private sized(
    spec: PlannedSpec,
    mesh: Mesh,
    stages: number,
  ): { readonly planned: Planned; readonly growth: number; readonly program: Program } {
    const own = this.smallSpec(spec, mesh, stages)
    const ownMesh = this.meshOf(own)
    // Where axes lie planning does not ask, unless some lie on others.
    const usual = { ...own, order: this.loaded.spec.order }
    const usualMesh = this.meshOf(usual)
    const [small, smallMesh] = areAlike(usualMesh, ownMesh) ? [usual, usualMesh] : [own, ownMesh]
    const planned = this.plannedFor(small, smallMesh, stages)
    const growth = small.batch / planned.batch
    return {
      planned,
      growth,
      program: { ...planned.program, mesh: smallMesh, tensors: grownTensors(planned, growth) },
    }
  }

  /** A spec of one microbatch. Ranks of dp that share nothing but the batch are no more than two. */
  private smallSpec(spec: PlannedSpec, mesh: Mesh, stages: number): PlannedSpec {
    const { parallel, options, phase } = spec
    const { schedule = '1f1b', virtual: _, pp: __, ...rest } = options
    const divided = this.pipelines.isDivided(schedule)
    const free = freeRanks(mesh)
    // Two ranks are like any number of them. But experts that lie on all of dp would move to ranks that are added.
    const grows = free > 1 ? free !== parallel.dpReplicate : parallel.ep * parallel.expertTp === 1
    const isShared = options.zero > 0
    const replicate = isShared ? parallel.dpReplicate : Math.min(2, parallel.dpReplicate)
    const dp = isShared ? parallel.dp : (parallel.dp / free) * replicate * (grows ? 2 : 1)
    const slot = { ...spec, parallel: { ...parallel, dp, dpReplicate: replicate, pp: stages } }
    const microbatch = spec.microbatch ?? 1
    return {
      ...slot,
      microbatch,
      batch: dp * microbatch * parallel.replicas,
      options: { ...rest, pp: {}, ...(stages > 1 && phase === 'training' && { schedule: divided ? 'zbh1' : '1f1b' }) },
    }
  }

  /** The sample of all specs for which strategies decide the same. Throws what planning throws, of these too. */
  private plannedFor(small: PlannedSpec, mesh: Mesh, stages: number): Planned {
    const structure = structureOf(small, mesh)
    const { dpReplicate } = small.parallel
    const divisionOf = (asked?: Asked) => `${structure} ${this.decisions.textOf(small, mesh, asked)}`
    const keyOf = (division: string) => {
      const divided = this.divided.get(division)
      return small.options.zero > 0 && divided ? `${division} ${sharesText(divided, mesh, dpReplicate)}` : division
    }
    const asked = this.asked.get(structure)
    const known = (asked && this.planned.get(keyOf(divisionOf(asked)))) ?? this.refused.get(divisionOf())
    if (isShardloomError(known)) throw known
    if (known) return known
    const found = this.plan(small, stages)
    if (isShardloomError(found)) {
      // What a strategy that refuses has asked nobody knows.
      this.refused.set(divisionOf(), found)
      throw found
    }
    const all = askedBy(found.program, asked)
    this.asked.set(structure, all)
    const division = divisionOf(all)
    if (!this.divided.has(division)) this.divided.set(division, dividedBy(found.program, dpReplicate))
    this.planned.set(keyOf(division), found)
    return found
  }

  private plan(spec: PlannedSpec, stages: number): Planned | ShardloomError {
    this.count.planned++
    try {
      const architecture = sampled(this.loaded.architecture, stages)
      const { program, operators } = timedPlan({ ...this.small, architecture, spec })
      return { program, operators, batch: spec.batch, grown: new Map() }
    } catch (error) {
      if (isShardloomError(error)) return error
      throw error
    }
  }
}

/** Whether meshes are made of the same atoms, wherever these lie. */
function areAlike(a: Mesh, b: Mesh): boolean {
  const namesOf = ({ axes, atoms }: Mesh) =>
    [...atoms.map(({ name }) => name), ...axes.map((axis) => `${axis.name} ${axis.atoms}`)].sort().join()
  return namesOf(a) === namesOf(b)
}

/** A machine on whose mesh a sample's ranks lie, as far as it has their atoms: of one stage a sample has two. */
function among(machine: Machine, { atoms }: Mesh): Machine {
  const known = new Set(atoms.map(({ name }) => name))
  return { ...machine, group: (names) => machine.group(names.filter((name) => known.has(name))) }
}

/** The model with a few layers of each kind. */
function sampled(architecture: ModelArchitecture, stages: number): ModelArchitecture {
  const { order } = architecture
  const runs = order.runs.map((run) => ({ ...run, count: sampledLayers * stages }))
  const kinds = runs.filter(({ layer }, index) => runs.findIndex((other) => other.layer === layer) === index)
  return { ...architecture, order: { runs: kinds } }
}

/** A spec on one device. */
function alone(spec: PlannedSpec): PlannedSpec {
  const {
    schedule: _,
    virtual: __,
    pp: ___,
    zero: ____,
    sequenceParallel: _____,
    tp,
    ep,
    dp,
    sp,
    ...options
  } = spec.options
  const parallel = Object.fromEntries(Object.keys(spec.parallel).map((axis) => [axis, 1])) as PlannedSpec['parallel']
  return {
    ...spec,
    batch: 1,
    microbatch: 1,
    parallel,
    options: {
      ...options,
      pp: {},
      tp: {},
      ep: {},
      dp: {},
      sp: {},
      zero: 0,
      sequenceParallel: false,
      recompute: 'none',
      offload: 'none',
    },
  }
}

/** How many ranks of dp share nothing but the batch and what is stored: experts do not lie on their atoms. */
function freeRanks(mesh: Mesh): number {
  const taken = new Set(['ep', 'expertTp'].flatMap((name) => findAxis(mesh, name)?.atoms ?? []))
  const own = findAxis(mesh, 'dp')?.atoms ?? []
  const free = mesh.atoms.filter(({ name }) => own.includes(name) && !taken.has(name))
  return free.reduce((all, { degree }) => all * degree, 1)
}

/** The tensors of a sample in a batch that is so many times as large. */
function grownTensors({ program, grown }: Planned, growth: number): Program['tensors'] {
  if (growth === 1) return program.tensors
  const known = grown.get(growth)
  if (known) return known
  const tensors = new Map<string, Tensor>()
  for (const [id, tensor] of program.tensors) {
    const at = tensor.dims.indexOf('batch')
    const shape = tensor.shape.map((size, position) => (position === at ? size * growth : size))
    tensors.set(id, at < 0 ? tensor : { ...tensor, shape })
  }
  grown.set(growth, tensors)
  return tensors
}

/** Of what is handed from layer to layer going forward, in the sizes of `program`. */
function sentBytes(planned: Planned, program: Program): number {
  if (!planned.sent) {
    const layers = regionsOf(planned.program.items).find(({ axis }) => axis === 'layer')
    planned.sent = (layers?.ports ?? []).flatMap((port) => (port.kind === 'carry' ? [port.inner] : []))
  }
  const meter = meterOf(program, planned.operators, 0)
  return planned.sent.reduce((sum, id) => sum + meter.bytes(lookup(program.tensors, id)), 0)
}
