import type { Answer, Candidate, Miss } from '@shardloom/search'
import type { Question } from './question.js'
import { lower, type ServingMetric, type ServingMetrics } from './serving-metrics.js'

/** Keeps the best of the points that a search meets, its front, and the nearest misses. */
export class Keeper {
  private best: Candidate[] = []
  private front: Candidate[] = []
  private readonly misses = new Map<string, Miss>()
  private readonly rejected = new Map<string, number>()
  private bounded = 0
  private evaluated = 0

  constructor(private readonly question: Question) {}

  /** The score that a further candidate must not exceed to be among the best. */
  get worst(): number {
    const { top } = this.question
    return this.best.length < top ? Number.POSITIVE_INFINITY : (this.best.at(-1)?.score ?? Number.NEGATIVE_INFINITY)
  }

  add(candidate: Candidate): void {
    this.evaluated++
    if (candidate.score <= this.worst)
      this.best = [...this.best, candidate].sort(inOrder).slice(0, Math.max(0, this.question.top))
    if (!this.question.front || this.front.some((other) => this.isBetter(other, candidate))) return
    this.front = [...this.front.filter((other) => !this.isBetter(candidate, other)), candidate]
  }

  /** Counts `count` points that break a rule, of which `miss` misses it by least. */
  reject(miss: Miss, count = 1): void {
    if (count === 0) return
    this.rejected.set(miss.rule, (this.rejected.get(miss.rule) ?? 0) + count)
    const known = this.misses.get(miss.rule)
    if (!known || miss.by < known.by || (miss.by === known.by && miss.name < known.name))
      this.misses.set(miss.rule, miss)
  }

  bound(count: number): void {
    this.bounded += count
  }

  answer(): Answer {
    const { bounded, evaluated } = this
    const rejected = [...this.rejected].sort(byName)
    const total = rejected.reduce((sum, [, count]) => sum + count, bounded + evaluated)
    return {
      counts: { total, rejected: Object.fromEntries(rejected), bounded, evaluated },
      best: this.best,
      front: [...this.front].sort((a, b) => this.place(a, 0) - this.place(b, 0) || inOrder(a, b)),
      misses: [...this.misses].sort(byName).map(([, miss]) => miss),
    }
  }

  /** Whether `a` is no worse in both metrics of the front, and better in one or the earlier of equals. */
  private isBetter(a: Candidate, b: Candidate): boolean {
    const [first, second] = [this.place(a, 0) - this.place(b, 0), this.place(a, 1) - this.place(b, 1)]
    return first <= 0 && second <= 0 && (first < 0 || second < 0 || a.name < b.name)
  }

  private place({ metrics }: Candidate, which: 0 | 1): number {
    const metric = this.question.front?.[which] as ServingMetric // checked with the question
    return lower(metric, metrics as ServingMetrics)
  }
}

function inOrder(a: Candidate, b: Candidate): number {
  return a.score - b.score || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0
}
