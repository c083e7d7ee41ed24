import { existsSync, statSync } from 'node:fs'
import { dirname, isAbsolute, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Command, Option } from 'commander'
import {
  decimal,
  isDataAddress,
  isModelPath,
  type LoadedSpec,
  loadSpec,
  type Plan,
  planLoaded,
  planServingLoaded,
  readSpecText,
  type ServingPlan,
  ShardloomError,
  type SpecField,
  type SpecInput,
  specFields,
} from 'shardloom'
import { type Io, locate } from './io.js'
import { phaseOfServing } from './phase-of-serving.js'
import { readStandardInput, readTextFile } from './read-file.js'
import { UsageError } from './report-error.js'

/** The options of every command, as commander collects them: names in camel case, values as typed. */
export type Flags = Readonly<Record<string, unknown>>

const fields = specFields()

/** Adds a flag for every scalar field of the spec, `--plugin` and `--set`; what errors suggest names this command. */
export function addSpecFlags(command: Command): Command {
  command.setOptionValueWithSource('command', command.name(), 'implied')
  const elsewhere = command.name() === 'simulate' ? '' : ';\nfor --serving-… flags see `shardloom simulate --help`'
  command.optionsGroup(`Spec (each flag overrides the field of the same name${elsewhere}):`)
  for (const field of fields) {
    // Their names are so long that no room is left for what they mean: `simulate` lists them by themselves.
    const hidden = isServing(field)
    command.addOption(hidden ? flagOf(field).hideHelp() : flagOf(field))
  }
  return command
    .option('--order <axes>', 'axes from innermost to outermost, such as tp,dp')
    .option('--plugin <path>', 'ES module of a plugin; repeatable', collect)
    .option(
      '--import <launcher:file>',
      'take the fields from flags or a file of megatron, torchtitan, deepspeed, vllm or sglang; - is standard input',
    )
    .option('--set <field=value>', 'any field, such as options.tp.where.module=ffn; repeatable', collect)
}

const isServing = ({ path }: SpecField) => path[1] === 'serving'

/** The fields of the phase serving, each of which has a flag. */
export const servingFields: readonly SpecField[] = fields.filter(isServing)

/** The flags by which a spec of serving is read as one of its phases: those of serving itself would be refused beside them. */
export const phaseFlags = '`--phase prefill` or `--phase decode`, without --serving flags'

/** The option of a field, with its values and its default behind what it means. */
export function flagOf(field: SpecField): Option {
  const value = { integer: '<n>', number: '<x>', boolean: '[boolean]', string: field.choices ? '<word>' : '<text>' }[
    field.type
  ]
  const choices = field.choices ? ` (${field.choices.join(', ')})` : ''
  const fallback = field.default === undefined ? '' : ` [${field.default}]`
  return new Option(`--${field.flag} ${value}`, `${field.description}${choices}${fallback}`)
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value]
}

/** A word as a shell reads it back. */
export const shellWord = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`

/** The arguments that give a command the spec that these flags describe, its path aside. */
export function specArguments(flags: Flags): string[] {
  const named = [...fields.map(({ flag }) => flag), 'order', 'import', 'plugin', 'set']
  return named.flatMap((flag) => {
    const value = flags[camel(flag)]
    if (value === undefined) return []
    if (value === true) return [`--${flag}`]
    return (Array.isArray(value) ? value : [value]).flatMap((each) => [`--${flag}`, String(each)])
  })
}

/** The arguments of this call that describe the spec, quoted for a shell, a flag in one text with its value. */
export function repeatedArguments(args: readonly string[]): string[] {
  const own = args.slice(1).filter((each) => each !== '--fold' && each !== '--json')
  const quoted = own.map(shellWord)
  const entries: string[] = []
  quoted.forEach((each, index) => {
    const flag = quoted[index - 1] ?? ''
    if (/^--[^=]+$/.test(flag) && !each.startsWith('-')) entries.push(`${entries.pop()} ${each}`)
    else entries.push(each)
  })
  return entries
}

/** Plans what a spec file, flags, or both describe. */
export async function planFrom(io: Io, specPath: string | undefined, flags: Flags): Promise<Plan | ServingPlan> {
  const loaded = await loadFrom(io, specPath, flags)
  return loaded.spec.phase === 'serving' ? planServingLoaded(loaded) : planLoaded(loaded)
}

/** The plans that a command prints one after the other, in the order of time. */
export function phasesOf(planned: Plan | ServingPlan): readonly Plan[] {
  return 'program' in planned ? [planned] : [planned.prefill, planned.decode]
}

/**
 * Reads the spec that a file, flags, or both describe. Paths in the spec are relative to it, paths in flags to this
 * folder.
 */
export async function loadFrom(io: Io, specPath: string | undefined, flags: Flags): Promise<LoadedSpec> {
  const overrides = overridesOf(flags)
  const told = flags.import === undefined ? undefined : await readLaunch(io, specPath, flags, withAll({}, overrides))
  const file = told?.spec ?? (specPath === undefined ? {} : await readSpecFile(io, specPath))
  if (told && told.spec.model === undefined && !overrides.some(({ path }) => path[0] === 'model')) {
    throw new ShardloomError('LAUNCHER', `${String(flags.import)} names no model that is known.`, {
      subject: '--import',
      help: 'Add `--model`: a preset, or the path of its config.json.',
    })
  }
  if (specPath === undefined && !told && overrides.every(({ path }) => path[0] !== 'model' && path[0] !== 'preset')) {
    throw new UsageError(
      'There is nothing to plan: no spec file and no --model.',
      `Try \`shardloom ${exampleOf(flags)}\`.`,
    )
  }
  const phase = overrides.findLast(({ path }) => path.length === 1 && path[0] === 'phase')?.value
  const { spec: own, warnings } = phaseOfServing(file, phase)
  const spec = withAll(own, overrides)
  const found = pathFinder(io, specPath, flags)
  const input = withPlugins(spec, pluginPaths(flags))
  const loaded = await loadSpec(input, {
    readText: (path) => readTextFile(io, found(path), path),
    importPlugin: (path) => importModule(found(path), path),
  })
  const said = [...(told?.notes ?? []), ...warnings]
  return said.length > 0 ? { ...loaded, warnings: [...said, ...(loaded.warnings ?? [])] } : loaded
}

/** Finds the files that a spec names: paths in flags are relative to this folder, all others to the spec. */
export function pathFinder(io: Io, specPath: string | undefined, flags: Flags): (path: string) => string {
  const base = specPath === undefined || specPath === '-' ? io.cwd() : dirname(locate(io, specPath))
  const fromFlag = new Set([...overridesOf(flags).map(({ value }) => value), ...pluginPaths(flags)])
  return (path) =>
    isAbsolute(path) || isDataAddress(path) ? path : resolve(fromFlag.has(path) ? io.cwd() : base, path)
}

/**
 * The fields that `--import` stands for: `megatron:run.sh`, `megatron:-`, the flags themselves, `megatron: --seq-length 8`, or a whole command,
 * `megatron: torchrun … --seq-length 8`.
 */
async function readLaunch(io: Io, specPath: string | undefined, { import: from, ranks: given }: Flags, over: unknown) {
  const ranks = typeof given === 'number' ? given : undefined
  const { importLaunch, launcherNames } = await import('shardloom/launch') // its libraries are loaded only for this
  const [, word = '', rest = ''] = /^([^:]*):(.*)$/s.exec(String(from)) ?? []
  const name = launcherNames.find((each) => each === word)
  if (name === undefined || rest.trim() === '')
    throw new UsageError(
      `--import ${String(from)} is not of the form launcher:file.`,
      `Such as \`--import megatron:run.sh\`. Launchers: ${launcherNames.join(', ')}.`,
    )
  if (specPath !== undefined)
    throw new UsageError(
      'A spec and --import both say what is planned.',
      'Give one of them; single flags may be added.',
    )
  const read = (path: string) => (path === '-' ? readStandardInput(io) : readTextFile(io, locate(io, path), path))
  const text = isCommand(rest, (path) => existsSync(locate(io, path))) ? rest : await read(rest.trim())
  const { model, cluster } = Object(over) as Readonly<Record<string, unknown>> // what flags say of them
  return importLaunch(name, text, {
    ...(model !== undefined && { model: model as SpecInput['model'] }), // checked where it is loaded
    ...(cluster !== undefined && { cluster: cluster as NonNullable<SpecInput['cluster']> }),
    ...(ranks !== undefined && { ranks }),
    over,
    readText: (path) => readTextFile(io, locate(io, path), path),
  })
}

/** Whether a text is flags or a command with some, and no path: paths hold no flag behind a space, but those of files that there are. */
function isCommand(text: string, isFile: (path: string) => boolean): boolean {
  return /^\s*-{1,2}[a-z]/i.test(text) || (/\s-{1,2}[a-z]/i.test(text) && !isFile(text.trim()))
}

/** A call of the command that these flags belong to. */
function exampleOf({ command = 'plan', passes }: Flags): string {
  const model = '--model llama-3.1-8b'
  if (command === 'search') return `search ${model} --cluster dgx-h100 --ranks 8`
  return `${command === 'explain' ? `explain ${passes === true ? '--passes' : 'NODE'}` : command} ${model} --tp 2`
}

async function readSpecFile(io: Io, path: string): Promise<unknown> {
  const text = path === '-' ? await readStandardInput(io) : await readTextFile(io, locate(io, path), path)
  const value = readSpecText(text, path === '-' ? 'standard input' : path)
  if (typeof value === 'object' && value !== null && 'model_type' in value) {
    throw new ShardloomError('SPEC_VALUE', `${path} is a Hugging Face config, not a spec.`, {
      subject: path,
      help: `Use --model ${isModelPath(path) ? path : `./${path}`}.`,
    })
  }
  if (typeof value === 'object' && value !== null && 'schema' in value && value.schema === 'shardloom.search/1') {
    const has = 'best' in value && Array.isArray(value.best) ? 'Its spec is `best[0].spec`' : 'It holds specs'
    throw new ShardloomError('SPEC_VALUE', `${path} is the result of a search, not a spec.`, {
      subject: path,
      help: `${has}: search with \`--spec best.yaml\`, which writes it, and give that.`,
    })
  }
  return value ?? {}
}

interface Override {
  readonly path: readonly string[]
  readonly value: unknown
}

function overridesOf(flags: Flags): Override[] {
  const scalars = fields.flatMap((field): Override[] => {
    const typed = flags[camel(field.flag)]
    return typed === undefined ? [] : [{ path: field.path, value: scalar(field, typed) }]
  })
  const order =
    typeof flags.order === 'string'
      ? [{ path: ['order'], value: flags.order.split(',').map((each) => each.trim()) }]
      : []
  const set = list(flags.set).map((text) => {
    const equals = text.indexOf('=')
    if (equals < 1)
      throw new UsageError(`--set ${text} is not of the form field=value.`, 'Such as `--set parallel.tp=2`.')
    return { path: text.slice(0, equals).split('.'), value: readSpecText(text.slice(equals + 1), `--set ${text}`) }
  })
  return [...scalars, ...order, ...set]
}

/**
 * What a flag's text means: an object where it begins with a brace, and of a number a list where it begins with a bracket.
 * Text that is no number stays text, for the spec's own check to refuse with the field's name.
 */
function scalar(field: SpecField, typed: unknown): unknown {
  if (typeof typed !== 'string') return typed
  const numeric = field.type === 'integer' || field.type === 'number'
  if ((numeric ? /^\s*[{[]/ : /^\s*\{/).test(typed)) return readSpecText(typed, `--${field.flag}`)
  if (field.type === 'boolean' && /^(true|false)$/.test(typed)) return typed === 'true'
  return numeric ? (decimal(typed) ?? typed) : typed
}

/** What a spec is with all of these fields set. The fields of a cluster that is named go on top of the preset. */
function withAll(spec: unknown, overrides: readonly Override[]): unknown {
  return overrides.reduce((value, { path, value: set }) => {
    const named = Object(value).cluster
    const isNamed = path[0] === 'cluster' && path.length > 1 && typeof named === 'string' && !isModelPath(named)
    return withValue(isNamed ? withValue(value, ['cluster'], { preset: named }) : value, path, set)
  }, spec)
}

/** The object with one field set, made where it is missing; a value that is no object stays, for the check to refuse. */
function withValue(object: unknown, path: readonly string[], value: unknown): unknown {
  const [key, ...rest] = path
  if (key === undefined) return value
  if (object !== undefined && (typeof object !== 'object' || object === null || Array.isArray(object))) return object
  const entries = new Map(Object.entries(object ?? {}))
  return Object.fromEntries(entries.set(key, withValue(entries.get(key), rest, value)))
}

function withPlugins(spec: unknown, paths: readonly string[]): unknown {
  if (paths.length === 0 || typeof spec !== 'object' || spec === null) return spec
  const known = 'plugins' in spec ? spec.plugins : []
  return Array.isArray(known) ? { ...spec, plugins: [...known, ...paths] } : spec
}

function pluginPaths(flags: Flags): readonly string[] {
  return list(flags.plugin)
}

function list(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : []
}

/** Imports the module of a plugin, which messages call as it is `shown`. Throws `PLUGIN`. */
export async function importModule(path: string, shown: string): Promise<unknown> {
  try {
    if (existsSync(path) && !statSync(path).isFile()) throw new Error('it is not a file')
    return await import(pathToFileURL(path).href)
  } catch (cause) {
    const reason = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause)
    const missing = cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND'
    throw new ShardloomError(
      'PLUGIN',
      `Cannot import the plugin ${shown}: ${missing ? 'there is no such module, or one that it imports is missing' : reason}.`,
      {
        subject: shown,
        cause,
        help: 'A plugin is an ES module (.js or .mjs) whose default export is the plugin or a factory of it.',
      },
    )
  }
}

/** A flag as commander names its value: `reserve-bytes` is `reserveBytes`. */
export function camel(flag: string): string {
  return flag.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}
