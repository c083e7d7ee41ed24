import { type Cluster, fitWorld } from '@shardloom/cluster'
import {
  argumentError,
  type Composition,
  checkProgram,
  composePlugins,
  corePasses,
  createMesh,
  dimSizesOf,
  layerRanges,
  type OperatorTable,
  type Pass,
  type PassPhase,
  type Plugin,
  type PluginRule,
  type Program,
  runPasses,
  type Selector,
  ShardloomError,
} from '@shardloom/core'
import { buildProgram, type ModelArchitecture, transformers } from '@shardloom/models'
import { readerOf } from './data-address.js'
import { draftOf } from './draft.js'
import { checkEngineNames } from './engine-names.js'
import { fewRequests } from './few-requests.js'
import { isPublishedAsFp8 } from './launch/model-names.js'
import { loadCluster } from './load-cluster.js'
import { type EfficiencyFile, loadEfficiency } from './load-efficiency.js'
import { loadModel, type ReadText } from './load-model.js'
import { type ImportPlugin, loadPlugins } from './load-plugins.js'
import { meshOfSpec, slotsOf } from './mesh-of-spec.js'
import { checkSpec } from './parse-spec.js'
import { planWarnings } from './plan-warnings.js'
import { refuseUnplanned } from './planned.js'
import { type PlannedSpec, withSequence } from './sequence.js'
import type { SpecInput } from './spec-schema.js'
import { builtInStrategies } from './strategies.js'

/** How a plan reaches what lies outside the spec. Without an access the spec may only name presets and inline models. */
export interface PlanAccess {
  /** Plugins beside those that the spec names. */
  readonly plugins?: readonly Plugin[]
  readonly readText?: ReadText
  readonly importPlugin?: ImportPlugin
}

/** A spec with everything read that it names: planning it needs no further access and is synchronous. */
export interface LoadedSpec {
  readonly spec: PlannedSpec
  readonly architecture: ModelArchitecture
  readonly cluster?: Cluster
  /** What pools of serving run on that have accelerators of their own. */
  readonly pools?: { readonly prefill?: Cluster; readonly decode?: Cluster }
  /** Constants of its accelerator, in place of those that are known. */
  readonly efficiency?: EfficiencyFile
  /** The plugins beside the strategies that are always there. */
  readonly plugins: readonly Plugin[]
  /** The text of the pipeline schedule that the spec names as a file. */
  readonly schedule?: string
  /** What reading the model makes one doubt, for the warnings of the plan. */
  readonly warnings?: readonly string[]
}

/** One pass that ran, with the program before and after it: the same object when it changed nothing. */
export interface PassRecord {
  readonly pass: Pass
  readonly before: Program
  readonly after: Program
}

/** A planned spec: the partitioned program with its communication, and how it came to be. */
export interface Plan {
  readonly spec: PlannedSpec
  readonly architecture: ModelArchitecture
  /** What the ranks run on, where the spec says. */
  readonly cluster?: Cluster
  readonly program: Program
  readonly operators: OperatorTable
  /** The rules that plugins add to the verifier. */
  readonly rules: readonly PluginRule[]
  /** What passes skipped of what was asked for, and what the plan does although it can hardly have been meant. */
  readonly warnings: readonly string[]
  /** Every pass in the order in which it ran. */
  readonly log: readonly PassRecord[]
}

/** Refuses what is no plan, such as its program: `ARGUMENT`. */
export function checkPlan(plan: Plan): void {
  const { program, operators }: Partial<Plan> = plan ?? {}
  if (!program) throw argumentError('first', plan, 'a plan', 'Give what `plan` resolves to.')
  checkProgram(program, operators)
}

/** Plans a spec: reads what it names, builds the model's program and runs every pass. Throws a ShardloomError. */
export async function plan(input: SpecInput, access: PlanAccess = {}): Promise<Plan> {
  return planLoaded(await loadSpec(input, access))
}

/** Checks a spec and reads the model and the plugins that it names. Throws a ShardloomError. */
export async function loadSpec(input: unknown, access: PlanAccess = {}): Promise<LoadedSpec> {
  const spec = checkSpec(input)
  const plugins = [...(access.plugins ?? []), ...(await loadPlugins(spec, access.importPlugin))]
  const warnings: string[] = []
  const architecture = await loadModel(spec.model, readerOf(spec.model, access.readText), (message) =>
    warnings.push(message),
  )
  const { dtype, weightDtype } = spec.options
  if (spec.phase !== 'training' && weightDtype === undefined && isPublishedAsFp8(String(spec.model)))
    warnings.push(
      `\`${spec.model}\` is published with weights in fp8, and has them in ${dtype} here: say \`weightDtype\``,
    )
  warnings.push(...fewRequests(spec))
  const clusterOf = (named: unknown) => loadCluster(named, readerOf(named, access.readText))
  const cluster = await clusterOf(spec.cluster)
  const { serving, efficiency: constants, schedule: named } = spec.options
  const [prefill, decode] = [await clusterOf(serving.prefill.cluster), await clusterOf(serving.decode.cluster)]
  const efficiency = await loadEfficiency(constants, readerOf(constants, access.readText))
  const schedule = await readOwnSchedule(named, readerOf(named, access.readText))
  return {
    spec: withStoredTypes(withSequence(spec, architecture), architecture),
    architecture,
    plugins,
    warnings,
    ...(cluster && { cluster }),
    ...((prefill || decode) && { pools: { ...(prefill && { prefill }), ...(decode && { decode }) } }),
    ...(efficiency && { efficiency }),
    ...(schedule !== undefined && { schedule }),
  }
}

/** Inference reads weights as a checkpoint stores them, unless the spec says otherwise; training has them in `dtype`. */
function withStoredTypes(spec: PlannedSpec, { weightDtype }: ModelArchitecture): PlannedSpec {
  if (weightDtype === undefined || spec.phase === 'training' || spec.options.weightDtype !== undefined) return spec
  return { ...spec, options: { ...spec.options, weightDtype } }
}

/** The text of a schedule of one's own, where the option is the path of a CSV. */
async function readOwnSchedule(
  schedule: string | undefined,
  readText: ReadText | undefined,
): Promise<string | undefined> {
  if (schedule === undefined || !/\.csv$/i.test(schedule)) return undefined
  if (readText) return readText(schedule)
  throw new ShardloomError(
    'SPEC_VALUE',
    `The schedule \`${schedule.slice(0, 80)}\` is a file, and no files are read here.`,
    {
      subject: 'options.schedule',
      help: 'Give `plan` a `readText`, or name a schedule such as 1f1b.',
    },
  )
}

/** Plans a loaded spec. Deterministic: the same input gives the same program. Throws a ShardloomError. */
export function planLoaded(loaded: LoadedSpec): Plan {
  const { spec, architecture, cluster } = loaded
  const composition = composeLoaded(loaded)
  checkEngineNames(spec, composition)
  const built = buildFor(spec, architecture, composition)
  if (cluster) fitWorld(cluster, built.mesh.world)
  const warnings = [...(loaded.warnings ?? [])]
  const log: PassRecord[] = []
  const program = runPasses(
    built,
    [...composition.passes, ...corePasses],
    { operators: composition.operators, warn: (message) => warnings.push(message) },
    [{ after: (pass, before, after) => log.push({ pass, before, after }) }],
  )
  warnings.push(...planWarnings(program, spec, architecture))
  const { operators, rules } = composition
  return { spec, architecture, ...(cluster && { cluster }), program, operators, rules, warnings, log }
}

/**
 * The same step on one device: the model with backward and optimizer, no strategy at work and everything kept. What a partitioned plan
 * computes has to equal it. Without the phase `differentiate` it is the forward pass alone.
 */
export function planOneDevice(loaded: LoadedSpec, phases: readonly PassPhase[] = ['build', 'differentiate']): Program {
  const options: PlannedSpec['options'] = {
    ...loaded.spec.options,
    recompute: 'none',
    offload: 'none',
    barriers: false,
  }
  const composition = composeLoaded({ ...loaded, spec: { ...loaded.spec, options } })
  const context = { operators: composition.operators, warn: () => {} }
  const run = (program: Program, some: readonly PassPhase[]) => {
    const passes = composition.passes.filter(({ phase }) => some.includes(phase))
    return runPasses(program, [...passes, ...corePasses], context)
  }
  // The model is built for its mesh: a pipeline's layers at borders have bodies of their own.
  const whole = buildFor(loaded.spec, loaded.architecture, composition)
  const { pipeline: _, ...built } = runPasses(
    whole,
    composition.passes.filter(({ phase }) => phase === 'build'),
    context,
  )
  return run(
    { ...built, mesh: createMesh([]) },
    phases.filter((phase) => phase !== 'build'),
  )
}

/** The axes of the strategies and plugins of a loaded spec. */
export function axesOfLoaded(loaded: LoadedSpec): Composition['axes'] {
  return composeLoaded(loaded).axes
}

function composeLoaded({ spec, plugins, schedule }: LoadedSpec): Composition {
  return composePlugins([
    transformers({
      recompute: spec.options.recompute,
      offload: spec.options.offload,
      barriers: spec.options.barriers,
      interleave: spec.options.interleave,
    }),
    ...builtInStrategies(spec, schedule),
    ...plugins,
  ])
}

/** The model's program of one device, on the mesh of the spec. */
function buildFor(spec: PlannedSpec, architecture: ModelArchitecture, composition: Composition): Program {
  refuseUnplanned(
    spec,
    composition.axes,
    composition.plugins.map((plugin) => plugin.name),
  )
  const { phase, seq, steps, options } = spec
  if (phase === 'serving') throw new Error('internal error: serving was not refused')
  const { batch, microbatches } = slotsOf(spec)
  const { expected: _, ...speculation } = draftOf(options.decode)
  const built = buildProgram(architecture, {
    phase,
    batch,
    microbatches,
    seq,
    steps,
    ...options.prefill,
    ...speculation,
    attention: options.attention,
    loss: options.loss,
    causal: options.causal,
    dtype: options.dtype,
    gradientDtype: options.gradientDtype,
    ...(options.weightDtype && { weightDtype: options.weightDtype }),
    ...(options.cacheDtype && { cacheDtype: options.cacheDtype }),
    layerBoundaries: layerBoundaries(spec),
  })
  const mesh = meshOfSpec(spec, composition.axes, (dim) => dimSizesOf(built, dim))
  const notes = options.uneven === 'ragged' ? { ...built.notes, uneven: options.uneven } : built.notes
  return { ...built, mesh, uneven: options.uneven, notes }
}

/** The fields of an object of options that may select layers. */
export const selectorFields = ['where', 'full', 'selective'] as const

/** The depths at which a selector of the options starts or ends, so that layers on both sides have a body of their own. */
export function layerBoundaries(spec: PlannedSpec): number[] {
  const boundaries = new Set<number>()
  for (const options of Object.values(spec.options)) {
    if (typeof options !== 'object' || options === null) continue
    const fields = new Map<string, unknown>(Object.entries(options))
    for (const field of selectorFields) {
      const where = fields.get(field) as Selector | undefined // only `layers` is read, and layerRanges checks it
      if (typeof where !== 'object' || where === null || where.layers === undefined) continue
      for (const [first, last] of layerRanges(where)) boundaries.add(first).add(last + 1)
    }
  }
  return [...boundaries].sort((a, b) => a - b)
}
