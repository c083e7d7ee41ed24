/** A value that was measured, and what was predicted of it. */
export interface Ranked {
  readonly metric: string
  readonly unit: string
  readonly measured: number
  readonly predicted: number
}

/**
 * Kendall's τ: of pairs in one metric the share that predictions put in the measured order, less the share that they turn
 * round (Kendall 1938). Pairs whose measured values differ by no more than `tie`, as a share, do not count; τ is null without pairs.
 */
export function rankCorrelation(
  list: readonly Ranked[],
  tie: number,
): { readonly tau: number | null; readonly pairs: number } {
  let sum = 0
  let pairs = 0
  list.forEach((a, index) => {
    for (const b of list.slice(index + 1)) {
      if (a.metric !== b.metric || a.unit !== b.unit) continue
      if (Math.abs(a.measured / b.measured - 1) <= tie || Math.abs(b.measured / a.measured - 1) <= tie) continue
      pairs++
      sum += Math.sign((a.measured - b.measured) * (a.predicted - b.predicted))
    }
  })
  return { tau: pairs === 0 ? null : sum / pairs, pairs }
}
