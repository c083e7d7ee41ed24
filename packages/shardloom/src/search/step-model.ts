import { unitSizes } from '@shardloom/cluster'
import { findAxis, isShardloomError, type Mesh } from '@shardloom/core'
import type { Machine } from '@shardloom/simulator'
import { clusterOf } from '../cluster-of.js'
import type { LoadedSpec } from '../plan.js'
import type { PlannedSpec } from '../sequence.js'
import { type Choices, copiesOf, kindsOf, specWith } from './choices.js'
import type { Model } from './estimate.js'
import { isEnd, partsOf } from './forms.js'
import { LeastWork } from './least-work.js'
import { overlapOn } from './link-loads.js'
import { leastStored, type PartState, type StoredBytes, stateAt } from './part-state.js'
import { anyOverlaps, forwardOnly, type Pipeline, Pipelines } from './pipelines.js'
import { type Stored, whole } from './place.js'
import type { Question } from './question.js'
import { type BlockCosts, type Laid, Samples, secondsIn } from './samples.js'
import { LeastSharing } from './sharing.js'

/** A mesh of a search with its machine, and where its communication inside of a stage runs. */
export interface Placed extends Laid {
  readonly name: string
  /** Equal for meshes on which layers are divided alike, and their collectives run over the same links. */
  readonly links: string
  /** How layers are divided over the ranks: which axes have which atoms, of how many ranks, but for those of `outside` axes alone. */
  readonly divided: string
}

/** Whether pairs of actions may overlap in what a question is about. */
export function mayOverlap({ choices }: Pick<Question, 'choices'>, { spec }: LoadedSpec): boolean {
  const schedules = choices['schedule'] ?? [spec.options.schedule ?? '1f1b']
  return spec.phase === 'training' && anyOverlaps(schedules.map(String))
}

/** Why something cannot be planned: the code of the error, and what it says. */
export interface Refusal {
  readonly rule: string
  readonly why: string
}

export const isRefusal = (value: object): value is Refusal => 'rule' in value

/**
 * What candidates of a search for steps are made of, each thing found once for all candidates that share it: meshes, what layers take,
 * what parameters cost, pipelines.
 */
export class StepModel {
  readonly pipelines = new Pipelines()
  readonly samples: Samples
  readonly layers: readonly string[]
  readonly parts: readonly string[]
  readonly axes: readonly string[]
  /**
   * The axis that takes the ranks that are left. Without experts ranks of dp have nothing to say to each other in inference: they are engines
   * of their own, side by side, as serving has them.
   */
  readonly copies: 'dp' | 'replicas'
  /** The spec without what candidates decide of copies. */
  readonly base: PlannedSpec
  /** The schedule by which costs are found that no schedule changes. */
  readonly plain: string
  readonly sharing = new LeastSharing(this)
  readonly leastWork: LeastWork
  /** Ranks in one unit of each level of the cluster. */
  private readonly units: readonly number[]
  private readonly meshes = new Map<string, Placed | Refusal>()
  /** By stride and degree of an atom. */
  private readonly links = new Map<string, string>()
  private readonly blocks = new Map<string, BlockCosts | Refusal>()
  private readonly states = new Map<string, ReadonlyMap<string, PartState> | Refusal>()
  private allStored: number | undefined
  private readonly points = new Map<string, ReturnType<Samples['states']> | Refusal>()

  constructor(
    readonly loaded: LoadedSpec,
    /** Whether pairs of actions may overlap in what is looked at. */
    readonly overlaps = false,
  ) {
    const { spec } = loaded
    // Of the outermost level there is one, however many ranks it has.
    this.units = unitSizes(clusterOf(loaded)).filter(Number.isFinite)
    this.copies = copiesOf(loaded)
    this.plain = spec.phase === 'training' ? '1f1b' : forwardOnly
    this.base = this.copies === 'dp' ? spec : { ...spec, parallel: { ...spec.parallel, dp: 1, replicas: 1 } }
    this.samples = new Samples(loaded, this.pipelines)
    this.layers = kindsOf(loaded.architecture)
    this.parts = partsOf(this.layers)
    this.axes = loaded.plugins.flatMap(({ axes = [] }) => axes.map(({ name }) => name))
    this.leastWork = new LeastWork(this)
  }

  get isTraining(): boolean {
    return this.loaded.spec.phase === 'training'
  }

  /** How many chunks of a pipeline may be without layers: the first, which embeds, and the last, which ends, where all layers are alike. */
  get emptyChunks(): number {
    return this.loaded.spec.phase === 'training' && new Set(this.layers).size === 1 ? 2 : 0
  }

  /** How many layers each stage of a pipeline has at least, but for empty ones: of equal layers a balanced stage has one less than the longest, or more. */
  leastInStage({ schedule: { stageRanks } }: Pipeline): number {
    const isAlike = this.parts.filter((part) => !isEnd(part)).length === 1
    return isAlike ? Math.max(1, Math.ceil(this.layers.length / stageRanks.length) - 1) : 1
  }

  /** Whether a choice is a degree of an axis. */
  isDegree(name: string): boolean {
    return name in this.loaded.spec.parallel || this.axes.includes(name)
  }

  specOf(choices: Choices): PlannedSpec {
    return specWith(this.base, choices, this.axes)
  }

  placed(spec: PlannedSpec): Placed | Refusal {
    return this.placedAs(`${spec.order} ${JSON.stringify(spec.parallel)}`, () => spec)
  }

  /** The same of a spec that is asked for where none of this name was placed before. */
  placedAs(key: string, specOf: () => PlannedSpec): Placed | Refusal {
    return remember(this.meshes, key, () => {
      const { mesh, machine } = this.samples.laidBy(specOf())
      const inner = mesh.axes.filter(({ name, degree }) => degree > 1 && !outside.includes(name))
      const atoms = mesh.atoms.filter(({ name }) => inner.some((axis) => axis.atoms.includes(name)))
      const divided = atoms.map(({ name, degree }) => {
        const axes = mesh.axes.filter((axis) => axis.atoms.includes(name)).map((axis) => axis.name)
        return `${degree} ${axes.filter((axis) => axis !== 'expertDp')}`
      })
      const groups = [...inner.map((axis) => axis.atoms), ...atoms.map(({ name }) => [name])]
      const links = [...new Set(groups.map(String))].map((group) => JSON.stringify(machine.group(group.split(','))))
      return { name: key, mesh, machine, links: [...divided, ...links].join(' '), divided: divided.join(' ') }
    })
  }

  /**
   * How the ranks of a spec are laid over the cluster: equal for two orders of axes if axes have the same atoms, and each group of ranks the
   * same links, so that whatever is communicated takes as long.
   */
  layingOf(spec: PlannedSpec): string {
    const mesh = tried(() => this.samples.meshOf(spec))
    if (isRefusal(mesh)) return spec.order.join()
    const axes = mesh.axes.map(({ name, atoms }) => `${name} ${atoms}`).sort()
    // Where each atom lies in or across units of the cluster as a whole, groups of several are made of what each is alone.
    const isAligned = this.isAligned(mesh)
    const atoms = strided(mesh).filter(({ degree }) => degree > 1)
    atoms.sort((a, b) => (a.name < b.name ? -1 : 1))
    if (isAligned) return `${axes} ${atoms.map((atom) => `${atom.name} ${this.linksOf(atom, spec)}`)}`
    const { machine } = this.samples.laidBy(spec)
    let groups: string[][] = [[]]
    for (const { name } of atoms) groups = groups.flatMap((group) => [group, [...group, name]])
    return JSON.stringify([axes, groups.map((group) => machine.group(group))])
  }

  /** The links among ranks at a stride, as text. */
  private linksOf({ name, degree, stride }: Atom, spec: PlannedSpec): string {
    const key = `${stride} ${degree}`
    const known = this.links.get(key) ?? JSON.stringify(this.samples.laidBy(spec).machine.group([name]))
    this.links.set(key, known)
    return known
  }

  /** Whether the ranks along each atom fill units of each level of the cluster, or are a part of one that divides it. */
  private isAligned(mesh: Mesh): boolean {
    return strided(mesh).every(({ stride, degree }) => {
      const next = stride * degree
      return this.units.every(
        (unit) => unit % next === 0 || stride % unit === 0 || (unit % stride === 0 && next % unit === 0),
      )
    })
  }

  /** What one microbatch takes of each part of a spec's model. `inner`: the choices of the spec that this depends on. */
  blockCosts(specOf: () => PlannedSpec, inner: string, divided: boolean, placed: Placed): BlockCosts | Refusal {
    const key = `${inner} ${divided} ${placed.links}`
    return remember(this.blocks, key, () => measuredBlocks(specOf(), placed, this.samples))
  }

  /** The same of samples that may be of another model, not remembered. */
  measured(spec: PlannedSpec, placed: Placed, samples: Samples): BlockCosts | Refusal {
    return tried(() => measuredBlocks(spec, placed, samples))
  }

  /** Whether what is stored depends on how many sequences are decoded together: where experts cannot divide these, they lie otherwise. */
  get storesBySequences(): boolean {
    return this.loaded.spec.phase === 'decode'
  }

  /** A microbatch through the whole model, forward and backward. Seconds. */
  secondsThrough(blocks: BlockCosts): number {
    const whole = this.layers.reduce((sum, layer) => sum + secondsIn(blocks, layer), 0)
    return whole + secondsIn(blocks, 'first') + secondsIn(blocks, 'last')
  }

  /** What the shortest kind of layer takes of a microbatch in one direction. Seconds. */
  leastOfLayers({ parts }: BlockCosts, direction: 'F' | 'B'): number {
    return Math.min(
      ...this.parts.filter((part) => !isEnd(part)).map((kind) => parts.get(kind)?.seconds[direction] ?? 0),
    )
  }

  /** What the parts of a spec's model cost in parameters, gradients and optimizer state. `inner`: the choices that these depend on. */
  stateCosts(
    specOf: () => PlannedSpec,
    inner: string,
    stored: Stored,
    placed: Placed,
  ): ReadonlyMap<string, PartState> | Refusal {
    return remember(this.states, `${inner} ${stored.zero} ${placed.name}`, () => {
      const costs = this.measuredState(specOf, inner, stored, placed)
      return isRefusal(costs) ? costs : stateAt(costs, placed.machine)
    })
  }

  /** What of {@link stateCosts} can be told without planning how `stored` divides; `specOf` is of ranks that share nothing. */
  leastStored(
    specOf: () => PlannedSpec,
    inner: string,
    stored: Stored,
    placed: Placed,
  ): ReadonlyMap<string, StoredBytes> | Refusal {
    const costs = this.measuredState(specOf, inner, whole, placed)
    return isRefusal(costs) ? costs : leastStored(costs, stored, placed.mesh)
  }

  /** The state wherever axes lie; where nothing is shared, it is the same for any number of ranks. */
  measuredState(specOf: () => PlannedSpec, inner: string, { zero, replicate }: Stored, placed: Placed) {
    const { mesh, divided } = placed
    const degrees = zero > 0 ? [findAxis(mesh, 'dp')?.degree, replicate] : []
    const key = `${inner} ${zero} ${degrees} ${divided} ${mesh.atoms.map(({ name }) => name)}`
    return remember(this.points, key, () => {
      const spec = specOf()
      const options = { ...spec.options, recompute: 'none', offload: 'none' }
      const microbatch = this.storesBySequences ? (spec.microbatch ?? 1) : 1
      return this.samples.states({ ...spec, microbatch, options } as PlannedSpec, placed)
    })
  }

  /** What all ranks together store at least of parameters, gradients and optimizer state. Bytes. */
  get leastStoredInAll(): number {
    return (this.allStored ??= this.storedAlone())
  }

  private storedAlone(): number {
    const ones = Object.fromEntries([...Object.keys(this.base.parallel), ...this.axes].map((name) => [name, 1]))
    const spec = this.specOf({ ...ones, microbatch: 1, schedule: this.plain })
    const placed = this.placed(spec)
    const costs = isRefusal(placed) ? placed : this.measuredState(() => spec, 'alone', whole, placed)
    if (isRefusal(costs)) return 0
    const bytesOf = (part: string) => {
      const { parameterBytes = 0, gradientBytes = 0, optimizerBytes = 0 } = costs.get(part) ?? {}
      return parameterBytes + gradientBytes + optimizerBytes
    }
    return ['first', ...this.layers, 'last'].reduce((sum, part) => sum + bytesOf(part), 0)
  }

  modelOf(
    blocks: BlockCosts,
    states: ReadonlyMap<string, PartState>,
    machine: Machine,
    { pp, microbatches }: { readonly pp: number; readonly microbatches: number },
    schedule: string,
  ): Model {
    const { offload } = this.base.options
    const layers = typeof offload === 'object' ? (offload.prefetch ?? usualPrefetch) : usualPrefetch
    const prefetch = { layers, apart: pp > 1 }
    const divided = this.pipelines.dividedBy(schedule)
    return { microbatches, parts: blocks.parts, states, prefetch, divided, ...overlapOn(machine) }
  }
}

/** What parts take where nothing is stored in shares. Throws what planning throws. */
function measuredBlocks({ parallel, options, ...spec }: PlannedSpec, laid: Laid, samples: Samples): BlockCosts {
  return samples.blocks({ ...spec, parallel: { ...parallel, dpReplicate: 1 }, options: undivided(options) }, laid)
}

/** How many layers ahead saved tensors come back where nothing is said of it. */
const usualPrefetch = 1

/** Options with nothing stored in shares, and nothing said of when these are gathered. */
function undivided({ dp, ...options }: PlannedSpec['options']): PlannedSpec['options'] {
  const { gather: _, prefetch: __, reduce, ...rest } = dp
  return { ...options, zero: 0, dp: { ...rest, ...(reduce !== undefined && reduce !== 'shards' && { reduce }) } }
}

/** Axes whose communication is not inside of a layer, but of experts. */
export const outside: readonly string[] = ['dp', 'pp', 'replicas', 'expertDp']

/** Ranks along an atom of a mesh: from one to the next are `stride`. */
interface Atom {
  readonly name: string
  readonly degree: number
  readonly stride: number
}

/** The atoms of a mesh, the innermost first. */
function strided({ atoms }: Mesh): Atom[] {
  let next = 1
  return atoms.toReversed().map(({ name, degree }) => {
    const stride = next
    next *= degree
    return { name, degree, stride }
  })
}

/** What is found once; what cannot be planned is remembered as such. */
function remember<T extends object>(
  known: Map<string, T | Refusal>,
  key: string,
  find: () => T | Refusal,
): T | Refusal {
  const before = known.get(key)
  if (before) return before
  const found = tried(find)
  known.set(key, found)
  return found
}

function tried<T extends object>(find: () => T | Refusal): T | Refusal {
  try {
    return find()
  } catch (error) {
    if (!isShardloomError(error)) throw error
    return { rule: error.code, why: error.help ? `${error.message} ${error.help}` : error.message }
  }
}
