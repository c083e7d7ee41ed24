import type { PlannedSpec } from './sequence.js'

/** Days and cost, of generated tokens in serving. A cost is in whatever currency the price was given in. */
export interface Budget {
  /** Where the spec has a budget of `tokens`: how long they take, and how many steps those are, where steps are alike. */
  readonly tokens?: number
  readonly steps?: number
  readonly days?: number
  readonly rankHours?: number
  /** Of the budget, at `pricePerRankHour`. */
  readonly cost?: number
  /** At `pricePerRankHour`. */
  readonly costPerMillionTokens?: number
}

/**
 * What a spec's budget of tokens takes, and what it costs, at the pace of a step, or of serving, which does not come in whole steps. Idle
 * ranks cost as much as busy ones.
 */
export function budgetOf(
  { phase, tokens: budget, pricePerRankHour: price }: PlannedSpec,
  pace: { readonly tokens: number; readonly seconds: number; readonly world: number },
): { readonly budget?: Budget } {
  if (budget === undefined && price === undefined) return {}
  const { tokens, seconds, world } = pace
  const perMillion = price !== undefined && { costPerMillionTokens: (1e6 * price * seconds * world) / 3600 / tokens }
  if (budget === undefined) return { budget: { ...perMillion } }
  const steps = phase === 'serving' ? undefined : Math.ceil(budget / tokens)
  const all = (steps ?? budget / tokens) * seconds
  const rankHours = (all * world) / 3600
  const cost = price !== undefined && { cost: rankHours * price }
  return {
    budget: {
      tokens: budget,
      ...(steps !== undefined && { steps }),
      days: all / 86_400,
      rankHours,
      ...cost,
      ...perMillion,
    },
  }
}
