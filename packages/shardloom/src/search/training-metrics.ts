import { nearest, orList, ShardloomError } from '@shardloom/core'
import type { Rejection } from '@shardloom/search'
import { clusterOf } from '../cluster-of.js'
import type { LoadedSpec } from '../plan.js'
import type { Limit, Question } from './question.js'

/** A metric that candidates are judged by. */
interface Metric {
  readonly better: 'less' | 'more'
  /** From the least that a step can take and the least bytes that it can hold: no candidate has a better value. */
  readonly best: (seconds: number, bytes: number, at: Pace) => number
  readonly describe: string
}

/** What metrics of a step depend on beside its time and memory. */
export interface Pace {
  readonly ranks: number
  readonly tokens: number
  readonly capacityBytes: number
  readonly reserveBytes: number
  readonly pricePerRankHour: number | undefined
}

/** The metrics of training, by name. */
export const trainingMetricTable: Readonly<Record<string, Metric>> = {
  'step-time': { better: 'less', best: (seconds) => seconds, describe: 'seconds of a step' },
  'tokens-per-second': {
    better: 'more',
    best: (seconds, _, { tokens }) => tokens / seconds,
    describe: 'tokens per second',
  },
  throughput: {
    better: 'more',
    best: (seconds, _, { tokens, ranks }) => tokens / seconds / ranks,
    describe: 'tokens per second and rank',
  },
  'peak-memory': { better: 'less', best: (_, bytes) => bytes, describe: 'the most bytes that a rank holds' },
  'memory-headroom': {
    better: 'more',
    best: (_, bytes, { capacityBytes, reserveBytes }) => capacityBytes - reserveBytes - bytes,
    describe: 'bytes of a rank that stay free',
  },
  cost: {
    better: 'less',
    best: (seconds, _, { tokens, ranks, pricePerRankHour = 0 }) =>
      (1e6 * pricePerRankHour * ranks * seconds) / 3600 / tokens,
    describe: 'price of a million tokens, at `pricePerRankHour`',
  },
}

/** How candidates of a question are judged. */
export interface Aim {
  /** The least score of candidates that take no less time and memory than these. */
  readonly bound: (seconds: number, bytes: number) => number
  /** The same for the two metrics of the front. */
  readonly corner: (seconds: number, bytes: number) => readonly [number, number]
  /** The score of metrics, or the limit that they break. */
  readonly judge: (metrics: Readonly<Record<string, number>>) => number | Rejection
  /** Metrics with those of the front, by which the smaller is better. */
  readonly shown: (metrics: Readonly<Record<string, number>>) => Readonly<Record<string, number>>
}

/** Makes the aim of a question for training. Throws `OBJECTIVE`, `LIMIT`. */
export function aimOf(question: Question, pace: Pace): Aim {
  const { objective, limits, front } = question
  const metric = metricOf(objective)
  const lower = (name: string, seconds: number, bytes: number) => {
    const own = name.startsWith('-') ? name.slice(1) : name
    const value = metricOf(own).best(seconds, bytes, pace)
    return name.startsWith('-') ? -value : value
  }
  const sign = metric.better === 'less' ? 1 : -1
  return {
    bound: (seconds, bytes) => sign * metric.best(seconds, bytes, pace),
    corner: (seconds, bytes) => [
      lower(front?.[0] ?? objective, seconds, bytes),
      lower(front?.[1] ?? objective, seconds, bytes),
    ],
    judge(metrics) {
      const [missed] = limitMisses(limits, metrics)
      if (missed) return missed
      return sign * (metrics[objective] ?? Number.NaN)
    },
    shown(metrics) {
      const negated = (front ?? []).filter((name) => name.startsWith('-'))
      return {
        ...metrics,
        ...Object.fromEntries(negated.map((name) => [name, -(metrics[name.slice(1)] ?? Number.NaN)])),
      }
    },
  }
}

/** The limits that metrics break, and by how much of each. */
export function limitMisses(limits: readonly Limit[], metrics: Readonly<Record<string, number>>) {
  return limits.flatMap((limit): { readonly rule: string; readonly by: number }[] => {
    const { metric, most, least } = limit
    const value = metrics[metric] ?? Number.NaN
    if (most !== undefined && value > most) return [{ rule: limitName(limit), by: most > 0 ? value / most - 1 : value }]
    if (least !== undefined && value < least)
      return [{ rule: limitName(limit), by: least > 0 ? 1 - value / least : -value }]
    return []
  })
}

/** A limit as text: the rule that candidates fall to. */
export function limitName({ metric, most, least }: Limit): string {
  return most === undefined ? `${metric}>=${least}` : `${metric}<=${most}`
}

function metricOf(name: string): Metric {
  const found = trainingMetricTable[name]
  if (found) return found
  throw new ShardloomError('OBJECTIVE', `Training has no \`${name}\`.`, {
    subject: name,
    help: `${((near) => (near ? `Did you mean \`${near}\`? ` : ''))(nearest(name, Object.keys(trainingMetricTable)))}Use ${orList(Object.keys(trainingMetricTable))}.`,
  })
}

/** The metrics of a step that takes so many seconds and holds so many bytes on its fullest rank. */
export function trainingMetrics(pace: Pace, seconds: number, bytes: number): Record<string, number> {
  const names = Object.keys(trainingMetricTable).filter(
    (name) => name !== 'cost' || pace.pricePerRankHour !== undefined,
  )
  return Object.fromEntries(names.map((name) => [name, trainingMetricTable[name]?.best(seconds, bytes, pace) ?? 0]))
}

/** The pace of a question's steps. */
export function paceOf(loaded: LoadedSpec, question: Question, reserveBytes: number): Pace {
  const { batch, seq, pricePerRankHour } = loaded.spec
  return {
    ranks: question.ranks,
    tokens: batch * seq,
    capacityBytes: clusterOf(loaded).accelerator.memoryBytes,
    reserveBytes,
    pricePerRankHour,
  }
}

/**
 * Refuses what a search of training cannot answer: objectives, limits and fronts that it does not have (`OBJECTIVE`), a cost without a
 * price, and limits that exclude each other (`LIMITS`).
 */
export function checkTrainingQuestion({ spec }: LoadedSpec, { objective, limits, front: both }: Question): void {
  const front = both ?? []
  const named = [objective, ...limits.map(({ metric }) => metric), ...front.map((name) => name.replace(/^-/, ''))]
  for (const name of named) metricOf(name)
  for (const name of front) {
    const plain = name.replace(/^-/, '')
    const right = metricOf(plain).better === 'more' ? `-${plain}` : plain
    if (name === right) continue
    throw new ShardloomError(
      'OBJECTIVE',
      `A front has less of both metrics, and \`${name}\` is better the other way.`,
      {
        subject: name,
        help: `Use \`${right}\`.`,
      },
    )
  }
  if (named.includes('cost') && spec.pricePerRankHour === undefined) {
    throw new ShardloomError('OBJECTIVE', '`cost` is asked for, but no rank has a price.', {
      subject: 'cost',
      help: 'Give `pricePerRankHour`.',
    })
  }
  for (const { metric, most } of limits) {
    const least = limits.find((other) => other.metric === metric && other.least !== undefined)?.least
    if (most === undefined || least === undefined || least <= most) continue
    throw new ShardloomError('LIMITS', `\`${metric}\` cannot be at most ${most} and at least ${least}.`, {
      subject: metric,
      help: 'Leave one of the two out.',
    })
  }
}
