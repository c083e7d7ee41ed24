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
  stepSeconds: { better: 'less', best: (seconds) => seconds, describe: 'seconds of a step' },
  tokensPerSecond: {
    better: 'more',
    best: (seconds, _, { tokens }) => tokens / seconds,
    describe: 'tokens per second',
  },
  tokensPerSecondPerRank: {
    better: 'more',
    best: (seconds, _, { tokens, ranks }) => tokens / seconds / ranks,
    describe: 'tokens per second and rank',
  },
  peakBytes: { better: 'less', best: (_, bytes) => bytes, describe: 'the most bytes that a rank holds' },
  headroomBytes: {
    better: 'more',
    best: (_, bytes, { capacityBytes, reserveBytes }) => capacityBytes - reserveBytes - bytes,
    describe: 'bytes of a rank that stay free',
  },
  costPerMillionTokens: {
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
      for (const { metric: name, most, least } of limits) {
        const value = metrics[name] ?? Number.NaN
        if (most !== undefined && value > most) return { rule: limitName({ metric: name, most }), by: value / most - 1 }
        if (least !== undefined && value < least)
          return { rule: limitName({ metric: name, least }), by: 1 - value / least }
      }
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
    (name) => name !== 'costPerMillionTokens' || pace.pricePerRankHour !== undefined,
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
