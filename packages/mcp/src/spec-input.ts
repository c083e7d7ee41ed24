import { dirname } from 'node:path'
import {
  type LoadedSpec,
  loadSpec,
  type Plan,
  planLoaded,
  planServingLoaded,
  readSpecText,
  type ServingPlan,
  ShardloomError,
  type SpecInput,
  specFields,
  specJsonSchema,
} from 'shardloom'
import { importLaunch, launcherNames } from 'shardloom/launch'
import { z } from 'zod'
import type { ToolContext } from './tool.js'

/** Where agents find every field of a spec. */
export const specSchemaUri = 'shardloom://spec-schema'

interface Property {
  readonly type?: string
  readonly description?: string
  readonly enum?: readonly string[]
  readonly properties?: Readonly<Record<string, Property>>
}

/** A spec's fields in as few words as a model needs to choose them: the whole schema is a resource. */
function shortSchema(): Record<string, unknown> {
  const { properties = {} } = specJsonSchema() as Property
  const short = ({ type, description, enum: choices }: Property) => ({
    ...(type !== undefined && { type }),
    ...(description !== undefined && { description }),
    ...(choices && { enum: choices }),
  })
  const fields = Object.entries(properties).map(([name, property]) => {
    if (name === 'options') return [name, { type: 'object', description: optionNames() }]
    if (name !== 'parallel') return [name, short(property)]
    const degrees = Object.entries(property.properties ?? {}).map(([axis, each]) => [axis, short(each)])
    return [name, { ...short(property), properties: Object.fromEntries(degrees) }]
  })
  return Object.fromEntries(fields)
}

/** The options by their paths, with their values where they are few. */
function optionNames(): string {
  const names = specFields()
    .filter(({ path }) => path[0] === 'options' && path.length === 2)
    .map(({ path: [, name], choices }) => (choices ? `${name} (${choices.join('|')})` : name))
  return `${names.join(', ')}; objects decode, prefill, serving, tp, ep, pp, dp, sp: see the resource ${specSchemaUri}`
}

const file = z
  .string()
  .max(1000)
  .optional()
  .describe('instead of `spec`: path of a YAML or JSON spec, relative to the root of the server')
const spec = z.record(z.string(), z.unknown()).optional()
const launch = z
  .strictObject({ launcher: z.enum(launcherNames), text: z.string().min(1) })
  .optional()
  .describe('what a launcher is told, command line or file, as the start of the spec: fields of `spec` override it')

/** The spec of a call: itself, the file that has it, or what a launcher is told, with fields of a spec over that. Its fields are described where {@link describedSpecInput} is. */
export const specInput = {
  spec: spec.describe(`a spec; the tool plan lists its fields, the resource ${specSchemaUri} all of them`),
  file,
  launch,
}

/** {@link specInput} with the fields of a spec: of one tool, as every tool's description costs its readers tokens. */
export const describedSpecInput = {
  spec: spec.meta({
    description: `A spec (shardloom.spec/1). World size = replicas·dp·cp·ulysses·tp·pp ranks, one rank per device; ep and expertTp re-factor them. All fields: resource ${specSchemaUri}`,
    properties: shortSchema(),
  }),
  file,
  launch,
}

/** What {@link specInput} parses to. */
export type SpecSource = z.output<z.ZodObject<typeof specInput>>

/**
 * Reads the spec of a call and what it names; what was not taken over from a launcher is among the warnings. Throws `ARGUMENTS` for
 * none or two, `LAUNCHER` for what a launcher is told and cannot be planned, and what `loadSpec` throws.
 * `ranks` are those that are started where what a launcher is told leaves it open; else the devices of a cluster that says its nodes.
 */
export async function loadSource(
  { spec, file, launch }: SpecSource,
  { files }: ToolContext,
  { ranks }: { readonly ranks?: number | undefined } = {},
): Promise<LoadedSpec> {
  const given = spec ?? launch
  if ((given === undefined) === (file === undefined)) {
    const came = given ? `\`file\` and \`${spec ? 'spec' : 'launch'}\`` : 'none'
    throw new ShardloomError('ARGUMENTS', `Give one of \`spec\`, \`file\` and \`launch\`; ${came} came.`, {
      subject: 'spec',
      help: 'Such as {"spec": {"model": "llama-3.1-8b", "parallel": {"tp": 2}}}. `spec` may stand with `launch` alone.',
    })
  }
  if (file !== undefined) return loadSpec(readSpecText(await files.readText(file), file), files.access(dirname(file)))
  if (launch === undefined) return loadSpec(spec, files.access())
  const { readText } = files.access()
  const told = await importLaunch(launch.launcher, launch.text, {
    ...(spec?.model !== undefined && { model: spec.model as SpecInput['model'] }), // checked where it is loaded
    ...(spec?.cluster !== undefined && { cluster: spec.cluster as NonNullable<SpecInput['cluster']> }), // likewise
    ...(ranks !== undefined && { ranks }),
    over: spec,
    ...(readText && { readText }),
  })
  if (told.spec.model === undefined)
    throw new ShardloomError('LAUNCHER', 'The text of `launch` names no model that is known.', {
      subject: 'launch',
      help: 'Add {"spec": {"model": …}}: a preset, or the content of its config.json.',
    })
  const loaded = await loadSpec(overridden(told.spec, spec ?? {}), files.access())
  return { ...loaded, warnings: [...told.notes, ...(loaded.warnings ?? [])] }
}

/** The first value with the fields of the second in their places. */
function overridden(value: unknown, fields: unknown): unknown {
  if (!isObject(value) || !isObject(fields)) return fields
  const entries = Object.entries(fields).map(([key, each]) => [key, overridden(value[key], each)])
  return { ...value, ...Object.fromEntries(entries) }
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Plans the spec of a call. */
export async function planSource(source: SpecSource, context: ToolContext): Promise<Plan | ServingPlan> {
  return planned(await loadSource(source, context))
}

/** Plans a spec of any phase. */
export function planned(loaded: LoadedSpec): Plan | ServingPlan {
  return loaded.spec.phase === 'serving' ? planServingLoaded(loaded) : planLoaded(loaded)
}

/** The plans of a spec, in the order of time. */
export function phasesOf(planned: Plan | ServingPlan): readonly Plan[] {
  return 'program' in planned ? [planned] : [planned.prefill, planned.decode]
}
