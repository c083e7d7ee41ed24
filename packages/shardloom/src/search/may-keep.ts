import type { Miss } from '@shardloom/search'
import { isRuleOf } from './limit-text.js'
import type { Question } from './question.js'
import { bestOf, keepsAll, type SimulatedBest, type SimulatedCandidate } from './simulate-best.js'

/**
 * By how much of a limit an estimate may miss what a simulation keeps. Estimates of what one request waits for are the roughest: of requests
 * in lock-step they tell the first token from those behind it with errors of a sixth.
 */
const nearly = 0.2

/** How many misses of a limit are simulated. */
const mostOfRule = 3

/**
 * The misses that may keep their limit as simulated, and would then come before the best of what was simulated: a few of each limit, the
 * nearest first. Where nothing keeps all limits that is all that nearly do.
 */
export function mayKeep({ limits }: Question, misses: readonly Miss[], best: SimulatedCandidate | undefined): Miss[] {
  const least = best && keepsAll(best) ? (best.score ?? best.candidate.score) : Number.POSITIVE_INFINITY
  const isNear = ({ by, score, rule }: Miss) =>
    by <= nearly && score < least && limits.some((limit) => isRuleOf(limit, rule))
  const counts = new Map<string, number>()
  return misses
    .filter(isNear)
    .sort((a, b) => a.by - b.by || a.score - b.score || (a.name < b.name ? -1 : 1))
    .filter(({ rule }) => {
      const count = counts.get(rule) ?? 0
      counts.set(rule, count + 1)
      return count < mostOfRule
    })
}

/** The best of all that was simulated: of misses those that keep their limits after all. */
export function bestWithKept(
  found: SimulatedBest,
  tried: readonly SimulatedCandidate[],
  top: number,
): SimulatedBest & { readonly kept: readonly SimulatedCandidate[] } {
  const kept = tried.filter((outcome) => outcome.metrics && keepsAll(outcome))
  if (kept.length === 0) return { ...found, kept }
  const { best, outcomes } = bestOf([...found.outcomes, ...kept], top)
  return { best, outcomes, simulated: found.simulated + tried.length, kept }
}
