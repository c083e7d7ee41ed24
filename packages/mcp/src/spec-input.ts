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
  specFields,
  specJsonSchema,
} from 'shardloom'
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

/** The spec of a call: itself, or the file that has it. Its fields are described where {@link describedSpecInput} is. */
export const specInput = {
  spec: spec.describe(`a spec; the tool plan lists its fields, the resource ${specSchemaUri} all of them`),
  file,
}

/** {@link specInput} with the fields of a spec: of one tool, as every tool's description costs its readers tokens. */
export const describedSpecInput = {
  spec: spec.meta({
    description: `A spec (shardloom.spec/1). World size = replicas·dp·cp·ulysses·tp·pp ranks, one rank per device; ep and expertTp re-factor them. All fields: resource ${specSchemaUri}`,
    properties: shortSchema(),
  }),
  file,
}

/** What {@link specInput} parses to. */
export interface SpecSource {
  readonly spec?: Readonly<Record<string, unknown>> | undefined
  readonly file?: string | undefined
}

/** Reads the spec of a call and what it names. Throws `ARGUMENTS` for none or two, and what `loadSpec` throws. */
export async function loadSource({ spec, file }: SpecSource, { files }: ToolContext): Promise<LoadedSpec> {
  if ((spec === undefined) === (file === undefined)) {
    throw new ShardloomError('ARGUMENTS', `Give one of \`spec\` and \`file\`; ${spec ? 'both' : 'neither'} came.`, {
      subject: 'spec',
      help: 'Such as {"spec": {"model": "llama-3.1-8b", "parallel": {"tp": 2}}}.',
    })
  }
  if (file === undefined) return loadSpec(spec, files.access())
  return loadSpec(readSpecText(await files.readText(file), file), files.access(dirname(file)))
}

/** Plans the spec of a call. */
export async function planSource(source: SpecSource, context: ToolContext): Promise<Plan | ServingPlan> {
  const loaded = await loadSource(source, context)
  return loaded.spec.phase === 'serving' ? planServingLoaded(loaded) : planLoaded(loaded)
}

/** The plans of a spec, in the order of time. */
export function phasesOf(planned: Plan | ServingPlan): readonly Plan[] {
  return 'program' in planned ? [planned] : [planned.prefill, planned.decode]
}
