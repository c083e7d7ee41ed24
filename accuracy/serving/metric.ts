import type { ServingSimulation } from 'shardloom'

/** A value that was measured, in the words of its row. */
export interface Measured {
  readonly metric: string
  readonly unit: string
  readonly value: number
}

type Result = ServingSimulation['result']
type Spread = Result['ttft']

const spreads: Readonly<Record<string, (result: Result) => Spread | null>> = {
  ttft: ({ ttft }) => ttft,
  first_token_latency: ({ ttft }) => ttft,
  tpot: ({ tpot }) => tpot,
  itl: ({ itl }) => itl,
  latency: ({ latency }) => latency,
}
const rates: Readonly<Record<string, (result: Result) => number>> = {
  output_throughput: ({ outputTokensPerSecond }) => outputTokensPerSecond,
  total_throughput: ({ totalTokensPerSecond }) => totalTokensPerSecond,
  request_throughput: ({ requestsPerSecond }) => requestsPerSecond,
}

/** A metric in its parts: `p99_TTFT` is the 99th percentile of `ttft`; without a word before it the mean is meant. */
function partsOf(metric: string): { readonly name: string; readonly of: keyof Spread } {
  const [, word = 'mean', name = ''] = /^(?:(mean|median|p50|p90|p99)_)?(\w+)$/i.exec(metric) ?? []
  const statistic = word.toLowerCase() === 'median' ? 'p50' : word.toLowerCase()
  return { name: name.toLowerCase(), of: statistic as keyof Spread } // one of those of the pattern
}

/** What a metric is summed up as: its quantity, with the percentile where it is one; undefined for what is not known. */
export function familyOf(metric: string): string | undefined {
  const { name, of } = partsOf(metric)
  const quantity = name === 'first_token_latency' ? 'TTFT' : name in spreads ? name.toUpperCase() : undefined
  if (quantity !== undefined) return of === 'mean' ? quantity : `${of} of ${quantity}`
  return name in rates ? 'throughput' : undefined
}

/** What a simulation says in the metric and unit of a row; undefined where it has no such value. Rates per rank are divided. */
export function servedValue(result: Result, ranks: number, { metric, unit }: Measured): number | undefined {
  const { name, of } = partsOf(metric)
  const seconds = spreads[name]?.(result)?.[of]
  if (seconds !== undefined) return seconds * (unit === 'ms' ? 1e3 : 1)
  const rate = rates[name]?.(result)
  return rate === undefined ? undefined : rate / (/\/GPU$/.test(unit) ? ranks : 1)
}

/** The error that is expected of a family, below which values are ties. */
export function statedErrorOf(family: string): number {
  return family.endsWith('TTFT') ? 0.2 : family === 'throughput' ? 0.1 : 0.05
}
