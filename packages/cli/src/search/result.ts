import { clusterOf, formatCount, ShardloomError } from 'shardloom'
import {
  type Answer,
  type Asked,
  type FrontPoint,
  keepsAll,
  type NearMiss,
  type Question,
  type SimulatedCandidate,
  whyNone,
} from 'shardloom/search'
import type { WhyFlag } from './search-flags.js'

/** What is told of a search. */
export interface SearchResult extends Asked {
  readonly answer: Answer
  /** In the order of what comes of them. */
  readonly best: readonly SimulatedCandidate[]
  /** How many were simulated to find them. */
  readonly simulated: number
  readonly nearMisses: readonly NearMiss[]
  /** Of the two metrics that were asked for, by the first of them. */
  readonly front: readonly FrontPoint[]
  /** Whether as many were simulated as ever are, and others may be among the best. */
  readonly capped?: boolean
  /** By the clock, without simulating; none for answers that were merged. */
  readonly seconds?: number
  /** How many of the candidates a checkpoint had: their time is not that of this search. */
  readonly resumed?: number
  /** Whether it was stopped before all that was asked for had been searched. */
  readonly interrupted: boolean
  /** Whether it was stopped at all, be it while the best were simulated. */
  readonly stopped?: boolean
  /** The parts that have no answer, ascending. */
  readonly missing?: readonly number[]
  /** What makes one doubt it, as it is told. */
  readonly warnings?: readonly string[]
}

/** Whether candidates may have fewer ranks than the question has. */
export const isUpToRanks = ({ objective, choices }: Question): boolean =>
  objective === 'ranks' || choices['ranks'] !== undefined

/** What is searched: `Llama 3.1 8B · training on 8 × h100-sxm`. */
export function subjectOf({ loaded, question }: Asked): string {
  const ranks = `${isUpToRanks(question) ? 'up to ' : ''}${formatCount(question.ranks)}`
  return `${loaded.architecture.name} · ${loaded.spec.phase} on ${ranks} × ${clusterOf(loaded).accelerator.name}`
}

/** What the figures of a front are. */
export function measureOf(front: SearchResult['front']): string {
  const some = front.some(({ simulated }) => simulated)
  if (!some) return 'as estimated'
  return front.every(({ simulated }) => simulated) ? 'as simulated' : 'as simulated or else estimated'
}

/** Whether anything was found that keeps all rules. */
export const fits = ({ best, interrupted }: SearchResult): boolean =>
  best.some(keepsAll) || (interrupted && best.length > 0)

/** Refuses a point that no candidate is: `CHOICE`. */
export function checkPoint({ counts }: Answer, { text, choices }: WhyFlag, question: Question): void {
  if (counts.total > 0) return
  throw new ShardloomError('CHOICE', `No candidate has ${text}.`, {
    subject: '--why',
    help:
      whyNone(choices, question) ??
      'Degrees have to divide the ranks, and microbatches the batch that is left for each; see --ranks.',
  })
}
