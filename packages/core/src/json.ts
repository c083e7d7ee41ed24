import { ShardloomError } from './error.js'
import { type Atom, type Mesh, maximumWorld } from './mesh.js'
import { dataTypes, type Json, type Program, type Tensor } from './program.js'

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
  if (!isMesh(found.mesh)) throw bad('`mesh` is incomplete, or its degrees do not multiply to its ranks')
  const tensors = new Map<string, Tensor>()
  for (const tensor of found.tensors as readonly Partial<Tensor>[]) {
    if (typeof tensor?.id !== 'string') throw bad('a tensor lacks `id`')
    if (!isTensor(tensor)) throw bad(`the tensor \`${tensor.id}\` lacks or misspells a field`)
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
      const { op, rule, segment, module, partition } = item
      const words = [op, rule, segment, module].every((each) => typeof each === 'string')
      if (!words || !areWords(item.inputs) || !areWords(item.outputs))
        throw bad(`the node \`${item.id}\` lacks \`op\`, \`rule\`, \`segment\`, \`module\`, \`inputs\` or \`outputs\``)
      if (
        partition &&
        !(isRecord(partition.splits) && Object.values(partition.splits).every(areWords) && isRecord(partition.partial))
      )
        throw bad(`the partition of \`${item.id}\` is incomplete`)
    } else if (item.type === 'region') {
      if (
        !Array.isArray(item.bodies) ||
        !Array.isArray(item.ports) ||
        !Array.isArray(item.select) ||
        !isWhole(item.extent)
      )
        throw bad(`the region \`${item.id}\` lacks \`bodies\`, \`ports\`, \`select\` or \`extent\``)
      for (const body of item.bodies) checkItems(body?.items, depth + 1)
    } else throw bad(`the item \`${item.id}\` is neither a node nor a region`)
  }
}

const isWhole = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0
const areWords = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((each) => typeof each === 'string')

function isMesh(mesh: Partial<Mesh> | undefined): mesh is Mesh {
  if (!Array.isArray(mesh?.atoms) || !Array.isArray(mesh.axes)) return false
  const names = new Set<unknown>(mesh.atoms.map((atom) => atom?.name))
  const atoms = mesh.atoms.every(
    (atom: Partial<Atom> | null) => typeof atom?.name === 'string' && isWhole(atom.degree) && atom.degree > 1,
  )
  const axes = mesh.axes.every(
    (axis) =>
      typeof axis?.name === 'string' && areWords(axis.atoms) && axis.atoms.every((atom: string) => names.has(atom)),
  )
  if (!atoms || !axes || names.size < mesh.atoms.length) return false
  const world = mesh.atoms.reduce((product, atom) => product * atom.degree, 1)
  return world === mesh.world && world <= maximumWorld
}

function isTensor({ dims, shape, per, dtype, density, placement }: Partial<Tensor>): boolean {
  if (!areWords(dims) || !areWords(per) || !Array.isArray(shape) || !shape.every(isWhole)) return false
  if (typeof dtype !== 'string' || !Object.hasOwn(dataTypes, dtype)) return false
  if (density && !(Array.isArray(density) && density.every(isWhole) && density[1])) return false
  return (
    !placement || (isRecord(placement.partial) && Array.isArray(placement.shards) && placement.shards.every(areWords))
  )
}

const isRecord = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
