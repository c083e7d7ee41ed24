import { formatBytes, formatQuantity, formatSeconds, formatShare } from '@shardloom/exporters'
import type { ComparedMetric } from './compare.js'

const names: Readonly<Record<string, string>> = {
  stepSeconds: 'step',
  ttftSeconds: 'TTFT',
  tpotSeconds: 'TPOT',
  tokensPerSecond: 'tokens/s',
  tokensPerSecondPerRank: 'tokens/s per rank',
  mfu: 'MFU',
  hfu: 'HFU',
  peakBytes: 'memory at most',
  energyJoules: 'energy',
  costPerMillionTokens: 'cost per million tokens',
}

const written: Readonly<Record<ComparedMetric['unit'], (value: number) => string>> = {
  s: formatSeconds,
  B: formatBytes,
  J: (value) => formatQuantity(value, 'J'),
  'tokens/s': (value) => formatQuantity(Math.round(value), ''),
  days: (value) => formatQuantity(value, ''),
  money: (value) => formatQuantity(value, ''),
  share: formatShare,
}

/** What a compared figure is called by people: `tokens/s per rank`. */
export const metricName = ({ metric }: Pick<ComparedMetric, 'metric'>): string => names[metric] ?? metric

/** One value of a compared figure with its unit. */
export const formatMetric = ({ unit }: Pick<ComparedMetric, 'unit'>, value: number): string => written[unit](value)
