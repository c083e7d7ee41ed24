import { ShardloomError } from './error.js'
import type { Json, Program, Tensor } from './program.js'

/** A program as JSON: lossless, versioned by `schema`, with tensors as a list in their order of creation. */
export function programToJson(program: Program): Json {
  const { tensors, ...rest } = program
  return { ...rest, tensors: [...tensors.values()] } as unknown as Json // every field is a readonly JSON value by its type
}

/**
 * Reads what {@link programToJson} wrote. Checks the schema version and the shape of what it relies on, and throws
 * `PROGRAM_JSON`; run the verifier on programs from elsewhere.
 */
export function programFromJson(value: unknown): Program {
  const bad = (why: string, help = 'Write it with `shardloom export --format json`.') =>
    new ShardloomError('PROGRAM_JSON', `This is not a Shardloom program: ${why}.`, { help })
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad('it is not an object')
  const found = value as Partial<Omit<Program, 'tensors'>> & { tensors?: unknown } // fields are checked one by one below
  if (found.schema !== 'shardloom.program/1')
    throw bad(`its schema is ${JSON.stringify(found.schema)?.slice(0, 60)}, not "shardloom.program/1"`)
  const lists = ['tensors', 'items', 'preferences'] as const
  for (const name of lists) if (!Array.isArray(found[name])) throw bad(`\`${name}\` is not a list`)
  const { mesh } = found
  if (!mesh || !Array.isArray(mesh.atoms) || !Array.isArray(mesh.axes) || typeof mesh.world !== 'number')
    throw bad('`mesh` is incomplete')
  const tensors = new Map<string, Tensor>()
  for (const tensor of found.tensors as readonly Partial<Tensor>[]) {
    if (
      typeof tensor?.id !== 'string' ||
      !Array.isArray(tensor.dims) ||
      !Array.isArray(tensor.shape) ||
      !Array.isArray(tensor.per)
    )
      throw bad('a tensor lacks `id`, `dims`, `shape` or `per`')
    if (tensors.has(tensor.id)) throw bad(`the tensor \`${tensor.id}\` stands twice`)
    tensors.set(tensor.id, tensor as Tensor) // required fields checked above, the rest are optional or read with defaults
  }
  checkItems(found.items, 0)
  return { ...found, tensors } as Program // all required fields were checked above
}

function checkItems(items: unknown, depth: number): void {
  const bad = (why: string) => new ShardloomError('PROGRAM_JSON', `This is not a Shardloom program: ${why}.`)
  if (depth > 16) throw bad('regions are nested more than 16 deep')
  if (!Array.isArray(items)) throw bad('a body has no list of items')
  for (const item of items) {
    if (typeof item?.id !== 'string') throw bad('an item has no id')
    if (item.type === 'node') {
      if (typeof item.rule !== 'string' || !Array.isArray(item.inputs) || !Array.isArray(item.outputs))
        throw bad(`the node \`${item.id}\` lacks \`rule\`, \`inputs\` or \`outputs\``)
    } else if (item.type === 'region') {
      if (!Array.isArray(item.bodies) || !Array.isArray(item.ports) || !Array.isArray(item.select))
        throw bad(`the region \`${item.id}\` lacks \`bodies\`, \`ports\` or \`select\``)
      for (const body of item.bodies) checkItems(body?.items, depth + 1)
    } else throw bad(`the item \`${item.id}\` is neither a node nor a region`)
  }
}
