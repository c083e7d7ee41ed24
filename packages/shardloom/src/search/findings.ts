import type { Progress } from '@shardloom/core'
import { type Answer, BestList, type Candidate, emptyAnswer, Front, type Misses } from '@shardloom/search'
import type { Question } from './question.js'

/** What a search has found by then: what it looks for is bounded by it. */
export interface Findings {
  readonly list: BestList
  readonly front: Front | undefined
  readonly misses: Misses
}

/** How far a search is, and the best that it has found by then. */
export interface SearchProgress extends Progress {
  readonly found: readonly Candidate[]
}

/** What was found before. */
export function findingsFrom({ best, front, misses }: Answer, question: Question): Findings {
  const found: Findings = {
    list: new BestList(question.top, question.kept),
    front: question.front && new Front(question.front),
    misses: new Map(),
  }
  for (const candidate of best) found.list.offer(candidate)
  for (const candidate of front) found.front?.offer(candidate)
  for (const miss of misses) found.misses.set(miss.rule, [...(found.misses.get(miss.rule) ?? []), miss])
  return found
}

/** What was found, without counts. */
export function foundIn({ list, front, misses }: Findings): Answer {
  return { ...emptyAnswer, best: list.candidates, front: front?.candidates ?? [], misses: [...misses.values()].flat() }
}

/** How far a search is that has these findings. */
export function progressOf({ list }: Findings, done: number, of: number): SearchProgress {
  return { work: 'searching', done, of, found: [...list.candidates] }
}
