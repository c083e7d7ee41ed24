import { type Mesh, maximumWorld } from './mesh.js'
import type { Chunk, Pipeline } from './pipeline.js'
import { dataTypes, type Item, type Port, type Program } from './program.js'
import { parseRule } from './rule.js'

type Test = (value: unknown) => boolean
type Tensors = Program['tensors']

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const word = (value: unknown): value is string => typeof value === 'string'
const whole = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0
const maybe = (test: Test) => (value: unknown) => value === undefined || value === null || test(value)
const oneOf = (words: readonly unknown[]) => (value: unknown) => words.includes(value)

/** Tests each entry of a list; holes too, which `every` skips. */
const list = (test: Test) => (value: unknown) => {
  if (!Array.isArray(value)) return false
  for (const each of value) if (!test(each)) return false
  return true
}
const record = (test: Test) => (value: unknown) => isRecord(value) && list(test)(Object.values(value))

/** Fields of one kind, their names in one string. */
type Group = readonly [names: string, test: Test]

/** Finds the first field that fails its test. */
const misfit = (...groups: readonly Group[]) => {
  const fields = groups.flatMap(([names, test]) =>
    names.split(' ').map((name) => [name, test, test(undefined)] as const),
  )
  return (value: unknown) => {
    if (!isRecord(value)) return 'every field'
    for (const [name, test, mayLack] of fields)
      if (value[name] === undefined ? !mayLack : !test(value[name])) return name
    return undefined
  }
}
const has = (...groups: readonly Group[]) => {
  const find = misfit(...groups)
  return (value: unknown) => find(value) === undefined
}

const words = list(word)
const wholes = list(whole)
const share = maybe((value) => wholes(value) && Boolean((value as readonly unknown[])[1])) // it is a list
const placement = has(['shards', list(words)], ['partial', record(word)])
const partition = has(['splits', record(words)], ['partial', record(wholes)], ['by', record(word)])
const reason = has(['tensor consumer', word], ['strategies', words])
const communication = has(['atoms', words], ['from to', placement], ['reason', reason])
const names: Test = (value) => word(value) || words(value)
const selected = ['segment module operator name body role', maybe(names)] as const
const where: Test = has(selected, ['except', maybe(has(selected))], ['and', maybe((value) => where(value))])
const preference = has(
  ['strategy axis class', word],
  ['dims', words],
  ['atoms', maybe(words)],
  ['where', maybe(where)],
  ['together innermost', maybe((value) => value === true)],
)
const earlier = has(['item', word], ['distance', (distance) => whole(distance) && distance > 0])
const growth = has(['position', whole], ['axis', word], ['by', Number.isFinite])
const rotation = has(['position offset', whole], ['atoms', words], ['axis', maybe(word)])
const layout = has(['axis', word], ['dims', words], ['order', oneOf(['zigzag', 'round-robin'])])
const ports = new Map<unknown, Test>([
  ['each', has(['tensor', word])],
  ['const', has(['tensor', word])],
  ['carry', has(['initial inner result', word], ['next', words])],
  ['reduce', has(['inner', list(maybe(word))], ['result', word])],
])
const mesh = has(
  ['atoms', list(has(['name', word], ['degree', (degree) => whole(degree) && degree > 1]))],
  ['axes', list(has(['name', word], ['degree', whole], ['atoms', words]))],
)

function isMesh(value: unknown): boolean {
  if (!mesh(value)) return false
  const { world, atoms, axes } = value as Mesh // as far as it is read
  const names = new Set(atoms.map(({ name }) => name))
  const known = axes.every((axis) => axis.atoms.every((name) => names.has(name)))
  const product = atoms.reduce((total, { degree }) => total * degree, 1)
  return known && names.size === atoms.length && product === world && world <= maximumWorld
}

const chunk = has(['from to rank', whole])
const pipelineFields = has(
  ['axis over schedule', word],
  ['chunks', (chunks) => list(chunk)(chunks) && Boolean((chunks as readonly unknown[]).length)], // it is a list
  ['directions', oneOf([1, 2])],
  ['actions', words],
)

/** The axis exists, and each direction's chunks follow each other on coordinates of it. */
function isPipeline(value: unknown, { axes }: Mesh): boolean {
  if (!pipelineFields(value)) return false
  const pipeline = value as Pipeline // as checked
  const degree = axes.find(({ name }) => name === pipeline.axis)?.degree ?? 0
  const follow = (at: number, before: Chunk | undefined, { from, to, rank }: Chunk) =>
    from === (at === 0 ? 0 : before?.to) && to >= from && rank < degree
  const each = pipeline.chunks.length / pipeline.directions
  return Number.isInteger(each) && pipeline.chunks.every((one, at) => follow(at % each, pipeline.chunks[at - 1], one))
}

const wrongIn = {
  program: misfit(
    ['tensors', (tensors) => tensors instanceof Map],
    ['items', Array.isArray],
    ['preferences', list(preference)],
    ['layouts', maybe(list(layout))],
    ['mesh', isMesh],
    ['name phase', word],
    ['notes', isRecord],
    ['loads', maybe(record((loads) => wholes(loads) && (loads as readonly number[]).some((load) => load > 0)))],
  ),
  tensor: misfit(
    ['id role', word],
    ['dims per', words],
    ['shape', wholes],
    ['dtype', oneOf(Object.keys(dataTypes))],
    ['density', share],
    ['growth', maybe(growth)],
    ['rotation', maybe(rotation)],
    ['copies', maybe(has(['position', whole], ['of', wholes]))],
    ['placement', maybe(placement)],
    ['storage', maybe(oneOf(['use', 'keep']))],
  ),
  node: misfit(
    ['rule op segment module', word],
    ['kind', oneOf(['compute', 'communication', 'control', 'memory'])],
    ['inputs outputs', words],
    ['after', maybe(list((each) => word(each) || earlier(each)))],
    ['barrier', maybe(words)],
    ['stages', maybe(list(oneOf(['first', 'last'])))],
    ['gradient', maybe(oneOf(['input', 'weight']))],
    ['attributes', maybe(isRecord)],
    ['density', share],
    ['partition', maybe(partition)],
    ['communication', maybe(communication)],
  ),
  region: misfit(
    ['bodies', list(has(['name', word], ['items', Array.isArray]))],
    ['axis order', word],
    ['extent', whole],
    ['select', list(has(['body count', whole]))],
    ['ports', list((port) => isRecord(port) && ports.get(port['kind'])?.(port) === true)],
  ),
}

/**
 * What keeps a value from being a program that other code can rely on, or undefined. With `before`, a sound program, the
 * tensors and nodes that both share are passed over, and the tensors that items name must exist, as many as rules and bodies
 * say: of programs from elsewhere the verifier says that. Throws what reading the value throws: it may be a proxy.
 */
export function shapeFault(value: unknown, before?: Program): string | undefined {
  if (!isRecord(value)) return value === undefined ? 'it is undefined' : 'it is not an object'
  const found = word(value['schema']) ? value['schema'].slice(0, 60) : typeof value['schema']
  if (found !== 'shardloom.program/1') return `its schema is ${found}, not shardloom.program/1`
  const wrong = wrongIn.program(value)
  if (wrong) return `\`${wrong}\` is missing or wrong`
  const { tensors, items, pipeline, mesh } = value as unknown as Program // what is read of it is checked first
  if (pipeline !== undefined && !isPipeline(pipeline, mesh)) return '`pipeline` is wrong'
  if (before?.tensors === tensors && before.items === items) return undefined
  for (const [id, tensor] of tensors) {
    const wrong = before?.tensors.get(id) === tensor ? undefined : wrongIn.tensor(tensor)
    if (wrong ?? tensor.id !== id) return `the tensor \`${id}\` lacks or misspells ${wrong ?? 'id'}`
  }
  // Where tensors are gone, nodes that are as before may name them.
  const isWhole = before && [...before.tensors.keys()].every((id) => tensors.has(id))
  return itemsFault(items, isWhole ? before.items : [], before && tensors)
}

function itemsFault(items: readonly Item[], before: readonly Item[], tensors?: Tensors, depth = 0): string | undefined {
  if (depth > 16) return 'regions are nested more than 16 deep'
  let at = 0
  for (const item of items) {
    const old = before[at]
    if (old?.id === item?.id) at++
    if (item && old === item) continue
    const { id, type } = item ?? {}
    if (!word(id)) return 'an item has no id'
    if (type !== 'node' && type !== 'region') return `the item \`${id}\` is neither a node nor a region`
    const wrong = wrongIn[type](item)
    if (wrong) return `the ${type} \`${id}\` lacks or misspells ${wrong}`
    let fault = tensors && openFault(item, tensors)
    const others = old?.type === 'region' ? old.bodies : []
    for (const [index, { items }] of item.type === 'region' ? item.bodies.entries() : [])
      fault ??= itemsFault(items, others[index]?.items ?? [], tensors, depth + 1)
    if (fault) return fault
  }
  return undefined
}

/** What an item names that is not there. */
function openFault(item: Item, tensors: Tensors): string | undefined {
  const gone = (id: string | null) => id !== null && !tensors.has(id)
  let ids: readonly (string | null)[]
  if (item.type === 'node') {
    const { id, inputs, outputs, rule } = item
    const { operands, results } = parseRule(rule)
    if (inputs.length !== operands.length || outputs.length !== results.length)
      return `\`${id}\` has other numbers of inputs and outputs than its rule \`${rule}\``
    ids = inputs.some(gone) ? inputs : outputs
  } else {
    const { length } = item.bodies
    const uneven = (port: Port) =>
      ('next' in port ? port.next : 'inner' in port ? port.inner : item.bodies).length !== length
    if (item.select.some(({ body }) => body >= length) || item.ports.some(uneven))
      return `\`select\` or a port of \`${item.id}\` does not fit its ${length} bodies`
    ids = item.ports.flatMap((port) => ('tensor' in port ? port.tensor : Object.values({ ...port, kind: null }).flat()))
  }
  const missing = ids.find(gone)
  return missing === undefined ? undefined : `\`${item.id}\` names the tensor \`${missing}\`, which does not exist`
}
