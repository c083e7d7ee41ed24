import { nearest, orList, ShardloomError } from '@shardloom/core'
import { metricText } from './limit-text.js'
import type { Limit, Question } from './question.js'

/** How a metric of serving counts. */
interface MetricRule {
  readonly better: 'less' | 'more'
  /** Whether it rises or falls with the clients of an engine, all else the same. */
  readonly withClients: 'rises' | 'falls' | 'stays'
}

/**
 * What is known of a candidate. Seconds: `ttft`, `tpot`. Generated tokens per second: `throughput` of a rank, `tokens-per-second` of all.
 * `concurrency`: requests that are inside or on their way. `memory-headroom`: bytes of a rank that the load leaves of what its engine may
 * use, where that is least. `cost`: of a million generated tokens. A step of more sequences takes longer, and no longer than two
 * steps of parts of them: so times and tokens per second both rise with clients.
 */
const rules = {
  ttft: { better: 'less', withClients: 'rises' },
  tpot: { better: 'less', withClients: 'rises' },
  throughput: { better: 'more', withClients: 'rises' },
  'tokens-per-second': { better: 'more', withClients: 'rises' },
  'requests-per-second': { better: 'more', withClients: 'rises' },
  concurrency: { better: 'more', withClients: 'rises' },
  'memory-headroom': { better: 'more', withClients: 'falls' },
  cost: { better: 'less', withClients: 'falls' },
  ranks: { better: 'less', withClients: 'stays' },
} as const satisfies Record<string, MetricRule>

/** A metric of serving. */
export type ServingMetric = keyof typeof rules

/** The metrics of serving, by name. */
export const servingMetricTable: Readonly<Record<ServingMetric, MetricRule>> = rules

/** What is known of a candidate, by metric; `cost` where a rank has a price. */
export type ServingMetrics = Readonly<Partial<Record<ServingMetric, number>>>

/** What serving can be searched for. */
export const servingObjectives: readonly ServingMetric[] = [
  'throughput',
  'ttft',
  'tpot',
  'ranks',
  'memory-headroom',
  'cost',
]

/** Whether a metric rises, falls or stays with the clients of an engine. */
export function withClients(metric: ServingMetric): MetricRule['withClients'] {
  return rules[metric].withClients
}

/** A metric so that less is better. */
export function lower(metric: ServingMetric, metrics: ServingMetrics): number {
  const value = metrics[metric] ?? Number.MAX_VALUE
  return rules[metric].better === 'less' ? value : -value
}

/**
 * What is to be least. Of as many ranks those are better that give more tokens: a fraction below 1 says which.
 */
export function scoreOf(objective: ServingMetric, metrics: ServingMetrics): number {
  const score = lower(objective, metrics)
  return objective === 'ranks' ? score + 1 / (1 + Math.max(0, metrics['tokens-per-second'] ?? 0)) : score
}

/** Metrics with those of a front, by which less is better: `-throughput` is less the more of it there is. */
export function withFront(front: Question['front'], metrics: ServingMetrics): Readonly<Record<string, number>> {
  const turned = (front ?? []).flatMap((name) => {
    const value = name.startsWith('-') ? metrics[name.slice(1) as ServingMetric] : undefined // checked with the question
    return value === undefined ? [] : [[name, -value] as const]
  })
  return { ...metrics, ...Object.fromEntries(turned) }
}

/** The order of what is listed by name. */
export function ascending([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** By how much of a limit a metric misses it; 0 where it keeps it. */
export function missOf({ metric, most, least }: Limit, metrics: ServingMetrics): number {
  const value = metrics[metric as ServingMetric] // checked with the question
  if (value === undefined) return 0
  if (most !== undefined && value > most) return most > 0 ? value / most - 1 : value
  if (least !== undefined && value < least) return least > 0 ? 1 - value / least : -value
  return 0
}

/**
 * Refuses what a search of serving cannot answer: objectives, limits and fronts of other phases (`OBJECTIVE`), and limits that exclude each
 * other (`LIMITS`).
 */
export function checkServingQuestion({ objective, limits, front, spec }: Question): void {
  const known = Object.keys(rules)
  const more = (name: string) => known.includes(name) && rules[name as ServingMetric].better === 'more' // a key of them
  const orders = known.map((name) => (more(name) ? `-${name}` : name))
  for (const [name, among] of [
    [objective, servingObjectives],
    ...limits.map(({ metric }) => [metric, known] as const),
    ...(front ?? []).map((each) => [each, orders] as const),
  ] as const) {
    if ((among as readonly string[]).includes(name)) continue
    const near = nearest(name, among)
    const [, mean] = /^-?(ttft|tpot)-p\d+$/.exec(name) ?? []
    if (mean !== undefined)
      throw new ShardloomError(
        'OBJECTIVE',
        `Serving is searched by means over requests, and \`${name}\` is a percentile.`,
        {
          subject: name,
          help: `Use \`${mean}\`, the mean, with a lower limit where p99 has to be kept: \`shardloom simulate\` of the best says what its p99 is.`,
        },
      )
    throw new ShardloomError('OBJECTIVE', `Serving has no \`${name.slice(0, 60)}\`.`, {
      subject: name.slice(0, 60),
      help: `${near === undefined ? '' : `Did you mean \`${near}\`? `}It has ${orList(among)}.`,
    })
  }
  const named = [objective, ...limits.map(({ metric }) => metric), ...(front ?? [])]
  if (named.includes('cost') && spec.pricePerRankHour === undefined) {
    throw new ShardloomError('OBJECTIVE', '`cost` is asked for, but no rank has a price.', {
      subject: 'cost',
      help: 'Give `pricePerRankHour`.',
    })
  }
  for (const metric of new Set(limits.map((limit) => limit.metric))) {
    const same = limits.filter((limit) => limit.metric === metric)
    const least = Math.max(...same.map((limit) => limit.least ?? Number.NEGATIVE_INFINITY))
    const most = Math.min(...same.map((limit) => limit.most ?? Number.POSITIVE_INFINITY))
    if (least <= most) continue
    throw new ShardloomError(
      'LIMITS',
      `\`${metric}\` is to be at least ${metricText(metric, least)} and at most ${metricText(metric, most)}.`,
      {
        subject: metric,
        help: 'Leave one of both out.',
      },
    )
  }
}
