import {
  type Answer,
  BestList,
  type Candidate,
  Front,
  keepMiss,
  type Miss,
  type Misses,
  sortMisses,
} from '@shardloom/search'
import type { Question } from './question.js'
import { ascending } from './serving-metrics.js'

/** Keeps the best of the points that a search meets, its front, and the nearest misses. */
export class Keeper {
  private readonly best: BestList
  private readonly front: Front | undefined
  private readonly misses: Misses = new Map()
  private readonly rejected = new Map<string, number>()
  private bounded = 0
  private evaluated = 0

  constructor({ top, kept, front }: Question) {
    this.best = new BestList(top, kept)
    this.front = front && new Front(front)
  }

  /** The score that a further candidate must not exceed to be among the best. */
  get worst(): number {
    return this.best.threshold
  }

  add(candidate: Candidate): void {
    this.evaluated++
    this.best.offer(candidate)
    this.front?.offer(candidate)
  }

  /** Counts `count` points that break a rule, of which `miss` is one. */
  reject(miss: Miss, count = 1): void {
    if (count === 0) return
    this.rejected.set(miss.rule, (this.rejected.get(miss.rule) ?? 0) + count)
    keepMiss(this.misses, miss)
  }

  bound(count: number): void {
    this.bounded += count
  }

  answer(): Answer {
    const { bounded, evaluated } = this
    const rejected = [...this.rejected].sort(ascending)
    const total = rejected.reduce((sum, [, count]) => sum + count, bounded + evaluated)
    return {
      counts: { total, rejected: Object.fromEntries(rejected), bounded, evaluated },
      best: this.best.candidates,
      front: this.front?.candidates ?? [],
      misses: sortMisses(this.misses),
    }
  }
}
