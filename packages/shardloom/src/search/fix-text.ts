import { formatBytes, formatDifference } from '@shardloom/exporters'
import type { Candidate } from '@shardloom/search'
import { metricText, missText, ruleText } from './limit-text.js'
import { distanceToBest, type Fix, type NearMiss } from './near-misses.js'
import type { Question } from './question.js'
import { keepsAll, type SimulatedCandidate } from './simulate-best.js'

/** The objective of a candidate as estimated, beside what the best was estimated at; empty where it is not known. */
export function estimatedText(
  { metrics }: Pick<Candidate, 'metrics'>,
  [first]: readonly SimulatedCandidate[],
  { objective }: Question,
): string {
  const value = metrics[objective]
  if (value === undefined) return ''
  const best = first && keepsAll(first) ? first.candidate.metrics[objective] : undefined
  const beside = best === undefined ? '' : `, the best ${metricText(objective, best)}`
  return `${objective} ${metricText(objective, value)} as estimated${beside}`
}

/** By how much a near miss misses its rule, and of what; the limits that it misses besides, and those of which nobody knows. */
export function missedByText({ miss, bytes, also, unknown }: NearMiss, { limits }: Question): string {
  const share = missText(miss.by)
  const whole = miss.rule === 'kv-cache' ? 'the room for it' : 'its memory'
  const own = bytes === undefined ? share : `${formatBytes(Math.round(bytes))} of a rank (${share} of ${whole})`
  const missed = [own, ...also.map(({ rule, by }) => `${ruleText(rule, limits)} by ${missText(by)}`)].join(', and ')
  const open = unknown.map((rule) => ruleText(rule, limits)).join(' and ')
  return open === '' ? missed : `${missed}; whether it keeps ${open} is not known`
}

/** Whether a miss fits with a fix, and who says so: what was simulated, or its estimate. */
export function fitsText({ simulated }: Pick<Fix, 'simulated'>): string {
  if (!simulated?.metrics && !simulated?.error) return 'is estimated to fit with'
  return keepsAll(simulated) ? 'fits with' : 'does not fit with'
}

/** What a fix comes to: as it was simulated, with its place among the best or how it compares with the first; else as estimated. */
export function fixText(
  { candidate, simulated }: Fix,
  best: readonly SimulatedCandidate[],
  question: Question,
): string {
  const { objective, limits } = question
  const value = simulated?.metrics?.[objective]
  if (!simulated || value === undefined) return estimatedText(candidate, best, question)
  const [first] = best
  const place = placeOf(simulated, best)
  const distance = first && keepsAll(first) ? distanceToBest(first, simulated, objective) : undefined
  const tie = distance?.tie ? ', a tie' : ''
  return [
    `${objective} ${metricText(objective, value)} as simulated`,
    ...(place !== undefined
      ? [`number ${place} above`]
      : distance
        ? [`${formatDifference(distance.relative)} to the best${tie}`]
        : []),
    ...simulated.misses.map(({ rule, by }) => `which misses ${ruleText(rule, limits)} by ${missText(by)}`),
  ].join(', ')
}

/** The place of a candidate among the best, from 1; undefined where it is none of them. */
export function placeOf({ candidate }: SimulatedCandidate, best: readonly SimulatedCandidate[]): number | undefined {
  const index = best.findIndex((each) => each.candidate.name === candidate.name)
  return index < 0 ? undefined : index + 1
}
