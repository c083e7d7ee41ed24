import {
  type Candidate,
  keepsAll,
  type NearMiss,
  placeOf,
  type SimulatedCandidate,
  specOfCandidate,
  untriedChoices,
} from 'shardloom/search'
import type { SearchResult } from './result.js'

/** What `shardloom search --json` prints of a search. Seconds, bytes, and shares of 1. */
export function resultDocument(result: SearchResult) {
  const {
    loaded,
    question,
    answer,
    best,
    simulated,
    nearMisses,
    front,
    capped = false,
    seconds,
    resumed,
    interrupted,
    missing = [],
    warnings = [],
  } = result
  const { total, rejected, bounded, evaluated } = answer.counts
  return {
    schema: 'shardloom.search/1',
    model: loaded.architecture.name,
    phase: loaded.spec.phase,
    ranks: question.ranks,
    objective: question.objective,
    limits: question.limits,
    choices: question.choices,
    candidates: { total, rejected, bounded, evaluated },
    ...(seconds !== undefined && { seconds }),
    ...(resumed !== undefined && { resumed }),
    untried: untriedChoices(loaded, question),
    interrupted,
    missing,
    simulated,
    capped,
    best: best.map(candidateDocument),
    front: front.map(({ candidate, simulated: own }) => ({
      name: candidate.name,
      spec: specOfCandidate(loaded, question, candidate),
      metrics: own?.metrics ?? null,
      estimated: plainMetrics(candidate),
    })),
    nearMisses: nearMisses.map((near) => missDocument(near, best)),
    warnings,
  }
}

/** A miss with what would help, and what came of that where it was simulated beside the best. */
export function missDocument(
  { miss, spec, bytes, also, unknown, fixes, simulated: own }: NearMiss,
  best: readonly SimulatedCandidate[] = [],
) {
  return {
    name: miss.name,
    spec,
    rule: miss.rule,
    by: miss.by,
    ...(bytes !== undefined && { bytes }),
    also,
    unknown,
    estimated: plainMetrics(miss),
    ...(own && { metrics: own.metrics ?? null, misses: own.misses }),
    fix: fixes.find((fix) => !fix.simulated || keepsAll(fix.simulated))?.change ?? null,
    fixes: fixes.map(({ change, candidate, outside, simulated }) => ({
      change,
      name: candidate.name,
      estimated: plainMetrics(candidate),
      metrics: simulated?.metrics ?? null,
      place: (simulated && placeOf(simulated, best)) ?? null,
      misses: simulated?.misses ?? [],
      outside,
    })),
  }
}

/** A candidate with what comes of it. */
export function candidateDocument({ candidate, spec, ...simulated }: SimulatedCandidate) {
  const { score, metrics, differences, breakdown, misses, error } = simulated
  return {
    name: candidate.name,
    spec,
    score: score ?? null,
    metrics: metrics ?? null,
    estimated: plainMetrics(candidate),
    differences: differences ?? null,
    ...(breakdown && { breakdown }),
    misses,
    ...(error && { error: { code: error.code, message: error.message } }),
  }
}

/** Metrics without those that are written again with a sign, for a front. */
export function plainMetrics({ metrics }: Pick<Candidate, 'metrics'>): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(metrics).filter(([name]) => !name.startsWith('-')))
}

/** The best as CSV: a row each, its choices, its metrics as simulated and as estimated. */
export function resultCsv({ best }: SearchResult): string {
  const choices = [...new Set(best.flatMap(({ candidate }) => Object.keys(candidate.choices)))]
  const metrics = [
    ...new Set(
      best.flatMap(({ candidate, metrics = {} }) => [...Object.keys(metrics), ...Object.keys(plainMetrics(candidate))]),
    ),
  ]
  const rows = best.map(({ candidate, metrics: simulated = {}, misses, error }, index) => [
    index + 1,
    ...choices.map((name) => candidate.choices[name]),
    ...metrics.flatMap((name) => [simulated[name], plainMetrics(candidate)[name]]),
    error ? error.code : misses.map(({ rule }) => rule).join(' '),
  ])
  const header = ['place', ...choices, ...metrics.flatMap((name) => [name, `${name} estimated`]), 'misses']
  return [header, ...rows].map((row) => `${row.map(cell).join(',')}\r\n`).join('')
}

/** RFC 4180. */
function cell(value: unknown): string {
  const text = value === undefined ? '' : String(value)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
