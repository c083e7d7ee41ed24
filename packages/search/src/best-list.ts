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

  /** @param top how many are kept: a whole number */
  constructor(top: number) {
    this.#top = top
    this.threshold = top > 0 ? Infinity : -Infinity
  }

  /**
   * The score beyond which nothing enters: that of the last candidate, Infinity while there is room. It never rises. At the
   * threshold itself the smaller name decides.
   */
  threshold: number

  /** The candidates, best first. */
  get candidates(): readonly Candidate[] {
    return this.#candidates
  }

  /** Whether the candidate is among the best now. Of equal scores and names the first is kept; a score that is no number never enters. */
  offer(candidate: Candidate): boolean {
    if (!(candidate.score <= this.threshold)) return false
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
    if (from >= this.#top) return false
    list.splice(from, 0, candidate)
    if (list.length > this.#top) list.pop()
    const last = list[this.#top - 1]
    if (last !== undefined) this.threshold = last.score
    return true
  }
}
