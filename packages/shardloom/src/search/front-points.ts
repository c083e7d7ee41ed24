import { type Candidate, Front } from '@shardloom/search'
import type { Question } from './question.js'
import { withFront } from './serving-metrics.js'
import { keepsAll, type SimulatedCandidate } from './simulate-best.js'

/** A point of a front. */
export interface FrontPoint {
  readonly candidate: Candidate
  /** As simulated where it was, else as estimated. */
  readonly metrics: Readonly<Record<string, number>>
  /** What came of it, where it was simulated. */
  readonly simulated?: SimulatedCandidate
}

/**
 * The front of an answer with what came of those that were simulated: what misses a limit as simulated is none of it, what keeps it only so
 * is, and of both the figures are those of the simulation.
 */
export function frontPoints(
  { front }: Pick<Question, 'front'>,
  estimated: readonly Candidate[],
  outcomes: readonly SimulatedCandidate[],
): readonly FrontPoint[] {
  if (!front) return []
  const points = new Map<string, FrontPoint>(
    estimated.map((candidate) => [candidate.name, { candidate, metrics: candidate.metrics }]),
  )
  for (const simulated of outcomes) {
    const { candidate, metrics } = simulated
    if (!keepsAll(simulated)) points.delete(candidate.name)
    else if (metrics)
      points.set(candidate.name, { candidate, metrics: { ...candidate.metrics, ...metrics }, simulated })
  }
  const found = new Front(front)
  for (const { candidate, metrics } of points.values())
    found.offer({ ...candidate, metrics: withFront(front, metrics) })
  return found.candidates.flatMap(({ name }) => points.get(name) ?? [])
}
