/** What a {@link ShardloomError} carries besides its message. */
export interface ErrorDetails {
  /** What would work instead: one sentence, shown after `help:`. */
  readonly help?: string
  /** The node, tensor, field or file that the error is about. */
  readonly subject?: string
  readonly cause?: unknown
}

/**
 * The one error class of Shardloom: a user's mistake, with a stable code. The message says what was tried, on what and
 * why not; `help` says what would work. Two installed copies of this package must recognise each other's errors, so test
 * with {@link isShardloomError}, not with `instanceof`.
 */
export class ShardloomError extends Error {
  override readonly name = 'ShardloomError'
  readonly help: string | undefined
  readonly subject: string | undefined

  constructor(
    /** Stable, upper-case words joined by `_`, such as `INDIVISIBLE`. */
    readonly code: string,
    message: string,
    details: ErrorDetails = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.help = details.help
    this.subject = details.subject
  }
}

/** Whether `value` is a {@link ShardloomError} of this or of another installed copy of the package. */
export function isShardloomError(value: unknown): value is ShardloomError {
  return value instanceof Error && value.name === 'ShardloomError' && 'code' in value && typeof value.code === 'string'
}

/** Throws a plain error for a bug of ours (never for a user's mistake). */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`internal error: ${message}`)
}

/**
 * The candidate nearest to `word` by edit distance, of which numbers that it lacks count more, or undefined when none is near
 * enough to be a misspelling: `most` edits away, by default a third of its letters.
 */
export function nearest(
  word: string,
  candidates: Iterable<string>,
  most = Math.max(1, Math.round(Math.min(word.length, 64) / 3)),
): string | undefined {
  const lower = word.slice(0, 64).toLowerCase()
  let best: string | undefined
  let bestDistance = Infinity
  for (const candidate of candidates) {
    const edits = editDistance(lower, candidate.toLowerCase())
    const lacking = numbersOf(lower).filter((each) => !numbersOf(candidate).includes(each))
    const distance = edits + 2 * lacking.length
    if (edits <= most && distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

const numbersOf = (text: string): readonly string[] => text.match(/\d+/g) ?? []

/** Levenshtein distance in O(|a|·|b|) time and O(|b|) memory. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const substituted = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min((previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, substituted))
    }
    previous = row
  }
  return previous[b.length] ?? 0
}

/** `1, 2 or 4`. */
export function orList(values: readonly (string | number)[]): string {
  return values.length < 2 ? values.join('') : `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`
}

/** The values nearest to what was asked for by ratio, ascending, such as `4, 8 or 16`; it says so where there are others. */
export function nearestNumbers(values: readonly number[], asked: number): string {
  const far = (value: number) => Math.abs(Math.log(value / asked))
  const near = [...values].sort((a, b) => far(a) - far(b)).slice(0, 8)
  return orList(near.sort((a, b) => a - b)) + (near.length < values.length ? ', among others' : '')
}
