import type { Work } from '@shardloom/core'
import { type Answer, emptyAnswer, mergeAnswers } from '@shardloom/search'
import type { Question } from './question.js'

/** What answers one question, sharing what it finds out. */
export interface Answering {
  /** Answers a part, from 0. `start`: what it begins with, where that was found before; else it is found once for all parts. The same comes of both. */
  part(part: number, start?: Start): Work<Answer>
  /** Answers a share of the next round of a start, from 0. */
  share(start: Start, share: number): Work<Answer>
}

/**
 * What parts of a question begin with: good candidates, which bound the rest. They are found in rounds, each of which looks around what those
 * before have found. Shares of a round do not hear of each other, so that the same is found wherever and in whatever order they are answered. Plain data.
 */
export interface Start {
  /** What the next round does: in the first it looks where good candidates are likely, then in several ways around the best. */
  readonly round: number
  /** How many rounds before it have found nothing better. */
  readonly vain: number
  /** Into how many shares that is divided; 0: all rounds are done. */
  readonly shares: number
  /** What was found, without counts: parts count all that there is. */
  readonly found: Answer
}

/** The start of which nothing is found. Searches of serving need none. */
export function startOf({ spec }: Question): Start {
  return { round: 0, vain: 0, shares: spec.phase === 'serving' ? 0 : sharesOfRound, found: emptyAnswer }
}

/** As many as threads of one machine can work on; the work of all together grows little with it. */
const sharesOfRound = 8

/** How many ways there are to look around the best. */
export const waysAround = 4

/** A start after a round, from what its shares have found. A way that has led to something better is gone again, until none leads any further. */
export function nextStart(question: Question, start: Start, answers: readonly Answer[]): Start {
  const { round, shares, found: before } = start
  const found = { ...mergeAnswers([before, ...answers], question), counts: emptyAnswer.counts }
  const isBetter = round === 0 || found.best[0]?.name !== before.best[0]?.name
  const vain = isBetter ? 0 : start.vain + 1
  const next = round > 0 && isBetter ? round : (round % waysAround) + 1
  return { round: next, vain, shares: found.best.length > 0 && vain < waysAround ? shares : 0, found }
}
