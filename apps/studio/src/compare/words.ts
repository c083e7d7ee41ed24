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
 * what the model errs by is left out, but for the step itself, of which that is said.
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
    const text = difference.tie ? tieText(metric, error) : metricText(metric, index, difference.relative)
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
  const name =
    metric.metric === 'stepSeconds' ? 'step time' : metric.metric === 'bubble' ? 'idle (bubble)' : metricName(metric)
  if (metric.unit === 'share') return `${signed(after - before, formatShare).replace('%', 'points')} ${name}`
  // Parts of a step are told in seconds: a large change of a small part is none of the step.
  if (metric.part) return `${signed(after - before, formatSeconds)} ${name.replace(/^exposed /, 'exposed on ')}`
  if (relative === null) return `${formatMetric(metric, after)} ${name}, none before`
  return `${formatDifference(relative)} ${name}`
}

/** Where memory differs: on all ranks alike, on the one where it differs most, or of the fullest where ranks are not the same. */
function memoryWords(before: readonly RankPeak[], after: readonly RankPeak[]): string[] {
  const pairs = after.flatMap(({ rank, bytes }) => {
    const known = before.find((each) => each.rank === rank)
    return known ? [{ rank, difference: bytes - known.bytes }] : []
  })
  if (pairs.length < after.length || pairs.length < before.length) {
    const [from, to] = [before, after].map((list) => Math.max(...list.map(({ bytes }) => bytes))) as [number, number]
    return from === to ? [] : [`${signed(to - from, formatBytes)} on the fullest rank`]
  }
  const [most] = [...pairs].sort((a, b) => Math.abs(b.difference) - Math.abs(a.difference) || a.rank - b.rank)
  if (!most || most.difference === 0) return []
  const alike = pairs.length > 1 && pairs.every(({ difference }) => difference === most.difference)
  return [`${signed(most.difference, formatBytes)} on ${alike ? 'every rank' : `rank ${most.rank}`}`]
}

/** How a figure of one spec differs from the first's, in few words. */
export function metricDifference({ differences, part }: ComparedMetric, index: number): string {
  const { relative, tie } = differences[index - 1] ?? { relative: 0, tie: true }
  if (relative === 0) return 'same'
  if (tie && part) return 'small'
  return `${relative === null ? 'new' : formatDifference(relative)}${tie ? ' (tie)' : ''}`
}

/** A value of a field of a spec; a dash where it is open. */
export const parameterText = (value: unknown): string =>
  value === null ? '–' : typeof value === 'string' ? value : JSON.stringify(value)
