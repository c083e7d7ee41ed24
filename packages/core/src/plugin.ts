import { ShardloomError } from './error.js'
import type { Violation } from './finding.js'
import { type OperatorDefinition, type OperatorTable, operatorTable } from './operator.js'
import { type Pass, passPhases } from './pass.js'
import type { Json, Program } from './program.js'

/** A mesh axis that a plugin brings. */
export interface PluginAxis {
  readonly name: string
  /** What the axis splits, for help texts. */
  readonly description: string
  /**
   * Degrees, major first, into which the axis is divided for this program, when its parts split different dims. `sizes`
   * gives the sizes that a dim has in the model, `degreeOf` the degree of any axis. Default: undivided.
   */
  readonly factors?: (
    degree: number,
    sizes: (dim: string) => readonly number[],
    degreeOf: (axis: string) => number,
  ) => readonly number[]
  /**
   * Where the axis stands among the ranks. Default: it multiplies them, and axes that refactor may divide its ranks
   * otherwise. `outer`: it multiplies them, and its ranks stay as they are. `refactor`: it divides the ranks of all axes
   * but the outer ones once more, together with the other such axes in the order given, outermost first; the first of
   * them gets what the others leave.
   */
  readonly ranks?: 'outer' | 'refactor'
  /** The axis whose innermost ranks this one names once more, without adding any: its degree divides that one's. */
  readonly within?: string
}

/** What a search may choose for a plugin: a degree of its axis, or an option by its path, and the values that it tries. */
export interface PluginChoice {
  readonly name: string
  readonly values: readonly (string | number | boolean)[]
}

/** A rule that a plugin adds to the verifier. */
export interface PluginRule {
  readonly name: string
  /** The number of a rule of the architecture page that it adds to; default: it is a rule of its own. */
  readonly rule?: number
  readonly check: (
    program: Program,
    operators: OperatorTable,
  ) => { readonly checked: number; readonly violations: readonly Violation[] }
}

/** A plain readonly object, made by a factory with options: the whole of what a strategy or a model brings. */
export interface Plugin {
  readonly name: string
  readonly axes?: readonly PluginAxis[]
  /** JSON Schema of the plugin's options. */
  readonly options?: Json
  readonly operators?: readonly OperatorDefinition[]
  readonly passes?: readonly Pass[]
  readonly verify?: readonly PluginRule[]
  readonly choices?: readonly PluginChoice[]
  /** What a launcher such as `megatron` is told of the plugin's axes and options: flags without dashes, or entries of its file by path. */
  readonly launchFlags?: (
    launcher: string,
    degreeOf: (axis: string) => number,
  ) => Readonly<Record<string, string | number | boolean>> | undefined
}

/** What a set of plugins brings together. */
export interface Composition {
  readonly plugins: readonly Plugin[]
  readonly operators: OperatorTable
  readonly passes: readonly Pass[]
  readonly axes: readonly PluginAxis[]
  readonly rules: readonly PluginRule[]
}

/** Joins plugins. Throws `PLUGIN` on something that is none and `PLUGIN_CONFLICT` when two claim one name, axis or operator. */
export function composePlugins(plugins: readonly Plugin[]): Composition {
  const owners = new Map<string, string>()
  const claim = (what: string, name: string, plugin: Plugin) => {
    const key = `${what} \`${name}\``
    const owner = owners.get(key)
    if (owner !== undefined) {
      const message = `The plugins \`${owner}\` and \`${plugin.name}\` both bring the ${key}.`
      throw new ShardloomError('PLUGIN_CONFLICT', message, { subject: name, help: 'Use only one of them, or rename.' })
    }
    owners.set(key, plugin.name)
  }
  for (const plugin of plugins) {
    checkPlugin(plugin)
    claim('plugin', plugin.name, plugin)
    for (const axis of plugin.axes ?? []) claim('axis', axis.name, plugin)
    for (const operator of plugin.operators ?? []) claim('operator', operator.name, plugin)
    for (const pass of plugin.passes ?? []) claim('pass', pass.name, plugin)
  }
  return {
    plugins,
    operators: operatorTable(plugins.flatMap((plugin) => plugin.operators ?? [])),
    passes: plugins.flatMap((plugin) => plugin.passes ?? []),
    axes: plugins.flatMap((plugin) => plugin.axes ?? []),
    rules: plugins.flatMap((plugin) => plugin.verify ?? []),
  }
}

function checkPlugin(plugin: Plugin): void {
  const bad = (why: string) =>
    new ShardloomError('PLUGIN', `This is not a plugin: ${why}.`, {
      help: 'A plugin is an object `{ name, axes?, operators?, passes? }` or what a factory returns.',
    })
  if (typeof plugin !== 'object' || plugin === null)
    throw bad(`it is ${plugin === null ? 'null' : `a ${typeof plugin}`}`)
  if (typeof plugin.name !== 'string' || !/^[A-Za-z][\w.-]{0,63}$/.test(plugin.name))
    throw bad('its `name` is not a word')
  for (const field of ['axes', 'operators', 'passes', 'verify'] as const) {
    const list = plugin[field]
    if (list === undefined) continue
    if (!Array.isArray(list) || list.some((entry) => typeof entry?.name !== 'string'))
      throw bad(`\`${plugin.name}.${field}\` is not a list of named objects`)
  }
  for (const pass of plugin.passes ?? []) {
    if (typeof pass.run !== 'function') throw bad(`the pass \`${pass.name}\` has no \`run\``)
    if (!passPhases.includes(pass.phase)) throw bad(`the phase of the pass \`${pass.name}\` is none of ${passPhases}`)
  }
  for (const rule of plugin.verify ?? [])
    if (typeof rule.check !== 'function') throw bad(`the rule \`${rule.name}\` has no \`check\``)
}

/** The program with further preferences; the same object when it has them already. */
export function withPreferences(program: Program, preferences: Program['preferences']): Program {
  const known = new Set(program.preferences.map((preference) => JSON.stringify(preference)))
  const added = preferences.filter((preference) => !known.has(JSON.stringify(preference)))
  return added.length ? { ...program, preferences: [...program.preferences, ...added] } : program
}

/** Every size that a dim of that name has in the program's tensors, ascending. */
export function dimSizesOf(program: Program, dim: string): number[] {
  const sizes = new Set<number>()
  for (const { dims, shape } of program.tensors.values())
    if (dims.includes(dim)) dims.forEach((name, position) => name === dim && sizes.add(shape[position] ?? 0))
  return [...sizes].sort((a, b) => a - b)
}
