import type { Answer, Candidate, Counts, Keeping, Miss } from './answer.js'

const byScore = (a: Candidate, b: Candidate) => a.score - b.score || (a.name < b.name ? -1 : 1)

/** The answer of a whole from those of its parts, the same in whatever order and grouping they are merged. */
export function mergeAnswers(answers: readonly Answer[], keeping: Keeping): Answer {
  const misses = new Map<string, Miss>()
  for (const miss of answers.flatMap((answer) => answer.misses)) {
    const kept = misses.get(miss.rule)
    if (!kept || miss.by < kept.by || (miss.by === kept.by && miss.name < kept.name)) misses.set(miss.rule, miss)
  }
  return {
    counts: answers.map(({ counts }) => counts).reduce(add, { total: 0, rejected: {}, bounded: 0, evaluated: 0 }),
    best: answers
      .flatMap(({ best }) => best)
      .sort(byScore)
      .slice(0, keeping.top),
    front: keeping.front
      ? frontOf(
          answers.flatMap(({ front }) => front),
          keeping.front,
        )
      : [],
    misses: [...misses.values()].sort((a, b) => (a.rule < b.rule ? -1 : 1)),
  }
}

function add(a: Counts, b: Counts): Counts {
  const rules = [...new Set([...Object.keys(a.rejected), ...Object.keys(b.rejected)])].sort()
  return {
    total: a.total + b.total,
    rejected: Object.fromEntries(rules.map((rule) => [rule, (a.rejected[rule] ?? 0) + (b.rejected[rule] ?? 0)])),
    bounded: a.bounded + b.bounded,
    evaluated: a.evaluated + b.evaluated,
  }
}

function frontOf(candidates: readonly Candidate[], [first, second]: readonly [string, string]): readonly Candidate[] {
  const value = (candidate: Candidate, metric: string) => candidate.metrics[metric] ?? Infinity
  const sorted = [...candidates].sort(
    (a, b) => value(a, first) - value(b, first) || value(a, second) - value(b, second) || (a.name < b.name ? -1 : 1),
  )
  let least = Infinity
  return sorted.filter((candidate) => {
    if (value(candidate, second) >= least) return false
    least = value(candidate, second)
    return true
  })
}
