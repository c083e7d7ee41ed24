import { servingMetricTable } from './serving-metrics.js'
import { type StepPhase, stepMetrics } from './step-metrics.js'

/** What is shown of candidates, by phase. */
const columnsOf: Readonly<Record<StepPhase | 'serving', readonly string[]>> = {
  training: ['step-time', 'throughput', 'peak-memory'],
  prefill: ['ttft', 'throughput', 'peak-memory'],
  decode: ['tpot', 'throughput', 'peak-memory'],
  serving: ['throughput', 'ttft', 'tpot'],
}

/** The names of metrics where there is little room. */
const heads: Readonly<Record<string, string>> = {
  'step-time': 'step',
  throughput: 'tokens per rank',
  'peak-memory': 'memory',
  'memory-headroom': 'headroom',
  'tokens-per-second': 'tokens',
  'requests-per-second': 'requests',
}

/** The metrics that a table of candidates has, the objective first. */
export function shownMetrics(phase: StepPhase | 'serving', objective: string): readonly string[] {
  return [...new Set([objective, ...columnsOf[phase]])].slice(0, 4)
}

/** The name of a metric at the head of a column. */
export const metricHead = (metric: string): string => heads[metric] ?? metric

/** Whether more or less of a metric is better; undefined for a name that the phase does not know. */
export function betterOf(phase: StepPhase | 'serving', metric: string): 'less' | 'more' | undefined {
  const table: Readonly<Record<string, { readonly better: 'less' | 'more' }>> =
    phase === 'serving' ? servingMetricTable : stepMetrics[phase]
  return Object.hasOwn(table, metric) ? table[metric]?.better : undefined
}
