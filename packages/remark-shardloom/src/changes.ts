import {
  type Comparison,
  formatBytes,
  formatDifference,
  formatFlops,
  formatMetric,
  metricName,
  type PlanSummary,
  summarise,
} from 'shardloom'
import type { Side, Table } from './render.js'

/** In what two specs differ: what was changed, and what became of it. */
export interface Changes {
  readonly table: Table
  /** What figures of time are good for, and what they cannot show. */
  readonly notes: readonly string[]
}

const figures: readonly (readonly [
  name: string,
  of: (plan: PlanSummary) => number,
  write: (value: number) => string,
])[] = [
  ['parameters per rank', ({ perRank }) => perRank.parameterBytes, formatBytes],
  ['FLOPs per rank', ({ perRank }) => perRank.flops, formatFlops],
  [
    'sends per rank',
    ({ communication }) => communication.reduce((sum, { count, bytesPerRank }) => sum + count * bytesPerRank, 0),
    (value) => formatBytes(Math.round(value)),
  ],
]

/** Puts the figures of two sides beside each other; times and memory where there is a comparison of them. */
export function changesOf(before: Side, after: Side, comparison: Comparison | undefined): Changes {
  const [a, b] = [summarise(before.plan), summarise(after.plan)]
  const planned = figures.map(([name, of, write]) => {
    const relative = of(a) === 0 ? null : of(b) / of(a) - 1
    return [name, write(of(a)), write(of(b)), changeText(relative)]
  })
  const timed = (comparison?.metrics ?? []).map((metric) => {
    const [first = 0, second = 0] = metric.values
    const { relative, tie } = metric.differences[0] ?? { relative: 0, tie: true }
    const text = relative !== 0 && tie ? 'about the same' : changeText(relative)
    return [metricName(metric), formatMetric(metric, first), formatMetric(metric, second), text]
  })
  const error =
    comparison && `Times are good for ±${Math.round(100 * comparison.error)} %; smaller differences are about the same.`
  return {
    table: {
      head: ['', 'before', 'after', 'change'],
      align: ['left', 'right', 'right', 'right'],
      rows: [...planned, ...timed],
    },
    notes: error === undefined ? [] : [error, ...(comparison?.notes ?? [])],
  }
}

const changeText = (relative: number | null) =>
  relative === null ? 'new' : relative === 0 ? 'same' : formatDifference(relative)
