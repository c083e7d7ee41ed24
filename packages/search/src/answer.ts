/** A point of a space: a name made of its choices, and what is known of it. Plain data that JSON holds. */
export interface Candidate {
  /** The choices in canonical order, such as `tp=8 pp=4 microbatch=1`: equal points have equal names. */
  readonly name: string
  readonly choices: Readonly<Record<string, string | number | boolean>>
  /** The objective; of two points the one with the smaller score is better, whatever is measured. */
  readonly score: number
  readonly metrics: Readonly<Record<string, number>>
}

/** A point that breaks one rule, and by how much. */
export interface Miss extends Candidate {
  readonly rule: string
  /** By how much of the rule's own limit: 0.1 is a tenth too much. */
  readonly by: number
}

/** How many points a search has seen, and what became of them: `total` is the sum of the others. */
export interface Counts {
  readonly total: number
  /** By the rule that they break. */
  readonly rejected: Readonly<Record<string, number>>
  /** Not evaluated: a bound says that they are no better than what was found. */
  readonly bounded: number
  readonly evaluated: number
}

/** What a part of a search found. Parts of one search merge into the answer of the whole, in any order. */
export interface Answer {
  readonly counts: Counts
  /** The best, best first; of equal scores the smaller name. */
  readonly best: readonly Candidate[]
  /** The points of which none is better in both metrics of the front, by the first of them. */
  readonly front: readonly Candidate[]
  /** For each rule the points that miss it of which no other misses it by less and is better, the nearest first. Those that would be better than the best are all there. */
  readonly misses: readonly Miss[]
}

/** Which points of an answer are kept. */
export interface Keeping {
  /** How many of the best: exactly these are found. */
  readonly top: number
  /** How many are kept, no fewer: the next best of what was evaluated, which is not all that there is. Default `top`. */
  readonly kept?: number | undefined
  /** The two metrics of the front, both the smaller the better; none: no front. */
  readonly front?: readonly [string, string] | undefined
}
