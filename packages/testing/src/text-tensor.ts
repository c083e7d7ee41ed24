import { type DataType, dataTypes, type Mesh, type Tensor, type TensorRole } from '@shardloom/core'
import type { Guess } from './text-defaults.js'
import { type Cursor, wordText } from './text-line.js'
import { atomsText, placementWords, sameValue, takeAtoms, takePlacement } from './text-placement.js'

const roles: readonly TensorRole[] = ['activation', 'parameter', 'gradient', 'optimizer', 'input', 'cache']
const optional = ['body', 'density', 'growth', 'rotation', 'copies', 'version', 'next', 'storage'] as const
/** The field that each word of {@link optional} means. */
const fieldOf = {
  body: 'body',
  density: 'density',
  growth: 'growth',
  rotation: 'rotation',
  copies: 'copies',
  version: 'versionOf',
  next: 'nextOf',
  storage: 'storage',
} as const

/** Element types by name. */
export const dataTypeNames = Object.keys(dataTypes) as DataType[] // the keys of the table are the type

/** What a text says of a tensor: a field that is null is said to be absent. */
export interface TensorText {
  readonly missing?: true
  readonly role?: TensorRole
  readonly dtype?: DataType
  readonly dims?: readonly string[]
  /** Sizes beside the dims, where they are given. */
  readonly sizes?: readonly (number | undefined)[]
  readonly shape?: readonly number[]
  readonly per?: readonly string[]
  readonly body?: string | null
  readonly density?: readonly [number, number] | null
  readonly growth?: Tensor['growth'] | null
  readonly rotation?: Tensor['rotation'] | null
  readonly copies?: Tensor['copies'] | null
  readonly versionOf?: string | null
  readonly nextOf?: string | null
  readonly storage?: Tensor['storage'] | null
  /** Reads the placement, once the dims are known. */
  readonly placement?: (dims: readonly string[]) => Tensor['placement']
}

/** What must be said of a tensor so that it is told from `guess`. Empty when nothing must. */
export function tensorText(
  tensor: Tensor,
  guess: Guess,
  { mesh, sizes }: { readonly mesh: Mesh; readonly sizes: ReadonlyMap<string, number> },
): string {
  const {
    dims,
    shape,
    per,
    role,
    dtype,
    body,
    density,
    growth,
    rotation,
    copies,
    versionOf,
    nextOf,
    storage,
    placement,
  } = tensor
  const words: string[] = []
  if (role !== guess.role) words.push(role)
  if (dtype !== guess.dtype) words.push(dtype)
  const even = dims.length === shape.length
  const sized = dims.map((dim, index) => {
    const size = even && shape[index] !== sizes.get(dim) ? `=${shape[index]}` : ''
    return `${wordText(dim)}${size}`
  })
  if (!sameValue(dims, guess.dims) || (even && !sameValue(shape, guess.shape))) words.push(`[${sized.join(' ')}]`)
  if (!even) words.push(`shape ${JSON.stringify(shape)}`)
  if (!sameValue(per, guess.per)) words.push(`per [${per.map(wordText).join(' ')}]`)
  const differs = (name: (typeof optional)[number], text: string | undefined) => {
    if (!sameValue(tensor[fieldOf[name]], guess[fieldOf[name]])) words.push(text ?? `no ${name}`)
  }
  differs('body', body === undefined ? undefined : `body ${wordText(body)}`)
  differs('density', density && `density ${density.join('/')}`)
  const limit = growth?.limit === undefined ? '' : ` to ${growth.limit}`
  differs('growth', growth && `growth ${growth.position} over ${wordText(growth.axis)} by ${growth.by}${limit}`)
  const loop = rotation?.axis === undefined ? '' : ` over ${wordText(rotation.axis)}`
  const turn = rotation && `${rotation.position} by ${rotation.offset} along ${atomsText(rotation.atoms, mesh)}${loop}`
  differs('rotation', turn && `rotation ${turn}`)
  differs('copies', copies && `copies ${copies.position} of ${JSON.stringify(copies.of)}`)
  differs('version', versionOf === undefined ? undefined : `version ${wordText(versionOf)}`)
  differs('next', nextOf === undefined ? undefined : `next ${wordText(nextOf)}`)
  differs('storage', storage && `storage ${storage}`)
  if (placement) words.push(`@ ${placementWords(placement, dims, mesh)}`)
  return words.join(' ')
}

const keywords = ['missing', 'shape', 'per', 'no', ...optional] as const

/** Reads what {@link tensorText} wrote, until the end of the clause. */
export function takeTensor(cursor: Cursor, mesh: Mesh): TensorText {
  let found: TensorText = {}
  while (!cursor.ends()) {
    if (cursor.take('@')) {
      // The dims may follow from a rule that is not read yet: the cursor goes on, its copy comes back for the placement.
      const from = cursor.copy()
      cursor.pass()
      found = { ...found, placement: (dims) => takePlacement(from, dims, mesh) }
      break
    }
    if (cursor.take('[')) {
      found = { ...found, ...takeDims(cursor) }
      continue
    }
    const role = cursor.keyword(roles)
    const dtype = role ? undefined : cursor.keyword(dataTypeNames)
    if (role) found = { ...found, role }
    else if (dtype) found = { ...found, dtype }
    else found = { ...found, ...takeField(cursor, mesh) }
  }
  return found
}

function takeField(cursor: Cursor, mesh: Mesh): TensorText {
  const keyword = cursor.keyword(keywords)
  switch (keyword) {
    case 'missing':
      return { missing: true }
    case 'shape': {
      const shape = cursor.json()
      if (Array.isArray(shape) && shape.every((size) => Number.isSafeInteger(size))) return { shape: shape as number[] } // checked here
      throw cursor.error('a shape is a list of whole numbers', undefined, JSON.stringify(shape))
    }
    case 'per':
      cursor.expect('[', 'Write `per [layer]`.')
      return { per: takeList(cursor) }
    case 'no': {
      const name = cursor.keyword(optional)
      if (name) return { [fieldOf[name]]: null }
      throw cursor.error('this is no field that a tensor may lack', `Use one of: ${optional.join(', ')}.`)
    }
    case 'body':
      return { body: cursor.word('the name of a body') }
    case 'density':
      return { density: takeShare(cursor) }
    case 'growth': {
      const position = cursor.whole('a position')
      cursor.expect('over')
      const axis = cursor.word('an axis')
      cursor.expect('by')
      const by = cursor.whole('elements')
      const limit = cursor.keyword(['to']) && cursor.whole('a limit')
      return { growth: { position, axis, by, ...(limit !== undefined && { limit }) } }
    }
    case 'rotation': {
      const position = cursor.whole('a position')
      cursor.expect('by')
      const offset = cursor.whole('ranks')
      cursor.expect('along')
      const atoms = takeAtoms(cursor, mesh)
      const axis = cursor.keyword(['over']) && cursor.word('an axis')
      return { rotation: { position, atoms, offset, ...(axis !== undefined && { axis }) } }
    }
    case 'copies': {
      const position = cursor.whole('a position')
      cursor.expect('of')
      const of = cursor.json()
      if (Array.isArray(of) && of.every((each) => Number.isSafeInteger(each) && Number(each) >= 0))
        return { copies: { position, of: of as number[] } } // checked here
      throw cursor.error('copies are a list of positions', undefined, JSON.stringify(of))
    }
    case 'version':
      return { versionOf: cursor.word('a tensor') }
    case 'next':
      return { nextOf: cursor.word('a tensor') }
    case 'storage': {
      const storage = cursor.keyword(['use', 'keep'])
      if (storage) return { storage }
      throw cursor.error('a storage is `use` or `keep`')
    }
    case undefined:
      throw cursor.error(
        'a tensor has no such property',
        `Use a role (${roles.join(', ')}), a type (${dataTypeNames.join(', ')}), \`[dims]\`, \`@ placement\` or one of: ${keywords.join(', ')}.`,
      )
  }
}

/** Reads a share such as `8/256`. */
export function takeShare(cursor: Cursor): [number, number] {
  const part = cursor.share()
  if (part) return part
  throw cursor.error('a share should stand here', 'Write it like `8/256`.')
}

function takeList(cursor: Cursor): string[] {
  const list: string[] = []
  while (!cursor.take(']')) list.push(cursor.word('a name or `]`'))
  return list
}

function takeDims(cursor: Cursor): Pick<TensorText, 'dims' | 'sizes'> {
  const dims: string[] = []
  const sizes: (number | undefined)[] = []
  while (!cursor.take(']')) {
    dims.push(cursor.word('a dim or `]`'))
    sizes.push(cursor.take('=') ? cursor.whole('a size') : undefined)
  }
  return { dims, sizes }
}

/** The tensor that a guess and a text make together, or what is not known about it. */
export function completeTensor(
  id: string,
  guess: Guess,
  text: TensorText,
  sizes: ReadonlyMap<string, number>,
): Tensor | { readonly unknown: string } {
  const dims = text.dims ?? guess.dims
  if (!dims) return { unknown: 'its dims' }
  const guessed = text.dims ? text.dims.map((dim, index) => text.sizes?.[index] ?? sizes.get(dim)) : (guess.shape ?? [])
  const shape = text.shape ?? guessed
  const unsized = text.shape ? -1 : dims.findIndex((_, index) => shape[index] === undefined)
  if (unsized >= 0) return { unknown: `the size of \`${dims[unsized]}\`` }
  const field = <Key extends (typeof fieldOf)[keyof typeof fieldOf]>(key: Key) => {
    const value = text[key] === undefined ? guess[key] : text[key]
    return value === undefined || value === null ? {} : { [key]: value }
  }
  const placement = text.placement?.(dims)
  return {
    id,
    dims,
    shape: shape as readonly number[], // every size was found above
    dtype: text.dtype ?? guess.dtype,
    role: text.role ?? guess.role,
    per: text.per ?? guess.per,
    ...field('body'),
    ...field('density'),
    ...field('growth'),
    ...field('rotation'),
    ...field('copies'),
    ...(placement && { placement }),
    ...field('versionOf'),
    ...field('nextOf'),
    ...field('storage'),
  }
}
