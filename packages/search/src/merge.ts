import type { Answer, Counts, Keeping, Miss } from './answer.js'
import { BestList } from './best-list.js'
import { Front } from './front.js'

/** The answer of a search that has seen nothing: merged with another it changes nothing. */
export const emptyAnswer: Answer = {
  counts: { total: 0, rejected: {}, bounded: 0, evaluated: 0 },
  best: [],
  front: [],
  misses: [],
}

/**
 * The answer of a whole from those of its parts, the same in whatever order and grouping they are merged: counts add up, the best are
 * the best of all, the front is that of all fronts, and of each rule the misses remain that none comes before. The parts must have kept at
 * least what is to be kept of the whole, and no point may be in two of them.
 */
export function mergeAnswers(answers: readonly Answer[], keeping: Keeping): Answer {
  const best = new BestList(keeping.top, keeping.kept)
  const front = keeping.front && new Front(keeping.front)
  const misses: Misses = new Map()
  for (const answer of answers) {
    for (const candidate of answer.best) best.offer(candidate)
    for (const candidate of answer.front) front?.offer(candidate)
    for (const miss of answer.misses) keepMiss(misses, miss)
  }
  return {
    counts: addCounts(answers.map(({ counts }) => counts)),
    best: best.candidates,
    front: front?.candidates ?? [],
    misses: sortMisses(misses),
  }
}

/** Misses by rule, of those that none comes before. */
export type Misses = Map<string, readonly Miss[]>

/** Keeps a miss unless one of the same rule comes before it: is no further off and no worse, or equal in both with a smaller name. */
export function keepMiss(misses: Misses, miss: Miss): void {
  const kept = misses.get(miss.rule) ?? []
  const isBefore = (a: Miss, b: Miss) =>
    a.by <= b.by && a.score <= b.score && (a.by < b.by || a.score < b.score || a.name <= b.name)
  if (kept.some((other) => isBefore(other, miss))) return
  misses.set(miss.rule, [...kept.filter((other) => !isBefore(miss, other)), miss])
}

/** By the name of the rule, the nearest first. */
export function sortMisses(misses: Misses): readonly Miss[] {
  return [...misses.values()].flat().sort((a, b) => (a.rule === b.rule ? a.by - b.by : a.rule < b.rule ? -1 : 1))
}

/** Numbers by rule, in the order of the rules' names. */
export function countsByRule(rejected: ReadonlyMap<string, number>): Counts['rejected'] {
  return Object.fromEntries([...rejected].sort(([a], [b]) => (a < b ? -1 : 1)))
}

function addCounts(all: readonly Counts[]): Counts {
  const rejected = new Map<string, number>()
  for (const counts of all)
    for (const [rule, count] of Object.entries(counts.rejected)) rejected.set(rule, (rejected.get(rule) ?? 0) + count)
  const sum = (of: (counts: Counts) => number) => all.reduce((total, counts) => total + of(counts), 0)
  return {
    total: sum(({ total }) => total),
    rejected: countsByRule(rejected),
    bounded: sum(({ bounded }) => bounded),
    evaluated: sum(({ evaluated }) => evaluated),
  }
}
