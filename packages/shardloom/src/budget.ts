import type { PlannedSpec } from './sequence.js'

/** Days and cost. A cost is in whatever currency the price was given in. */
export interface Budget {
  /** Where the spec has a budget of `tokens`: how many steps those are, and how long they take. */
  readonly tokens?: number
  readonly steps?: number
  readonly days?: number
  readonly rankHours?: number
  /** Of the budget, at `pricePerRankHour`. */
  readonly cost?: number
  /** At `pricePerRankHour`. */
  readonly costPerMillionTokens?: number
}

/** What a spec's budget of tokens takes, and what it costs. Idle ranks cost as much as busy ones. */
export function budgetOf(
  { tokens: budget, pricePerRankHour: price }: PlannedSpec,
  step: { readonly tokens: number; readonly seconds: number; readonly world: number },
): { readonly budget?: Budget } {
  if (budget === undefined && price === undefined) return {}
  const hoursPerToken = (step.seconds * step.world) / 3600 / step.tokens
  const perMillion = price !== undefined && { costPerMillionTokens: 1e6 * hoursPerToken * price }
  if (budget === undefined) return { budget: { ...perMillion } }
  const steps = Math.ceil(budget / step.tokens)
  const rankHours = (steps * step.seconds * step.world) / 3600
  const days = (steps * step.seconds) / 86_400
  const cost = price !== undefined && { cost: rankHours * price }
  return { budget: { tokens: budget, steps, days, rankHours, ...cost, ...perMillion } }
}
