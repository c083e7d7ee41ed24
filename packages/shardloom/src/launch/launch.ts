import { type Plugin, ShardloomError } from '@shardloom/core'
import type { ModelArchitecture } from '@shardloom/models'
import { makeSchedule, writeSchedule } from '@shardloom/schedules'
import { loadCluster } from '../load-cluster.js'
import { loadModel, type ReadText } from '../load-model.js'
import { slotsOf } from '../mesh-of-spec.js'
import type { LoadedSpec } from '../plan.js'
import type { SpecInput } from '../spec-schema.js'
import { deepspeed } from './deepspeed.js'
import { type Launcher, type LaunchFacts, type Settings, settingsOf } from './launcher.js'
import { megatron } from './megatron.js'
import { settingsReader } from './settings-reader.js'
import { sglang } from './sglang.js'
import { orderAmong, specReader, valueAt } from './spec-reader.js'
import { torchtitan } from './torchtitan.js'
import { vllm } from './vllm.js'

/** The tools that can be told what a spec says, by the names that `export --format` and `--import` take. */
export const launchers = { megatron, torchtitan, deepspeed, vllm, sglang } satisfies Record<string, Launcher>

export type LauncherName = keyof typeof launchers

/** Their names. */
export const launcherNames = Object.keys(launchers) as LauncherName[] // the keys of a literal

/** What a launcher is told. */
export interface LaunchText {
  /** A command or a file, as it is run or read. */
  readonly text: string
  /** Files that stand beside it. */
  readonly files: readonly { readonly name: string; readonly text: string }[]
  /** What gets lost without harm, or is up to the user. */
  readonly notes: readonly string[]
}

/**
 * What a launcher is told for a spec: flags of Megatron-LM, vLLM and SGLang, the files of torchtitan and DeepSpeed.
 * `scheduleFile` is what a schedule that torchtitan has no name for is to be called. Throws `LAUNCHER` for what a launcher
 * cannot say, with what it can, and `INDIVISIBLE`.
 */
export function exportLaunch(
  loaded: LoadedSpec,
  name: LauncherName,
  options: { readonly scheduleFile?: string } = {},
): LaunchText {
  const launcher: Launcher = launchers[name]
  const { spec, architecture } = loaded
  const { reader, finish, say, paths } = specReader(spec, launcher.title)
  launcher.check?.(reader)
  const facts: LaunchFacts = {
    architecture,
    model: spec.model,
    order: orderAmong(spec, launcher.title, launcher.orders),
    ...options,
    ...nodesOf(loaded),
  }
  const { microbatches } = slotsOf(spec)
  const own = settingsOf(launcher.write(reader, facts))
  const brought = loaded.plugins.map((plugin) => {
    if (plugin.launchFlags !== undefined && typeof plugin.launchFlags !== 'function')
      throw new ShardloomError('PLUGIN', `\`${plugin.name}.launchFlags\` is no function.`, {
        subject: plugin.name,
        help: 'It takes the name of a launcher and returns its flags.',
      })
    const flags = plugin.launchFlags?.(name, (axis) => spec.parallel[axis] ?? 1)
    if (flags) for (const path of paths) if (isOf(plugin, path)) say(path)
    return settingsOf(flags ?? {})
  })
  const settings: Settings = new Map([own, ...brought].flatMap((each) => [...each]))
  const notes = finish(launcher.harmless)
  const { scheduleFile } = options
  const needed = scheduleFile !== undefined && [...settings.values()].includes(scheduleFile)
  const order = () => makeSchedule(String(spec.options.schedule), { ranks: spec.parallel.pp, microbatches })
  return {
    text: launcher.print(settings, facts),
    files: needed ? [{ name: scheduleFile, text: writeSchedule(order()) }] : [],
    notes,
  }
}

/** Whether a field of a spec belongs to a plugin: its options, or the degree of an axis of its. */
function isOf({ name, axes = [] }: Plugin, path: string): boolean {
  return path.startsWith(`options.${name}.`) || axes.some((axis) => path === `parallel.${axis.name}`)
}

/** Ranks in all and in a node: of the cluster where the spec names one, else up to eight. */
function nodesOf({ spec, cluster, plugins }: LoadedSpec): { readonly world: number; readonly perNode: number } {
  const { replicas, dp, cp, ulysses, tp, pp } = spec.parallel
  const multiplying = plugins.flatMap(({ axes = [] }) =>
    axes.filter((axis) => axis.ranks !== 'refactor' && !axis.within),
  )
  const further = multiplying.reduce((ranks, { name }) => ranks * (spec.parallel[name] ?? 1), 1)
  const world = replicas * dp * cp * ulysses * tp * pp * further
  let perNode = Math.min(world, cluster?.perNode ?? 8)
  while (world % perNode !== 0) perNode--
  return { world, perNode }
}

/** What reading a launcher's flags or file may use. */
export interface LaunchAccess {
  /** The model, in place of that which the text names. */
  readonly model?: SpecInput['model']
  /** How many ranks are started, where the text leaves that open; else those of the cluster, if that says its nodes. */
  readonly ranks?: number
  readonly cluster?: SpecInput['cluster']
  /** Fields that will stand over those of the text, as yet unchecked: they settle what the text leaves open, and nobody refuses what they replace. */
  readonly over?: unknown
  readonly readText?: ReadText
}

/**
 * A spec from the flags or the file of a launcher, as text: a command line, a shell script, TOML or JSON. What matters for
 * the plan and is not understood, or is nearly what is, is an error (`LAUNCHER`); what nothing reads is named in a note. Without a model that is known
 * the spec has none.
 */
export async function importLaunch(
  name: LauncherName,
  text: string,
  access: LaunchAccess = {},
): Promise<{ readonly spec: Partial<SpecInput>; readonly notes: readonly string[] }> {
  const launcher: Launcher = launchers[name]
  if (text.length > largestText)
    throw new ShardloomError('LAUNCHER', `The text has ${text.length} characters; at most ${largestText} are read.`, {
      help: 'Is it the right file?',
    })
  const { reader, finish } = settingsReader(launcher.parse(text), launcher.title, launcher.matters)
  const named = launcher.modelOf?.(reader, access.model !== undefined) as SpecInput['model'] | undefined // as a spec would name it
  const model = access.model ?? named
  const architecture = model === undefined ? undefined : await architectureOf(model, access)
  const ranks = access.ranks ?? (await ranksOf(access))
  const fields = launcher.read(reader, {
    ...(architecture && { architecture }),
    ...(ranks !== undefined && { ranks }),
    over: (path) => valueAt(access.over, path),
  })
  const spec = { schema: 'shardloom.spec/1', ...(model !== undefined && { model }), ...fields } as Partial<SpecInput> // checked with the rest
  return { spec, notes: finish() }
}

/** The devices of a cluster that says how many nodes it has. */
async function ranksOf({ cluster, readText }: LaunchAccess): Promise<number | undefined> {
  if (typeof cluster !== 'object' || cluster === null || !('nodes' in cluster)) return undefined
  return (await loadCluster(cluster, readText))?.devices
}

/** The longest text that is read, in UTF-16 code units. */
const largestText = 1_000_000

/** The model; a path that a command names may lie on another machine. */
async function architectureOf(
  model: SpecInput['model'],
  { model: given, readText }: LaunchAccess,
): Promise<ModelArchitecture | undefined> {
  try {
    return await loadModel(model, readText)
  } catch (error) {
    if (given !== undefined || typeof model !== 'string') throw error
    return undefined
  }
}
