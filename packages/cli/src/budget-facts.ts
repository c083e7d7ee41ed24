import { formatCount, formatQuantity, type SimulationSummary } from 'shardloom'

/** What a budget of tokens takes and costs, in pairs of a name and words; empty without one. `made` says what is priced. */
export function budgetFacts(budget: SimulationSummary['budget'], world: number, made = 'tokens'): [string, string][] {
  if (!budget) return []
  const { tokens, steps, days, rankHours, cost, costPerMillionTokens } = budget
  const money = (amount: number) => formatQuantity(amount, '')
  const facts: [string, string][] = []
  if (tokens !== undefined && days !== undefined && rankHours !== undefined) {
    const inSteps = steps === undefined ? '' : ` in ${formatCount(steps)}\u00a0steps`
    const long = [
      `${formatQuantity(tokens, '')}\u00a0${made}${inSteps}:`,
      `${formatQuantity(days, '')}\u00a0days on ${formatCount(world)}\u00a0${world === 1 ? 'rank' : 'ranks'},`,
      `${formatQuantity(rankHours, '')}\u00a0rank-hours${cost === undefined ? '' : `, at a cost of ${money(cost)}`}`,
    ]
    facts.push(['budget', long.join(' ')])
  }
  if (costPerMillionTokens !== undefined) facts.push(['price', `${money(costPerMillionTokens)} per million ${made}`])
  return facts
}
