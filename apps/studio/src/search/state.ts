/** What is asked of a search beside the spec, in the words of the flags of `shardloom search`. */
export interface SearchState {
  readonly ranks?: number
  readonly objective?: string
  /** Such as `tpot<=50ms`. */
  readonly limits: readonly string[]
  /** Such as `tp=1,2,4`: the values that are tried of a choice. */
  readonly choose: readonly string[]
  /** Choices that stay as the spec has them. */
  readonly keep: readonly string[]
  /** How many of the best are kept, and simulated. */
  readonly top?: number
  /** Two metrics whose front is kept. */
  readonly front?: readonly [string, string]
}

/** The usual search. */
export const emptySearch: SearchState = { limits: [], choose: [], keep: [] }

/** The most of the best that a page simulates. */
export const mostTop = 50

/** The sign between a metric and its bound. */
export const signs = ['<=', '>='] as const

/** A limit in its three parts, as they stand in three fields. */
export function limitParts(text: string): { readonly metric: string; readonly sign: string; readonly bound: string } {
  const [, metric = '', sign = '<=', bound = ''] = /^\s*([^<>=]*?)\s*(<=|>=)\s*(.*)$/s.exec(text) ?? []
  return { metric, sign, bound }
}

/** The name of a choice in `tp=1,2,4`, and its values as they are written. */
export function choiceParts(text: string): readonly [name: string, values: string] {
  const at = text.indexOf('=')
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}

/** A word as a shell reads it back. */
const shellWord = (word: string) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)

/** The command that searches the same of a spec in a file. */
export function searchCommand(
  file: string,
  { ranks, objective, limits, choose, keep, top, front }: SearchState,
): string {
  const flag = (name: string, value: string | number | undefined) =>
    value === undefined || value === '' ? [] : [`--${name}`, String(value)]
  const words = [
    ...['npx', 'shardloom', 'search', file],
    ...flag('ranks', ranks),
    ...flag('objective', objective),
    ...limits.flatMap((limit) => flag('limit', limit)),
    ...choose.flatMap((choice) => flag('choose', choice)),
    ...flag('keep', keep.join(',')),
    ...flag('top', top),
    ...flag('front', front?.join(',')),
  ]
  return words.map(shellWord).join(' ')
}
