import { checkProgram } from './argument.js'
import { ShardloomError } from './error.js'
import type { Json, Program } from './program.js'
import { shapeFault } from './shape.js'

/** A program as JSON: lossless, versioned by `schema`, with tensors as a list in their order of creation. */
export function programToJson(program: Program): Json {
  checkProgram(program)
  const { tensors, ...rest } = program
  return { ...rest, tensors: [...tensors.values()] } as unknown as Json // every field is a readonly JSON value by its type
}

/**
 * Reads what {@link programToJson} wrote. Checks the schema version and the shape of what it relies on, and throws
 * `PROGRAM_JSON`; run the verifier on programs from elsewhere.
 */
export function programFromJson(value: unknown): Program {
  const help = 'Write it with `shardloom export --format json`.'
  const bad = (why: string) => new ShardloomError('PROGRAM_JSON', `This is not a Shardloom program: ${why}.`, { help })
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad('it is not an object')
  const { tensors: list, ...rest } = value as { readonly tensors?: unknown } // an object
  const tensors = new Map<unknown, unknown>()
  for (const tensor of Array.isArray(list) ? list : []) {
    if (tensors.has(tensor?.id)) throw bad(`the tensor \`${tensor?.id}\` stands twice`)
    tensors.set(tensor?.id, tensor)
  }
  const program = { ...rest, tensors }
  const fault = shapeFault(program) ?? (Array.isArray(list) ? undefined : '`tensors` is not a list')
  if (fault) throw bad(fault)
  return program as unknown as Program // as shapeFault found
}
