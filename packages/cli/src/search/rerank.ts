import { isShardloomError, type ShardloomError } from 'shardloom'
import {
  type Answer,
  type Asked,
  bestOf,
  bestWithKept,
  type Candidate,
  estimatedOnly,
  type Fix,
  isCapped,
  keepsAll,
  mayComeFirst,
  mayKeep,
  type NearMiss,
  placeOf,
  type SimulatedBest,
  type SimulatedCandidate,
  specOfCandidate,
  withOutcomes,
} from 'shardloom/search'
import type { Io } from '../io.js'
import { printWarnings, progressLine } from '../output.js'
import type { MissesOf } from './answerer.js'
import type { Crew } from './crew.js'

/** Who works on what is asked, and who hears of it. */
interface Working {
  readonly io: Io
  readonly crew: Crew
  /** Stops it: what is not simulated by then is told as it was estimated. */
  readonly signal: AbortSignal
}

/** The best of an answer as simulated, with what keeps its limits so and not by its estimate. */
export interface Reranked extends SimulatedBest {
  readonly kept: readonly SimulatedCandidate[]
  /** All that were simulated for that: what misses a limit is among them. */
  readonly tried: readonly SimulatedCandidate[]
  /** What one must know of those that are kept. */
  readonly warnings: readonly string[]
  /** Whether all that the answer has was simulated, and others of the space may be among the best. */
  readonly capped: boolean
}

/**
 * Simulates the best of an answer event by event, and what was kept beside them as long as it could be better, and what misses a limit by
 * little that it may keep as simulated.
 */
export async function bestKept(working: Working, asked: Asked, answer: Answer): Promise<Reranked> {
  const { question } = asked
  const found = await bestSimulated(working, asked, answer.best)
  const near = working.signal.aborted ? [] : mayKeep(question, answer.misses, found.best[0])
  const told = near.length > 0 ? await simulateThese(working, asked, near) : []
  const outcomes = told.filter(wasSimulated)
  const { kept, ...all } = bestWithKept(found, outcomes, question.top)
  return {
    ...all,
    kept,
    tried: [...all.outcomes, ...outcomes],
    warnings: kept.length > 0 ? [keptText(found, all.best, kept)] : [],
    capped: found.simulated > 0 && isCapped(answer, found.outcomes, question),
  }
}

/** The same, and the misses that are of interest beside them: of serving, whose estimates are rougher, with what comes of their fixes. */
export async function rerank(
  working: Working,
  asked: Asked,
  misses: MissesOf,
): Promise<Reranked & { readonly nearMisses: readonly NearMiss[] }> {
  const missed = ahead(nearMisses(working, asked, misses))
  const all = await bestKept(working, asked, misses.answer)
  const near = await missed
  const [first] = all.best
  // Beside one that is better than those found before, fewer would be.
  const least = all.kept.length > 0 && first && keepsAll(first) ? (first.score ?? 0) : Number.POSITIVE_INFINITY
  const isOpen = ({ miss: { score } }: NearMiss) => score === Number.MAX_VALUE || score < least
  return { ...all, nearMisses: await withFixes(working, asked, near.filter(isOpen), all.tried) }
}

/** Near misses with what came of them, and of serving with what comes of their fixes too: that these fit is told as simulated. */
export async function withFixes(
  working: Working,
  asked: Asked,
  nearMisses: readonly NearMiss[],
  outcomes: readonly SimulatedCandidate[],
): Promise<readonly NearMiss[]> {
  const near = withOutcomes(nearMisses, outcomes)
  if (asked.loaded.spec.phase !== 'serving' || working.signal.aborted) return near
  const isOnMore = ({ change }: Fix) => change.startsWith('ranks=')
  const open = near.flatMap(({ fixes }) => fixes.filter((fix) => !fix.simulated && !isOnMore(fix)))
  const fixes = [...new Map(open.map(({ candidate }) => [candidate.name, candidate])).values()]
  if (fixes.length === 0) return near
  return withOutcomes(near, outcomes, (await simulateThese(working, asked, fixes)).filter(wasSimulated))
}

/** What was stopped before it was simulated is as it was. */
const wasSimulated = ({ metrics, error }: SimulatedCandidate) => metrics !== undefined || error !== undefined

/** That some keep limits which they miss by their estimates: where nothing else does, or by their places among the best. */
function keptText(
  found: SimulatedBest,
  best: readonly SimulatedCandidate[],
  kept: readonly SimulatedCandidate[],
): string {
  if (found.best.length === 0)
    return 'By their estimates no candidates keep the limits; what is told keeps them as simulated, and others may.'
  const places = kept.flatMap((each) => placeOf(each, best) ?? [])
  return `By ${places.length === 1 ? 'its estimate' : 'their estimates'} number ${places.join(' and ')} would miss a limit; as simulated all are kept, and others may keep them too.`
}

/** Simulates candidates, the best estimates first, and what was kept beside them as long as it could be better. */
async function bestSimulated(working: Working, asked: Asked, candidates: readonly Candidate[]): Promise<SimulatedBest> {
  const { top } = asked.question
  const isOpen = (outcomes: readonly SimulatedCandidate[]) => mayComeFirst(candidates, outcomes, top)
  const outcomes = await simulated(working, asked, candidates, { isOpen, of: top })
  if (outcomes) return bestOf(outcomes, top)
  return { best: estimatedOnly(asked, candidates.slice(0, top)), outcomes: [], simulated: 0 }
}

/** Simulates these candidates and no others, in the order of what comes of them. */
export async function simulateThese(
  working: Working,
  asked: Asked,
  candidates: readonly Candidate[],
): Promise<readonly SimulatedCandidate[]> {
  const isOpen = (outcomes: readonly SimulatedCandidate[]) => outcomes.length < candidates.length
  const outcomes = await simulated(working, asked, candidates, { isOpen, of: candidates.length })
  return outcomes ? bestOf(outcomes, candidates.length).best : estimatedOnly(asked, candidates)
}

/** See `nearMissesOf`; none of a search that is stopped, nor where a thread dies of them: what was found is told all the same. */
export async function nearMisses({ io, crew, signal }: Working, { question }: Asked, misses: MissesOf) {
  try {
    return (await unlessStopped(signal, () => crew.nearMisses(question, misses, signal))) ?? []
  } catch (error) {
    if (!isCrash(error)) throw error
    printWarnings(io, [`near misses are not told: ${error.message}`])
    return []
  }
}

/** Simulates one candidate after the other, as many at a time as the crew has hands, while `isOpen` says so of what came of the first ones. */
async function simulated(
  { io, crew, signal }: Working,
  { loaded, question }: Asked,
  candidates: readonly Candidate[],
  { isOpen, of }: { readonly isOpen: (outcomes: readonly SimulatedCandidate[]) => boolean; readonly of: number },
): Promise<readonly SimulatedCandidate[] | undefined> {
  const simulatedBy = async (candidate: Candidate): Promise<SimulatedCandidate> => {
    try {
      return await crew.simulated(question, candidate, signal)
    } catch (error) {
      if (!isCrash(error)) throw error
      return { candidate, spec: specOfCandidate(loaded, question, candidate), misses: [], error }
    }
  }
  const line = progressLine(io)
  const running: Promise<SimulatedCandidate | undefined>[] = []
  const outcomes: SimulatedCandidate[] = []
  try {
    while (isOpen(outcomes)) {
      line.show(`simulating: ${outcomes.length} of ${Math.max(of, outcomes.length + 1)}`)
      for (const candidate of candidates.slice(running.length, outcomes.length + crew.hands))
        running.push(ahead(unlessStopped(signal, () => simulatedBy(candidate))))
      const outcome = await running[outcomes.length]
      if (!outcome) return undefined
      outcomes.push(outcome)
    }
    return outcomes
  } finally {
    line.clear()
  }
}

const isCrash = (error: unknown): error is ShardloomError => isShardloomError(error) && error.code === 'CRASH'

/** Something that runs before it is waited for, and fails without a word if nobody does. */
function ahead<Result>(work: Promise<Result>): Promise<Result> {
  work.catch(() => {})
  return work
}

/** Undefined of what is stopped. */
async function unlessStopped<Result>(signal: AbortSignal, work: () => Promise<Result>): Promise<Result | undefined> {
  if (signal.aborted) return undefined
  try {
    return await work()
  } catch (error) {
    if (!signal.aborted) throw error
    return undefined
  }
}
