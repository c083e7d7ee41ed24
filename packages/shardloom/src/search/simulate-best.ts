import { isShardloomError, type ShardloomError, type Work } from '@shardloom/core'
import type { Candidate } from '@shardloom/search'
import type { SpecInput } from '../spec-schema.js'

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
  /** The limits of the question that it misses as simulated, and by how much of each. */
  readonly misses: readonly { readonly rule: string; readonly by: number }[]
  /** Why it was not simulated. */
  readonly error?: ShardloomError
}

/** The best of an answer as simulated. */
export interface SimulatedBest {
  /** As many as the question asks for, in the order of what comes of them. */
  readonly best: readonly SimulatedCandidate[]
  /** How many were simulated for that. */
  readonly simulated: number
}

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
  { specOf, simulate }: Simulator,
): Work<SimulatedBest> {
  const order: SimulatedCandidate[] = []
  let gain = 0
  for (const [index, candidate] of candidates.entries()) {
    const last = order[count - 1]
    if (index >= count && (!last || (place(last) === 0 && hopeOf(candidate, gain) > (last.score ?? 0)))) break
    yield { work: 'simulating', done: index, of: Math.max(count, index + 1) }
    const outcome = yield* attempt({ candidate, spec: specOf(candidate), misses: [] }, simulate)
    order.push(outcome)
    order.sort((a, b) => place(a) - place(b) || farthest(a) - farthest(b) || (a.score ?? 0) - (b.score ?? 0))
    gain = Math.max(gain, gainOf(outcome))
  }
  return { best: order.slice(0, count), simulated: order.length }
}

function* attempt(plain: SimulatedCandidate, simulate: Simulator['simulate']): Work<SimulatedCandidate> {
  try {
    return yield* simulate(plain.candidate, plain.spec)
  } catch (error) {
    if (!isShardloomError(error)) throw error
    return { ...plain, error }
  }
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
