import {
  type ComparedMetric,
  type Comparison,
  formatBytes,
  formatDifference,
  formatMetric,
  formatSeconds,
  formatShare,
  metricName,
} from 'shardloom'
import { bubbleTitle } from '../shell/terms.js'

/** The most that one rank holds. */
export interface RankPeak {
  readonly rank: number
  readonly bytes: number
}

/** Metrics that say the same as the time of the step, or follow from it. */
const following = new Set([
  'ttftSeconds',
  'tpotSeconds',
  'tokensPerSecondPerRank',
  'hfu',
  'peakBytes',
  'energyJoules',
  'days',
  'cost',
])

/** A difference with its sign before the quantity: `+34.0 GB`. */
export const signed = (difference: number, format: (value: number) => string): string =>
  `${difference < 0 ? '−' : '+'}${format(Math.abs(difference))}`

/**
 * In what one spec of a comparison differs from the first, the step first: `−18.2 % step time`, `+34.0 GB on rank 0`. What is smaller than
 * what the model errs by is left out, but for the step itself, of which that is said, and for parts that make up much of its difference.
 */
export function differenceWords(
  comparison: Comparison,
  index: number,
  before: readonly RankPeak[],
  after: readonly RankPeak[],
): string[] {
  const { specs, metrics, error } = comparison
  const [first, own] = [specs[0], specs[index]]
  const words: string[] = []
  for (const metric of metrics) {
    if (following.has(metric.metric)) continue
    const difference = metric.differences[index - 1]
    if (!difference || difference.relative === 0) continue
    const told = counts(metric, index, comparison)
    const text = told ? metricText(metric, index, difference.relative) : tieText(metric, error)
    if (text) words.push(text)
  }
  words.push(...memoryWords(before, after))
  if (first && own && first.fits !== own.fits)
    words.push(own.fits ? 'now fits in the device' : 'no longer fits in the device')
  return words.length > 0 ? words : ['no difference']
}

/** That two steps differ by less than what the model errs by. */
export const sameStep = (error: number) => `step time the same within ±${Math.round(100 * error)}\u00a0%`

function tieText({ metric }: ComparedMetric, error: number): string | undefined {
  return metric === 'stepSeconds' ? sameStep(error) : undefined
}

function metricText(metric: ComparedMetric, index: number, relative: number | null): string {
  const [before = 0, after = 0] = [metric.values[0], metric.values[index]]
  const name = metric.metric === 'stepSeconds' ? 'step time' : metricWords(metric).name
  if (metric.unit === 'share') return `${signed(after - before, formatPoints)} ${name}`
  // Parts of a step are told in seconds: a large change of a small part is none of the step.
  if (metric.part) return `${signed(after - before, formatSeconds)} ${name.replace(/^exposed /, 'exposed on ')}`
  if (relative === null) return `${formatMetric(metric, after)} ${name}, none before`
  return `${formatDifference(relative)} ${name}`
}

/** By how much the peak differs, which is that of the fullest rank: on all ranks alike, on a rank that is the fullest of both, or of each. */
function memoryWords(before: readonly RankPeak[], after: readonly RankPeak[]): string[] {
  const [from, to] = [fullestOf(before), fullestOf(after)]
  if (from.bytes === to.bytes) return []
  const rank = to.ranks.find((each) => from.ranks.includes(each))
  const alike =
    before.length > 1 &&
    before.length === after.length &&
    [from, to].every(({ ranks }) => ranks.length === before.length)
  const where = alike ? 'on every rank' : rank === undefined ? 'on the fullest rank' : `on rank ${rank}, the fullest`
  return [`${signed(to.bytes - from.bytes, formatBytes)} ${where}`]
}

/** The most that any rank holds, and the ranks that do. */
function fullestOf(peaks: readonly RankPeak[]): { readonly bytes: number; readonly ranks: readonly number[] } {
  const bytes = Math.max(...peaks.map((peak) => peak.bytes))
  return { bytes, ranks: peaks.flatMap((peak) => (peak.bytes === bytes ? [peak.rank] : [])) }
}

/** How a figure of one spec differs from the first's, in few words, and of a part of a step whether that is `small`. */
export function metricDifference(metric: ComparedMetric, index: number, comparison: Comparison): string {
  const { relative, tie } = metric.differences[index - 1] ?? { relative: 0, tie: true }
  if (relative === 0) return 'same'
  const by =
    metric.part && metric.unit === 'share'
      ? signed(byOf(metric, index), formatPoints)
      : relative === null
        ? 'new'
        : formatDifference(relative)
  if (metric.part) return counts(metric, index, comparison) ? by : `${by}, small`
  return `${by}${tie ? ' (tie)' : ''}`
}

/** What `small` means; undefined where no difference is. */
export function smallWords(comparison: Comparison): string | undefined {
  const { metrics, error } = comparison
  const some = metrics.some(
    (metric) =>
      metric.part &&
      metric.differences.some(({ relative }, at) => relative !== 0 && !counts(metric, at + 1, comparison)),
  )
  return some
    ? `small: less than the ±${Math.round(100 * error)}\u00a0% of the step that its time is good for`
    : undefined
}

/** What a metric is called, and what that is where its name alone does not say so. */
export function metricWords(metric: ComparedMetric): { readonly name: string; readonly title?: string } {
  return metric.metric === 'bubble' ? { name: 'pipeline bubble', title: bubbleTitle } : { name: metricName(metric) }
}

const byOf = ({ values }: ComparedMetric, index: number): number => (values[index] ?? 0) - (values[0] ?? 0)

const formatPoints = (share: number) => formatShare(share).replace('%', 'points')

/** The least share of what the step gains or loses that a part of it is told for. */
const tellingShare = 0.1

/**
 * Whether a difference is more than the model errs by, or, of a part of a step whose own time differs by more than that, a share of this
 * difference worth telling.
 */
function counts(metric: ComparedMetric, index: number, { metrics }: Comparison): boolean {
  if (!metric.differences[index - 1]?.tie) return true
  const step = metrics.find((each) => each.metric === 'stepSeconds')
  if (!metric.part || metric.unit !== 's' || !step || step.differences[index - 1]?.tie !== false) return false
  return Math.abs(byOf(metric, index)) >= tellingShare * Math.abs(byOf(step, index))
}

/** A value of a field of a spec; a dash where it is open. */
export const parameterText = (value: unknown): string =>
  value === null ? '–' : typeof value === 'string' ? value : JSON.stringify(value)
