import { isShardloomError, type ShardloomError } from 'shardloom'
import {
  type Asked,
  bestOf,
  type Candidate,
  estimatedOnly,
  isRuleOf,
  keepsAll,
  mayComeFirst,
  type NearMiss,
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

/**
 * Simulates the best of an answer event by event, and what was kept beside them as long as it could be better; and finds the misses that are
 * of interest beside them.
 */
export async function rerank(
  working: Working,
  asked: Asked,
  misses: MissesOf,
): Promise<SimulatedBest & { readonly nearMisses: readonly NearMiss[] }> {
  const missed = ahead(nearMisses(working, asked, misses))
  const found = await bestSimulated(working, asked, misses.answer.best)
  const near = await missed
  const kept = found.best.length === 0 ? await keptAsSimulated(working, asked, near) : []
  if (kept.length === 0) return { ...found, nearMisses: withOutcomes(near, found.outcomes) }
  const others = near.filter(({ miss }) => !kept.some(({ candidate }) => candidate.name === miss.name))
  return { best: kept, outcomes: kept, simulated: kept.length, nearMisses: withOutcomes(others, kept) }
}

/**
 * Where by their estimates no candidates keep the limits, those misses that do as simulated. Estimates of what one request waits for are the
 * roughest: of requests in lock-step they tell the first token from those behind it with errors of a sixth.
 */
async function keptAsSimulated(working: Working, asked: Asked, misses: readonly NearMiss[]) {
  const { limits } = asked.question
  const isNear = ({ miss }: NearMiss) =>
    miss.by <= nearly && limits.some((limit) => isRuleOf(limit, miss.rule)) && !working.signal.aborted
  const near = misses.filter(isNear).map(({ miss }) => miss)
  if (near.length === 0) return []
  const kept = (await simulateThese(working, asked, near)).filter((outcome) => outcome.metrics && keepsAll(outcome))
  const text = 'By their estimates no candidates keep the limits; what is told keeps them as simulated, and others may.'
  if (kept.length > 0) printWarnings(working.io, [text])
  return kept
}

/** By how much of a limit an estimate may miss what a simulation keeps. */
const nearly = 0.2

/** Simulates candidates, the best estimates first, and what was kept beside them as long as it could be better. */
export async function bestSimulated(
  working: Working,
  asked: Asked,
  candidates: readonly Candidate[],
): Promise<SimulatedBest> {
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
