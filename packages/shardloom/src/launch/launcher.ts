import type { ModelArchitecture } from '@shardloom/models'
import type { SettingsReader } from './settings-reader.js'
import type { SpecReader } from './spec-reader.js'

/** What a flag or an entry of a file says. A list is words behind one flag, or an array of the file. */
export type Setting = string | number | boolean | readonly Setting[]

/** Flags by their names without dashes, or entries of a file by their path, such as `parallelism.tensor_parallel_degree`. */
export type Settings = ReadonlyMap<string, Setting>

/** What a launcher needs to know beside the spec. */
export interface LaunchFacts {
  /** The model, where it is known. */
  readonly architecture?: ModelArchitecture
  /** The model as the spec names it. */
  readonly model?: unknown
  /** Which of its orders the ranks have. */
  readonly order: number
  /** What a file with the order of a pipeline's actions is called, where one can be written beside. */
  readonly scheduleFile?: string
  /** Ranks in all, and in one node. */
  readonly world: number
  readonly perNode: number
}

/** What reading settings may need to know beside them. */
export interface ReadFacts {
  /** The model, where it is known. */
  readonly architecture?: ModelArchitecture
  /** How many ranks are started, where that is known. */
  readonly ranks?: number
  /** The field at a path such as `parallel.dp` that will stand over what settings say, as yet unchecked. */
  readonly over: (path: string) => unknown
}

/** A degree that will stand over what settings say, else theirs. */
export function degreeOver(over: ReadFacts['over'], axis: string, said: number): number {
  const value = over(`parallel.${axis}`)
  return typeof value === 'number' ? value : said
}

/** A spec as its launcher says it, yet unchecked. */
export type SpecFields = Readonly<Record<string, unknown>>

/** A tool that trains or serves models, and how its words say what a spec says. */
export interface Launcher {
  /** The tool's own name, such as `Megatron-LM`. */
  readonly title: string
  /** The version whose names these are. */
  readonly version: string
  /** The orders in which it can lay ranks, axes from innermost to outermost. */
  readonly orders: readonly (readonly string[])[]
  /** Which settings nobody reads may change a plan: an unknown one of them is an error, any other is ignored unless it is nearly one that is read. */
  readonly matters: RegExp
  /** Fields of the spec that get lost without harm, by the beginnings of their paths; a note says so. */
  readonly harmless?: readonly string[]
  /** Refuses a spec that it has no part in, before anything else is said of it. Throws `LAUNCHER`. */
  readonly check?: (spec: SpecReader) => void
  /** The settings that say what the spec says. Throws `LAUNCHER` for what they cannot. */
  readonly write: (spec: SpecReader, facts: LaunchFacts) => Record<string, Setting | undefined>
  /** Settings as text: a command or a file. */
  readonly print: (settings: Settings, facts: LaunchFacts) => string
  /** Reads such a text. */
  readonly parse: (text: string) => Settings
  /**
   * The model that settings name, as a spec would; undefined: none, or one that only their shapes describe. Throws `LAUNCHER` where
   * they leave open what no model that `isGiven` will stand in for.
   */
  readonly modelOf?: (settings: SettingsReader, isGiven: boolean) => unknown
  /** The fields of the spec that settings say. Throws `LAUNCHER` for what a spec cannot. */
  readonly read: (settings: SettingsReader, facts: ReadFacts) => SpecFields
}

/** The settings that are given: undefined and false are not said. */
export function settingsOf(values: Readonly<Record<string, Setting | undefined>>): Settings {
  return new Map(
    Object.entries(values).flatMap(([name, value]) => (value === undefined || value === false ? [] : [[name, value]])),
  )
}

/** An object without the fields that are undefined, and without objects that are then empty. */
export function given(value: Readonly<Record<string, unknown>>): SpecFields {
  const entries = Object.entries(value).flatMap(([key, each]): [string, unknown][] => {
    if (each === undefined) return []
    if (typeof each !== 'object' || each === null || Array.isArray(each)) return [[key, each]]
    const inner = given(each as Readonly<Record<string, unknown>>) // an object that is no list
    return Object.keys(inner).length > 0 ? [[key, inner]] : []
  })
  return Object.fromEntries(entries)
}

/** A degree as a spec has it: 1 is not said; one below it stays, for the spec's check to refuse. */
export const above1 = (degree: number): number | undefined => (degree === 1 ? undefined : degree)

/** Whether some layers of a model are mixtures of experts. */
export function hasExperts(architecture: ModelArchitecture | undefined): boolean {
  return Object.values(architecture?.layers ?? {}).some(({ ffn }) => ffn.kind === 'moe')
}

/** How many layers a model has. */
export function depthOf({ order }: ModelArchitecture): number {
  return order.runs.reduce((sum, { count }) => sum + count, 0) * (order.repeat ?? 1)
}
