import { ShardloomError } from 'shardloom'
import type { Answer, Asked, Candidate, Miss, NearMiss, SimulatedCandidate } from 'shardloom/search'

/** What is told of a search. */
export interface SearchResult extends Asked {
  readonly answer: Answer
  /** In the order of what comes of them. */
  readonly best: readonly SimulatedCandidate[]
  /** How many were simulated to find them. */
  readonly simulated: number
  readonly nearMisses: readonly NearMiss[]
  /** By the clock, without simulating; none for answers that were merged. */
  readonly seconds?: number
  readonly interrupted: boolean
}

/** Whether anything was found that keeps all rules. */
export const fits = ({ best, interrupted }: SearchResult): boolean =>
  best.some(({ error, misses }) => !error && misses.length === 0) || (interrupted && best.length > 0)

/**
 * The point that `--why` asks for: the best with these choices, else the one that misses by least; undefined where none can be planned.
 * Throws `CHOICE` where no candidate has them.
 */
export function pointOfAnswer({ best, misses, counts }: Answer, text: string): Candidate | Miss | undefined {
  if (counts.total === 0)
    throw new ShardloomError('CHOICE', `No candidate has ${text}.`, {
      subject: '--why',
      help: 'Degrees have to divide the ranks, and microbatches the batch that is left for each; see --ranks.',
    })
  return best[0] ?? [...misses].sort((a, b) => a.by - b.by)[0]
}
