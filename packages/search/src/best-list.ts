import type { Candidate } from './answer.js'

/** The order of answers: by score, then by name in code units. */
export function compareCandidates(a: Candidate, b: Candidate): number {
  return a.score - b.score || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
}

/**
 * The best candidates of all that were offered, however they were ordered. Its work is bounded by its length, and a candidate
 * whose score is beyond the {@link threshold} need not be made at all.
 */
export class BestList {
  readonly #candidates: Candidate[] = []
  readonly #top: number
  readonly #kept: number

  /**
   * @param top how many are wanted: a whole number
   * @param kept how many are kept, no fewer: of those beyond `top` the best that were offered, which a search does not look for
   */
  constructor(top: number, kept: number = top) {
    this.#top = top
    this.#kept = kept
    this.threshold = top > 0 ? Infinity : -Infinity
    this.last = kept > 0 ? Infinity : -Infinity
  }

  /**
   * The score beyond which nothing is among the `top`: that of their last, Infinity while there is room. It never rises. At the
   * threshold itself the smaller name decides.
   */
  threshold: number

  /** The score beyond which nothing is kept at all. */
  last: number

  /** The candidates, best first. */
  get candidates(): readonly Candidate[] {
    return this.#candidates
  }

  /** Whether the candidate is kept now. Of equal scores and names the first is kept; a score that is no number never enters. */
  offer(candidate: Candidate): boolean {
    if (!(candidate.score <= this.last)) return false
    const list = this.#candidates
    let from = 0
    let to = list.length
    while (from < to) {
      const middle = (from + to) >> 1
      const order = compareCandidates(candidate, list[middle] as Candidate) // from ≤ middle < to ≤ length
      if (order === 0) return false
      if (order < 0) to = middle
      else from = middle + 1
    }
    if (from >= this.#kept) return false
    list.splice(from, 0, candidate)
    if (list.length > this.#kept) list.pop()
    this.threshold = list[this.#top - 1]?.score ?? this.threshold
    this.last = list[this.#kept - 1]?.score ?? this.last
    return true
  }
}
