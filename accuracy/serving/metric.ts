import type { ServingSimulation } from 'shardloom'
import { meaningOf } from '../meaning.js'

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

/** The units that a metric may be in; empty where it is not known. */
function unitsOf(metric: string): readonly string[] {
  const { name } = partsOf(metric)
  if (Object.hasOwn(spreads, name)) return ['s', 'ms']
  const counted = name === 'request_throughput' ? 'req/s' : 'tok/s'
  return Object.hasOwn(rates, name) ? [counted, `${counted}/GPU`] : []
}

/** The unit of a value as it is written here, whatever the case of its letters; undefined where the metric has no such unit. */
export function unitOf({ metric, unit }: Measured): string | undefined {
  return unitsOf(metric).find((each) => each.toLowerCase() === unit.toLowerCase())
}

/** What is not understood of a value's metric and unit. */
export function metricLacks({ metric, unit }: Measured): readonly string[] {
  const units = unitsOf(metric)
  if (units.length === 0) return [meaningOf('metric', metric, [...Object.keys(spreads), ...Object.keys(rates)])]
  return unitOf({ metric, unit, value: 0 }) === undefined ? [meaningOf('unit', unit, units)] : []
}

/** What a simulation says in the metric and unit of a row; undefined where it has no such value. Rates per rank are divided. */
export function servedValue(result: Result, ranks: number, { metric, unit }: Measured): number | undefined {
  const { name, of } = partsOf(metric)
  const seconds = spreads[name]?.(result)?.[of]
  if (seconds !== undefined) return seconds * (/^ms$/i.test(unit) ? 1e3 : 1)
  const rate = rates[name]?.(result)
  return rate === undefined ? undefined : rate / (/\/GPU$/i.test(unit) ? ranks : 1)
}

/** The error that is expected of a family, below which values are ties. */
export function statedErrorOf(family: string): number {
  return family.endsWith('TTFT') ? 0.2 : family === 'throughput' ? 0.1 : 0.05
}
