import type { Json, OperatorNode, Pairs, Run } from '@shardloom/core'

/** What the attribute `pairs` of a node says: causal pairs count as half of all, or only as many as a limit leaves. */
interface CausalPairs {
  /** A query sees so many positions at most, its own included; pairs that it sees count in full then. */
  readonly window?: number
  /** Positions see each other inside of chunks of that many. */
  readonly chunk?: number
  /** With a cache: where the queries of the first iteration begin, and how far the next ones move on. */
  readonly position?: number
  readonly advance?: number
}

/** The attribute, for operators over queries and keys. */
export function pairsAttribute(pairs: CausalPairs): { readonly pairs: Json } {
  return { pairs: { ...pairs } }
}

/**
 * The pairs of a causal mask that count with `causal: halved`: a query and an earlier key count once, and a query and its own
 * key half, so that they are half of all and the position q of a query alone says how many: q + 1/2. Which of them are on a
 * rank follows from the positions that it holds.
 */
export function causalPairs({ attributes }: OperatorNode): Pairs | undefined {
  const given = attributes?.['pairs']
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return undefined
  const { window, chunk, position, advance = 0 } = given as CausalPairs // made by `pairsAttribute`
  const limited = (queries: Run, keys: Run) => {
    if (window !== undefined) return windowed(queries, keys, window)
    return chunk === undefined ? box(halved, queries, keys) : chunked(queries, keys, chunk)
  }
  return {
    dims: ['seq', 'kv_seq'],
    count(queries, keys, iteration) {
      const start = position === undefined ? 0 : position + advance * iteration
      // The slots of a cache are those of all positions so far, or of as many as a query reaches.
      const seen: readonly Run[] = position === undefined ? keys : [[0, Number.MAX_SAFE_INTEGER]]
      let sum = 0n
      for (const [from, to] of queries) for (const run of seen) sum += limited([start + from, start + to], run)
      return sum
    },
  }
}

/** Twice the pairs of the first `queries` positions with the first `keys`, as a function of both. */
type Corner = (queries: bigint, keys: bigint) => bigint

/** A query counts each key before it, and its own half: Σ (2q + 1) = n². */
const halved: Corner = (n, m) => (n <= m ? n * n : m * m + 2n * m * (n - m))

/** A query counts each key up to its own: Σ 2(q + 1) = n(n + 1). */
const whole: Corner = (n, m) => (n <= m ? n * (n + 1n) : m * (m + 1n) + 2n * m * (n - m))

function box(corner: Corner, queries: Run, keys: Run): bigint {
  const at = (query: number, key: number) => corner(BigInt(Math.max(0, query)), BigInt(Math.max(0, key)))
  const [[from, to], [first, end]] = [queries, keys]
  return at(to, end) - at(from, end) - at(to, first) + at(from, first)
}

/** The keys up to a query's own, but for those that a window leaves behind. */
function windowed([from, to]: Run, keys: Run, window: number): bigint {
  return box(whole, [from, to], keys) - box(whole, [from - window, to - window], keys)
}

function chunked([from, to]: Run, [first, end]: Run, chunk: number): bigint {
  let sum = 0n
  for (let start = from - (from % chunk); start < to; start += chunk) {
    const inside = (position: number) => Math.min(Math.max(position - start, 0), chunk)
    sum += box(halved, [inside(from), inside(to)], [inside(first), inside(end)])
  }
  return sum
}
