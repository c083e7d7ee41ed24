import type { Candidate } from './answer.js'

/**
 * The Pareto front of two metrics, both the smaller the better: the candidates of which none is better in one metric and no worse
 * in the other. Of candidates that are equal in both, the one with the smallest name stands for all, so that the front is the same in
 * whatever order they are offered. A search and an insertion take time logarithmic in the front, besides moving what stands behind.
 */
export class Front {
  readonly #metrics: readonly [string, string]
  /** By the first metric ascending; the second then descends. */
  readonly #candidates: Candidate[] = []
  readonly #first: number[] = []
  readonly #second: number[] = []

  constructor(metrics: readonly [string, string]) {
    this.#metrics = metrics
  }

  /** The front, by the first metric ascending. */
  get candidates(): readonly Candidate[] {
    return this.#candidates
  }

  /**
   * Whether some candidate is better than (a, b) in one metric and no worse in the other. If a and b are lower bounds, nothing that
   * they bound enters the front.
   */
  isDominated(a: number, b: number): boolean {
    const at = this.#after(a) - 1
    const second = this.#second[at]
    return second !== undefined && (second < b || (second === b && (this.#first[at] as number) < a))
  }

  /** Whether the candidate is on the front now; one that lacks a metric never is. */
  offer(candidate: Candidate): boolean {
    const a = candidate.metrics[this.#metrics[0]] ?? Number.NaN
    const b = candidate.metrics[this.#metrics[1]] ?? Number.NaN
    if (Number.isNaN(a) || Number.isNaN(b) || this.isDominated(a, b)) return false
    let from = this.#after(a)
    const before = this.#candidates[from - 1]
    if (before !== undefined && this.#first[from - 1] === a) {
      if (this.#second[from - 1] === b && before.name <= candidate.name) return false
      from--
    }
    let to = from
    while (to < this.#second.length && (this.#second[to] as number) >= b) to++
    this.#candidates.splice(from, to - from, candidate)
    this.#first.splice(from, to - from, a)
    this.#second.splice(from, to - from, b)
    return true
  }

  /** How many candidates have a first metric of at most `a`. */
  #after(a: number): number {
    let from = 0
    let to = this.#first.length
    while (from < to) {
      const middle = (from + to) >> 1
      if ((this.#first[middle] as number) <= a) from = middle + 1
      else to = middle
    }
    return from
  }
}
