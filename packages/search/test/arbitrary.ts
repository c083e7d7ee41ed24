import fc from 'fast-check'
import type { Answer, Candidate, Counts, Keeping, Miss } from '../src/answer.js'

/** Points of few different values, so that ties are common; equal names are equal points. */
export const candidates = (most = 40): fc.Arbitrary<Candidate[]> =>
  fc.uniqueArray(
    fc
      .record({ id: fc.nat(200), score: fc.nat(6), x: fc.nat(5), y: fc.nat(5) })
      .map(({ id, score, x, y }): Candidate => ({ name: `id=${id}`, choices: { id }, score, metrics: { x, y } })),
    { selector: ({ name }) => name, maxLength: most },
  )

export const keeping: fc.Arbitrary<Keeping> = fc.record({
  top: fc.nat(5),
  front: fc.constantFrom(['x', 'y'] as const, ['y', 'x'] as const, undefined),
})

const smaller = (a: Candidate, b: Candidate) => (a.name < b.name ? -1 : 1)

/** What a {@link Keeping} keeps of points, written as its definition: sort, and compare each with each. */
export function kept(points: readonly Candidate[], { top, front }: Keeping): Pick<Answer, 'best' | 'front'> {
  const best = [...points].sort((a, b) => a.score - b.score || smaller(a, b)).slice(0, top)
  if (front === undefined) return { best, front: [] }
  const at = (point: Candidate) => front.map((metric) => point.metrics[metric] as number) as [number, number]
  const beats = (a: Candidate, b: Candidate) => {
    const [[ax, ay], [bx, by]] = [at(a), at(b)]
    return ax <= bx && ay <= by && (ax < bx || ay < by || a.name < b.name)
  }
  const unbeaten = points.filter((point) => !points.some((other) => beats(other, point)))
  return { best, front: unbeaten.sort((a, b) => at(a)[0] - at(b)[0]) }
}

/** The answer of a part that has seen these points, one in three of which break a rule. */
export function answerOf(points: readonly Candidate[], keep: Keeping): Answer {
  const broken = points.filter(({ choices }) => Number(choices['id']) % 3 === 0)
  const misses = broken.map((point): Miss => ({ ...point, rule: `rule ${point.metrics['x']}`, by: point.score }))
  const rules = [...new Set(misses.map(({ rule }) => rule))].sort()
  const of = (rule: string) => misses.filter((miss) => miss.rule === rule)
  const counts: Counts = {
    total: points.length,
    rejected: Object.fromEntries(rules.map((rule) => [rule, of(rule).length])),
    bounded: 0,
    evaluated: points.length - broken.length,
  }
  return {
    counts,
    ...kept(
      points.filter((point) => !broken.includes(point)),
      keep,
    ),
    misses: rules.map((rule) => of(rule).sort((a, b) => a.by - b.by || smaller(a, b))[0] as Miss),
  }
}
