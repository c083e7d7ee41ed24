import { nearest, orList, ShardloomError } from '@shardloom/core'
import { formatBytes, formatCount, formatQuantity, formatSeconds, formatShare } from '@shardloom/exporters'
import { countScales, type Scales, scaledNumber, splitNumber } from '../scaled-number.js'
import type { Limit, Question } from './question.js'

/** Bytes of a rank's memory below which a number was meant in larger units. */
const leastMemory = 1e6

/** What a metric is measured in: seconds, bytes, something per second, or nothing. */
export type MetricUnit = 's' | 'B' | '/s' | ''

/** What each metric of a phase is measured in. */
const units: Readonly<Record<string, MetricUnit>> = {
  'step-time': 's',
  ttft: 's',
  'ttft-p99': 's',
  tpot: 's',
  'tpot-p99': 's',
  'peak-memory': 'B',
  'memory-headroom': 'B',
  'tokens-per-second': '/s',
  throughput: '/s',
  'requests-per-second': '/s',
  cost: '',
  ranks: '',
  concurrency: '',
}

/** The unit of a metric. */
export const unitOf = (metric: string): MetricUnit => units[metric] ?? ''

/** A metric with its unit. */
export function metricText(metric: string, value: number): string {
  const unit = unitOf(metric)
  if (unit === 's') return formatSeconds(value)
  if (unit === 'B') return value < 0 ? `−${formatBytes(-value)}` : formatBytes(value)
  return `${formatQuantity(value, '')}${unit}`
}

const scales: Readonly<Partial<Record<MetricUnit, Scales>>> = {
  s: { us: 1e-6, ms: 1e-3, s: 1, min: 60, h: 3600 },
  B: {
    ...{ B: 1, kB: 1e3, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 },
    ...{ KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 },
  },
  '/s': countScales,
}

/** A limit as text: the rule that candidates fall to. */
export function limitName({ metric, most, least }: Limit): string {
  return most === undefined ? `${metric}>=${least}` : `${metric}<=${most}`
}

/** A limit for people: `peak-memory <= 70.0 GB`. */
export function limitText({ metric, most, least }: Limit): string {
  const [sign, value] = most === undefined ? ['>=', least] : ['<=', most]
  return value === undefined ? metric : `${metric} ${sign} ${metricText(metric, value)}`
}

/** A rule that candidates fell to, with what it is about where its name does not say it. */
export function rejectionText(rule: string, question: Question): string {
  const isOfCaches = question.spec.phase === 'decode' && question.choices['dcp']?.some((degree) => Number(degree) > 1)
  return rule === 'CONFLICT' && isOfCaches
    ? `${rule} (dcp beyond the copies of the KV cache)`
    : ruleText(rule, question.limits)
}

/** A rule for people: limits are named with their numbers. */
export function ruleText(rule: string, limits: readonly Limit[]): string {
  const named = limits.filter((limit) => isRuleOf(limit, rule))
  const [limit] = named
  return limit && named.length === 1 ? limitText(limit) : rule
}

/** By how much of its own limit a rule is missed: a share, and from ten times the limit on how many times that is. */
export function missText(by: number): string {
  // Some rules are missed altogether.
  if (by >= 1e6) return 'far'
  return by < 9 ? formatShare(by) : `${formatCount(Math.round(by + 1))} times`
}

/** Whether candidates that break a limit fall to this rule: steps name rules as limits are written, serving by their metric. */
export function isRuleOf(limit: Limit, rule: string): boolean {
  return rule === limit.metric || rule === limitName(limit)
}

/** The limit that a text such as `tpot<=50ms` or `tokens-per-second>=2M` stands for. Throws `LIMIT`. */
export function readLimit(text: string): Limit {
  const [, metric = '', sign, value = ''] = /^\s*([a-z0-9-]+)\s*(<=|>=)(.*)$/is.exec(text) ?? []
  const refuse = (message: string, help: string) =>
    new ShardloomError('LIMIT', message, { subject: text.slice(0, 60), help })
  const number = splitNumber(value)
  if (sign === undefined || !number)
    throw refuse(
      `\`${text.slice(0, 60)}\` is no limit.`,
      'Write a metric, <= or >=, and a number that is not negative: tpot<=50ms or tokens-per-second>=2000.',
    )
  const { digits, unit } = number
  const known = scales[unitOf(metric)]
  const bound = scaledNumber(number, known)
  if (bound === undefined && !Object.hasOwn(units, metric)) {
    const near = nearest(metric, Object.keys(units))
    throw refuse(
      `There is no metric \`${metric.slice(0, 60)}\`.`,
      near === undefined ? `Use ${orList(Object.keys(units))}.` : `Did you mean \`${near}\`?`,
    )
  }
  if (bound === undefined)
    throw refuse(
      `The metric ${metric} has no unit \`${unit}\`.`,
      known ? `Use ${Object.keys(known).join(', ')}, or none.` : 'Leave it out.',
    )
  if (unit === '' && unitOf(metric) === 'B' && bound > 0 && bound < leastMemory)
    throw refuse(
      `\`${text.slice(0, 60)}\` is a limit of ${digits} bytes.`,
      `With its unit: ${metric}${sign}${digits}GB.`,
    )
  if (!Number.isFinite(bound)) throw refuse(`${digits}${unit} is more than numbers can say.`, 'Give a smaller one.')
  return { metric, ...(sign === '<=' ? { most: bound } : { least: bound }) }
}
