import { ShardloomError } from 'shardloom'
import { z } from 'zod'

/** The most characters that a result has as JSON: some 10,000 tokens. */
const mostCharacters = 40_000
/** How much of a list and of a text is shown at first. */
const usual = { entries: 30, characters: 16_000 }
const least = { entries: 1, characters: 200 }

/** What to show of one list or text of a result. */
export const more = z.strictObject({
  path: z.string().max(200).describe('a list or a text of the result, such as communication'),
  offset: z.int().min(0).default(0).describe('entries of the list, or characters of the text, to leave out'),
  limit: z.int().min(1).max(500).optional().describe('entries to show of the list; default 30'),
})

type More = z.output<typeof more>

interface Cut {
  readonly path: string
  readonly unit: 'entries' | 'characters'
  readonly total: number
  readonly offset: number
  readonly shown: number
  readonly next: { readonly path: string; readonly offset: number } | null
}

/**
 * The document with long lists and texts cut, so that it stays below 40,000 characters, and what was cut under `truncated`. `asked`
 * says where one of them begins instead; `hint` is what makes it smaller as a whole. Throws `MORE` for a path that is neither.
 */
export function bounded(document: object, asked: More | undefined, hint: string): object {
  const whole: unknown = JSON.parse(
    JSON.stringify(document, (_, value) => (typeof value === 'bigint' ? Number(value) : value)),
  )
  if (asked) checkPath(whole, asked)
  for (let share = 1; ; share /= 2) {
    const room = {
      entries: Math.max(least.entries, Math.floor(usual.entries * share)),
      characters: Math.max(least.characters, Math.floor(usual.characters * share)),
      asked: Math.max(least.entries, Math.floor((asked?.limit ?? usual.entries) * share)),
    }
    const cuts: Cut[] = []
    const shown = shorten(whole, '', { room, asked, cuts })
    const result = { ...Object(shown), ...(cuts.length > 0 && { truncated: cuts.slice(0, usual.entries), hint }) }
    if (JSON.stringify(result).length <= mostCharacters) return result
    if (room.asked > least.entries || room.characters > least.characters) continue
    throw new ShardloomError('RESULT_SIZE', `The result has more than ${mostCharacters} characters.`, { help: hint })
  }
}

interface Cutting {
  readonly room: { readonly entries: number; readonly characters: number; readonly asked: number }
  readonly asked: More | undefined
  readonly cuts: Cut[]
}

function shorten(value: unknown, path: string, cutting: Cutting): unknown {
  const { room, asked } = cutting
  if (typeof value === 'string') {
    const offset = asked?.path === path ? asked.offset : 0
    return part(value, 'characters', path, { offset, limit: room.characters }, cutting)
  }
  if (Array.isArray(value)) {
    // On the way to what is asked for, only the entry that holds it.
    const inside = asked?.path.startsWith(`${path}.`)
      ? Number(asked.path.slice(path.length + 1).split('.')[0])
      : undefined
    const window =
      inside !== undefined
        ? { offset: inside, limit: 1 }
        : asked?.path === path
          ? { offset: asked.offset, limit: room.asked }
          : { offset: 0, limit: room.entries }
    const shown = part(value, 'entries', path, window, cutting)
    return shown.map((each: unknown, index) => shorten(each, `${path}.${window.offset + index}`, cutting))
  }
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, shorten(each, path === '' ? key : `${path}.${key}`, cutting)]),
  )
}

function part<Sequence extends string | readonly unknown[]>(
  whole: Sequence,
  unit: Cut['unit'],
  path: string,
  { offset, limit }: { readonly offset: number; readonly limit: number },
  { cuts }: Cutting,
): Sequence {
  const total = whole.length
  if (offset === 0 && total <= limit) return whole
  const end = Math.min(total, offset + limit)
  const next = end < total ? { path, offset: end } : null
  cuts.push({ path, unit, total, offset, shown: Math.max(0, end - offset), next })
  return whole.slice(offset, end) as Sequence // slices of texts are texts, of lists lists
}

function checkPath(document: unknown, { path, offset }: More): void {
  let found = document
  for (const key of path.split('.')) {
    const known = typeof found === 'object' && found !== null && Object.hasOwn(found, key)
    found = known ? Object.entries(found as object).find(([name]) => name === key)?.[1] : undefined
  }
  if (typeof found === 'string' || Array.isArray(found)) {
    if (offset < Math.max(1, found.length)) return
    throw new ShardloomError(
      'MORE',
      `\`${path}\` has ${found.length} entries or characters; ${offset} is beyond them.`,
      {
        subject: 'more.offset',
        help: 'Take `more` from `truncated[].next` of a result.',
      },
    )
  }
  throw new ShardloomError('MORE', `The result has no list or text \`${path}\`.`, {
    subject: 'more.path',
    help: 'Take `more` from `truncated[].next` of a result of the same arguments.',
  })
}
