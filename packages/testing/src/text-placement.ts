import {
  type Axis,
  createMesh,
  findAxis,
  type Mesh,
  type Partition,
  type Placement,
  placementText,
  type Reduction,
  replicated,
  type ShardloomError,
} from '@shardloom/core'
import type { Cursor } from './text-line.js'
import { wordText } from './text-line.js'

type Fail = (why: string, help?: string) => ShardloomError

/** Whether two JSON-like values are equal, whatever the order of their fields. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || !a || !b || Array.isArray(a) !== Array.isArray(b)) return false
  const [left, right] = [Object.entries(a), new Map(Object.entries(b))]
  return left.length === right.size && left.every(([key, value]) => right.has(key) && sameValue(value, right.get(key)))
}

/** `short` when it reads back as `value`, else the value as JSON: what the short form cannot say is still not lost. */
function shortest(value: unknown, short: string, read: (text: string) => unknown): string {
  try {
    if (!/[;{"\n]/.test(short) && sameValue(read(short.trim()), value)) return short
  } catch {}
  return JSON.stringify(value)
}

const noFail: Fail = () => {
  throw new Error('it cannot be read back')
}

/** Atoms joined by dots, `-` for none. */
export function atomsText(atoms: readonly string[], mesh: Mesh): string {
  const short = atoms.join('.') || '-'
  if (short !== '-' && wordText(short) !== short) return JSON.stringify(atoms)
  return shortest(atoms, short, (text) => readAtoms(text, mesh, noFail))
}

/** Reads atoms joined by dots; an axis stands for its atoms. */
export function readAtoms(text: string, mesh: Mesh, fail: Fail): readonly string[] {
  if (text === '-') return []
  const pieces = text.split('.')
  const known = new Set(mesh.atoms.map((atom) => atom.name))
  const atoms: string[] = []
  for (let from = 0; from < pieces.length; ) {
    let to = pieces.length
    while (to > from && !known.has(pieces.slice(from, to).join('.'))) to--
    const axis = to === from ? findAxis(mesh, pieces[from] ?? '') : undefined
    if (to === from && !axis) {
      const names = mesh.axes.map(({ name }) => `\`${name}\``).join(', ')
      const help = names ? `It has the axes ${names}.` : 'Write a line such as `mesh dp=2 tp=4`.'
      throw fail(`the mesh has no axis or atom \`${pieces[from]}\``, help)
    }
    atoms.push(...(axis ? axis.atoms : [pieces.slice(from, to).join('.')]))
    from = axis ? from + 1 : to
  }
  return atoms
}

/** Reads what {@link atomsText} wrote. */
export function takeAtoms(cursor: Cursor, mesh: Mesh): readonly string[] {
  if (cursor.sees('[')) return wordsOf(cursor.json(), cursor)
  return cursor.take('-') ? [] : readAtoms(cursor.word('an axis'), mesh, (...why) => cursor.error(...why))
}

/** The strings of a JSON list. */
export function wordsOf(value: unknown, cursor: Cursor): readonly string[] {
  if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return value
  throw cursor.error('a list of strings should stand here', undefined, JSON.stringify(value))
}

/** A placement such as `seq/tp · partial(sum)/dp`, or `replicate`. */
export function placementWords(placement: Placement, dims: readonly string[], mesh: Mesh): string {
  return shortest(placement, placementText(placement, dims), (text) => readPlacement(text, dims, mesh, noFail))
}

/** Reads a placement of a tensor with these dims. */
export function takePlacement(cursor: Cursor, dims: readonly string[], mesh: Mesh): Placement {
  if (!cursor.sees('{')) return readPlacement(cursor.raw(), dims, mesh, (...why) => cursor.error(...why))
  const value = cursor.json() as Partial<Placement> // checked below
  const { shards, partial } = value
  const isRecord = typeof partial === 'object' && partial !== null && !Array.isArray(partial)
  if (!Array.isArray(shards) || !isRecord) throw cursor.error('a placement has `shards` and `partial`')
  return { shards: shards.map((atoms) => wordsOf(atoms, cursor)), partial }
}

function readPlacement(text: string, dims: readonly string[], mesh: Mesh, fail: Fail): Placement {
  if (text === 'replicate') return replicated(dims.length)
  const shards = dims.map((): readonly string[] => [])
  const partial: [string, Reduction][] = []
  for (const { head, atoms, argument } of parts(text, mesh, fail)) {
    if (head === 'partial') {
      if (argument !== 'sum' && argument !== 'max' && argument !== 'lse')
        throw fail(`\`${argument}\` is no reduction`, 'Use `sum`, `max` or `lse`.')
      partial.push(...atoms.map((atom): [string, Reduction] => [atom, argument]))
      continue
    }
    const position = dims.indexOf(head)
    if (position < 0) throw fail(`the tensor has no dim \`${head}\``, `Its dims are: ${dims.join(' ') || 'none'}.`)
    shards[position] = atoms
  }
  return { shards, partial: Object.fromEntries(partial) }
}

/** The parts of `a/x · partial(sum)/y`. */
function parts(text: string, mesh: Mesh, fail: Fail) {
  return text.split(/[·,](?![^(]*\))/).map((part) => {
    const found = /^(?:(partial)\(([\w,]*)\)|([^/\s]+))\/(\S+)$/.exec(part.trim())
    const [, partial, argument = '', dim = '', atoms = ''] = found ?? []
    if (!found) throw fail('it is no placement', 'Write it like `seq/tp · partial(sum)/dp`, or `replicate`.')
    return { head: partial ?? dim, argument, atoms: readAtoms(atoms, mesh, fail) }
  })
}

/** A partition such as `batch/dp · ffn/tp · partial(0,1)/cp`, or `none`. */
export function partitionWords({ splits, partial }: Partition, mesh: Mesh): string {
  const words = [
    ...Object.entries(splits).map(([dim, atoms]) => `${dim}/${atoms.join('.') || '-'}`),
    ...Object.entries(partial).map(([atom, operands]) => `partial(${operands.join()})/${atom}`),
  ]
  return shortest({ splits, partial }, words.join(' · ') || 'none', (text) => readPartition(text, mesh, noFail))
}

type Splits = Pick<Partition, 'splits' | 'partial'>

/** Reads what {@link partitionWords} wrote. */
export function takePartition(cursor: Cursor, mesh: Mesh): Splits {
  if (!cursor.sees('{')) return readPartition(cursor.raw(), mesh, (...why) => cursor.error(...why))
  const value = cursor.json() as { splits?: unknown; partial?: unknown } // checked below
  const { splits, partial } = value
  if (typeof splits !== 'object' || !splits || typeof partial !== 'object' || !partial)
    throw cursor.error('a partition has `splits` and `partial`')
  const lists = Object.entries(splits).map(([dim, atoms]) => [dim, wordsOf(atoms, cursor)] as const)
  if (!Object.values(partial).every((list) => Array.isArray(list) && list.every(Number.isSafeInteger)))
    throw cursor.error('`partial` gives a list of operands for each atom')
  return { splits: Object.fromEntries(lists), partial: partial as Splits['partial'] } // checked in the line before
}

function readPartition(text: string, mesh: Mesh, fail: Fail): Splits {
  if (text === 'none') return { splits: {}, partial: {} }
  const splits: [string, readonly string[]][] = []
  const partial: [string, number[]][] = []
  for (const { head, atoms, argument } of parts(text, mesh, fail)) {
    if (head !== 'partial') {
      splits.push([head, atoms])
      continue
    }
    if (!/^(?:\d{1,4}(?:,\d{1,4})*)?$/.test(argument))
      throw fail(`\`${argument}\` is no list of operands`, 'Write `partial(0,1)/tp`, counted from 0.')
    for (const atom of atoms) partial.push([atom, argument === '' ? [] : argument.split(',').map(Number)])
  }
  return { splits: Object.fromEntries(splits), partial: Object.fromEntries(partial) }
}

/** The strategy that a partition's atoms are taken to come from: the one that is called like their axis. */
export function usualBy({ splits, partial }: Splits, mesh: Mesh): Record<string, string> {
  const atoms = [...Object.values(splits).flat(), ...Object.keys(partial)]
  const axisOf = (atom: string) => mesh.axes.find((axis) => axis.atoms.includes(atom))?.name ?? atom
  return Object.fromEntries(atoms.map((atom) => [atom, axisOf(atom)]))
}

/** A mesh such as `dp=2 tp=2x4 | edp=16`: degrees with their factors, and further factorisations of the same ranks. */
export function meshText(mesh: Mesh): string {
  const groups: Axis[][] = [[]]
  let ranks = 1
  for (const { name, degree, atoms } of mesh.axes) {
    if (ranks === mesh.world && degree > 1) {
      groups.push([])
      ranks = 1
    }
    const factors = atoms.map((atom) => mesh.atoms.find((each) => each.name === atom)?.degree ?? 1)
    groups.at(-1)?.push({ name, degree, ...(factors.length > 1 && { factors }) })
    ranks *= degree
  }
  const axis = ({ name, degree, factors }: Axis) => `${wordText(name)}=${factors?.join('x') ?? degree}`
  const text = groups.map((axes) => axes.map(axis).join(' ')).join(' | ')
  try {
    if (sameValue(createMesh(...groups), mesh)) return text
  } catch {}
  return JSON.stringify(mesh)
}

/** Reads what {@link meshText} wrote. A mesh that cannot be made throws `PROGRAM_TEXT`. */
export function takeMesh(cursor: Cursor): Mesh {
  if (cursor.sees('{')) return cursor.json() as unknown as Mesh // the verifier's business, like in the JSON form
  const groups: Axis[][] = [[]]
  while (!cursor.done()) {
    if (cursor.take('|')) groups.push([])
    const name = cursor.word('an axis')
    cursor.expect('=', 'Write `mesh dp=2 tp=4`.')
    const text = String(cursor.value())
    const factors = text.split('x').map(Number)
    const degree = factors.reduce((product, factor) => product * factor, 1)
    groups.at(-1)?.push({ name, degree, ...(factors.length > 1 && { factors }) })
  }
  try {
    return createMesh(...groups)
  } catch (error) {
    throw cursor.error(
      error instanceof Error ? error.message.replace(/\.$/, '') : String(error),
      undefined,
      cursor.line.text,
    )
  }
}
