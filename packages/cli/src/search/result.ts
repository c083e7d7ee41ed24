import { clusterOf, type LoadedSpec, ShardloomError, type SpecInput } from 'shardloom'
import {
  type Answer,
  type Candidate,
  type Change,
  fixesOf,
  isMiss,
  type Miss,
  pointOf,
  type Question,
  type SimulatedCandidate,
  specOfCandidate,
} from 'shardloom/search'

/** A question with what it is about. */
export interface Asked {
  readonly loaded: LoadedSpec
  readonly question: Question
}

/** The point that misses a rule by least, and what would make it keep all of them. */
export interface NearMiss {
  readonly miss: Miss
  readonly spec: SpecInput
  /** Bytes of a rank that are missing, where it is memory that is. */
  readonly bytes?: number
  /** Best first. */
  readonly fixes: readonly Change[]
}

/** What is told of a search. */
export interface SearchResult extends Asked {
  readonly answer: Answer
  /** In the order of what comes of them. */
  readonly best: readonly SimulatedCandidate[]
  readonly nearMisses: readonly NearMiss[]
  /** By the clock, without simulating; none for answers that were merged. */
  readonly seconds?: number
  readonly interrupted: boolean
}

/** Whether anything was found that keeps all rules. */
export const fits = ({ best, interrupted }: SearchResult): boolean =>
  best.some(({ error, misses }) => !error && misses.length === 0) || (interrupted && best.length > 0)

/** The candidates of an answer as they are estimated, where there is no time to simulate them. */
export function estimatedOnly({ loaded, question }: Asked, { best }: Answer): SimulatedCandidate[] {
  return best.map((candidate) => ({ candidate, spec: specOfCandidate(loaded, question, candidate), misses: [] }))
}

/**
 * The misses of an answer, nearest first. Fixes are changes to what else could be chosen, in `wide`; where nothing else helps, more ranks.
 */
export function nearMissesOf({ loaded, question }: Asked, answer: Answer, wide: Question): NearMiss[] {
  const nothing = answer.best.length === 0
  return [...answer.misses]
    .sort((a, b) => a.by - b.by || (a.rule < b.rule ? -1 : 1))
    .map((miss) => {
      const fixes = fixesOf(loaded, wide, miss)
      const bytes = bytesOf(loaded, miss)
      return {
        miss,
        spec: specOfCandidate(loaded, question, miss),
        ...(bytes !== undefined && { bytes }),
        fixes: nothing && fixes.length === 0 ? moreRanks(loaded, wide, miss) : fixes,
      }
    })
}

function bytesOf(loaded: LoadedSpec, { rule, by, metrics }: Miss): number | undefined {
  const missing = metrics['missing-bytes']
  if (missing !== undefined) return missing
  return rule === 'memory' ? by * clusterOf(loaded).accelerator.memoryBytes : undefined
}

/** How many times as many ranks are tried. */
const factors = [2, 4, 8, 16, 32, 64]

/** The fewest ranks, a power of two as many, over which a point of training keeps all rules: copies take them. */
function moreRanks(loaded: LoadedSpec, question: Question, { choices }: Miss): Change[] {
  const { phase } = loaded.spec
  if (phase === 'serving') return []
  const { dp: _, replicas: __, dpReplicate: ___, ranks: ____, ...rest } = choices
  const { dp: _____, replicas: ______, ranks: _______, ...open } = question.choices
  for (const factor of factors) {
    const ranks = question.ranks * factor
    for (const zero of phase === 'training' ? [undefined, 3] : [undefined]) {
      const point = pointOf(
        loaded,
        { ...question, ranks, choices: open },
        zero === undefined ? rest : { ...rest, zero },
      )
      if (point && !isMiss(point))
        return [{ change: `ranks=${ranks}${zero === undefined ? '' : ` zero=${zero}`}`, candidate: point }]
    }
  }
  return []
}

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
