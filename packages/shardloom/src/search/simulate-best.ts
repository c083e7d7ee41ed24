import { isShardloomError, type ShardloomError, type Work } from '@shardloom/core'
import type { Answer, Candidate } from '@shardloom/search'
import type { SpecInput } from '../spec-schema.js'
import type { StepBreakdown } from '../step-breakdown.js'

/** A candidate of an answer, with what comes of it event by event. */
export interface SimulatedCandidate {
  readonly candidate: Candidate
  /** What `shardloom simulate` takes. */
  readonly spec: SpecInput
  /** As `shardloom simulate` has them, and in serving `ttft-p99` and `tpot-p99` beside; none where simulating is refused. */
  readonly metrics?: Readonly<Record<string, number>>
  /** The objective as simulated; of two the one with the smaller score is better. */
  readonly score?: number
  /** estimate / simulation − 1, of what both know. */
  readonly differences?: Readonly<Record<string, number>>
  /** The relative errors that metrics are stated to be good for, as `conventions.error` of `simulate`; one without is counted, not timed. */
  readonly statedErrors?: Readonly<Record<string, number>>
  /** Where the constants of its kernels come from, where none were measured of the accelerator. */
  readonly assumed?: string
  /** Where the time of its step goes, as simulated; none of serving, which is many steps. */
  readonly breakdown?: StepBreakdown
  /** The limits of the question that it misses as simulated, and by how much of each. */
  readonly misses: readonly { readonly rule: string; readonly by: number }[]
  /** Why it was not simulated. */
  readonly error?: ShardloomError
}

/** The best of an answer as simulated. */
export interface SimulatedBest {
  /** As many as the question asks for, in the order of what comes of them. */
  readonly best: readonly SimulatedCandidate[]
  /** All that were simulated for that, in the same order. */
  readonly outcomes: readonly SimulatedCandidate[]
  /** How many that were. */
  readonly simulated: number
}

/** Whether a candidate was not refused, and misses no limit as simulated. */
export const keepsAll = ({ misses, error }: SimulatedCandidate): boolean => !error && misses.length === 0

/** Says what comes of a candidate. */
export interface Simulator {
  readonly specOf: (candidate: Candidate) => SpecInput
  readonly simulate: (candidate: Candidate, spec: SpecInput) => Work<SimulatedCandidate>
}

/**
 * Simulates candidates: those that keep all limits first, by their scores as simulated; then those that miss some, the nearest first, and
 * those that are refused.
 */
export function* simulateAll(
  candidates: readonly Candidate[],
  simulator: Simulator,
): Work<readonly SimulatedCandidate[]> {
  const { best } = yield* simulateBest(candidates, candidates.length, simulator)
  return best
}

/**
 * Simulates candidates, of which the best estimates come first, until no other can come to be among the best `count`; their order is that of
 * {@link simulateAll}.
 */
export function* simulateBest(
  candidates: readonly Candidate[],
  count: number,
  simulator: Simulator,
): Work<SimulatedBest> {
  const outcomes: SimulatedCandidate[] = []
  while (mayComeFirst(candidates, outcomes, count)) {
    const done = outcomes.length
    yield { work: 'simulating', done, of: Math.max(count, done + 1) }
    outcomes.push(yield* simulateOne(candidates[done] as Candidate, simulator))
  }
  return bestOf(outcomes, count)
}

/** Simulates a candidate; what refuses it is an outcome too. */
export function* simulateOne(candidate: Candidate, { specOf, simulate }: Simulator): Work<SimulatedCandidate> {
  const spec = specOf(candidate)
  try {
    return yield* simulate(candidate, spec)
  } catch (error) {
    if (!isShardloomError(error)) throw error
    return { candidate, spec, misses: [], error }
  }
}

/**
 * Whether another of the candidates, of which the best estimates come first, may come to be among the best `count`, where the first of them
 * have come to `outcomes`: none does if it would have to gain more on its estimate than any before.
 */
export function mayComeFirst(
  candidates: readonly Candidate[],
  outcomes: readonly SimulatedCandidate[],
  count: number,
): boolean {
  const next = candidates[outcomes.length]
  if (!next || outcomes.length < count) return next !== undefined
  const last = bestOf(outcomes, count).best[count - 1]
  if (!last) return false
  const gain = outcomes.reduce((most, outcome) => Math.max(most, gainOf(outcome)), 0)
  return place(last) > 0 || hopeOf(next, gain) <= (last.score ?? 0)
}

/**
 * Whether all that an answer has kept was simulated, and others of the space, which it has not, may come to be among the best `top`: if their
 * estimates are as good as the last of what it has.
 */
export function isCapped(
  { best, counts }: Pick<Answer, 'best' | 'counts'>,
  outcomes: readonly SimulatedCandidate[],
  { top, kept = top }: { readonly top: number; readonly kept?: number | undefined },
): boolean {
  const last = best.at(-1)
  const hasLeft = best.length >= kept || counts.bounded > 0
  return last !== undefined && hasLeft && best.length >= top && mayComeFirst([...best, last], outcomes, top)
}

/** The best of what was simulated. */
export function bestOf(outcomes: readonly SimulatedCandidate[], count: number): SimulatedBest {
  const order = outcomes.toSorted(
    (a, b) => place(a) - place(b) || farthest(a) - farthest(b) || (a.score ?? 0) - (b.score ?? 0),
  )
  return { best: order.slice(0, count), outcomes: order, simulated: outcomes.length }
}

const place = ({ misses, error }: SimulatedCandidate) => (error ? 2 : misses.length > 0 ? 1 : 0)

/** By how much a candidate misses the limit that it misses most. */
const farthest = ({ misses }: SimulatedCandidate) => misses.reduce((most, { by }) => Math.max(most, by), 0)

/** By how much of its estimate a candidate came out better. */
function gainOf({ candidate, score }: SimulatedCandidate): number {
  return score === undefined || candidate.score === 0 ? 0 : (candidate.score - score) / Math.abs(candidate.score)
}

/** What a candidate may come to, if it gains no more on its estimate than any that was simulated. */
const hopeOf = ({ score }: Candidate, gain: number) => score - gain * Math.abs(score)
