import { nearest, orList, ShardloomError } from '@shardloom/core'
import type { Rejection } from '@shardloom/search'
import { clusterOf } from '../cluster-of.js'
import type { LoadedSpec } from '../plan.js'
import { reserveOf } from '../reserve.js'
import { tokensOf } from '../step-figures.js'
import { limitName, limitText, metricText } from './limit-text.js'
import type { Limit, Question } from './question.js'

/** A metric that candidates are judged by. */
interface Metric {
  readonly better: 'less' | 'more'
  /** From the least that a step can take and hold: no candidate has a better value. */
  readonly best: (least: Figures, at: Pace) => number
  readonly describe: string
}

/** What a step takes and the most that a rank holds, in seconds and bytes; of bounds what nobody asks for need not be found out. */
export interface Figures {
  readonly seconds: number
  readonly bytes: number
}

/** What metrics of a step depend on beside its time and memory. */
export interface Pace {
  readonly phase: StepPhase
  readonly ranks: number
  /** Sequences of a step, and tokens that it trains on, reads or makes. */
  readonly batch: number
  readonly tokens: number
  readonly capacityBytes: number
  readonly reserveBytes: number
  readonly pricePerRankHour: number | undefined
}

/** The phases of which a candidate is one step. */
export type StepPhase = 'training' | 'prefill' | 'decode'

const ofAll = {
  'tokens-per-second': {
    better: 'more',
    best: ({ seconds }, { tokens }) => tokens / seconds,
    describe: 'tokens per second',
  },
  throughput: {
    better: 'more',
    best: ({ seconds }, { tokens, ranks }) => tokens / seconds / ranks,
    describe: 'tokens per second and rank',
  },
  'peak-memory': { better: 'less', best: ({ bytes }) => bytes, describe: 'the most bytes that a rank holds' },
  'memory-headroom': {
    better: 'more',
    best: ({ bytes }, { capacityBytes, reserveBytes }) => capacityBytes - reserveBytes - bytes,
    describe: 'bytes of a rank that stay free',
  },
  cost: {
    better: 'less',
    best: ({ seconds }, { tokens, ranks, pricePerRankHour = 0 }) =>
      (1e6 * pricePerRankHour * ranks * seconds) / 3600 / tokens,
    describe: 'price of a million tokens, at `pricePerRankHour`',
  },
  ranks: { better: 'less', best: (_, { ranks }) => ranks, describe: 'ranks' },
} as const satisfies Record<string, Metric>

/** The metrics of a step, by phase and name; the first is what a search aims at where nobody says. */
export const stepMetrics: Readonly<Record<StepPhase, Readonly<Record<string, Metric>>>> = {
  training: {
    'step-time': { better: 'less', best: ({ seconds }) => seconds, describe: 'seconds of a step' },
    ...ofAll,
  },
  prefill: {
    ttft: { better: 'less', best: ({ seconds }) => seconds, describe: 'seconds until the batch has its first tokens' },
    ...ofAll,
  },
  decode: {
    tpot: {
      better: 'less',
      best: ({ seconds }, { batch, tokens }) => (seconds * batch) / tokens,
      describe: 'seconds from one token of a sequence to its next',
    },
    ...ofAll,
  },
}

/** How candidates of a question are judged. */
export interface Aim {
  /** The least score of candidates that take no less time and memory than these. */
  readonly bound: (least: Figures, pace: Pace) => number
  /** The same for the two metrics of the front. */
  readonly corner: (least: Figures, pace: Pace) => readonly [number, number]
  /** A limit that all of these candidates break by no less. */
  readonly leastMiss: (least: Figures, pace: Pace) => { readonly rule: string; readonly by: number } | undefined
  /** The score of metrics, or the limit that they break. */
  readonly judge: (metrics: Readonly<Record<string, number>>) => number | Rejection
  /** Metrics with those of the front, by which the smaller is better. */
  readonly shown: (metrics: Readonly<Record<string, number>>) => Readonly<Record<string, number>>
}

/** Makes the aim of a question about steps of a phase. Throws `OBJECTIVE`. */
export function aimOf(phase: StepPhase, question: Question): Aim {
  const { objective, limits, front } = question
  const metric = metricOf(phase, objective)
  const lower = (name: string, least: Figures, pace: Pace) => {
    const own = name.startsWith('-') ? name.slice(1) : name
    const value = metricOf(phase, own).best(least, pace)
    return name.startsWith('-') ? -value : value
  }
  const sign = metric.better === 'less' ? 1 : -1
  // Of as many ranks those are better that give more tokens: a fraction below 1 says which.
  const tie = (tokensPerSecond: () => number) => (objective === 'ranks' ? 1 / (1 + tokensPerSecond()) : 0)
  // What takes no less and holds no less than these has no better value either: of limits on the better side that says nothing.
  const decisive = limits.filter(({ metric, most }) => {
    const { better } = metricOf(phase, metric)
    return metric === 'ranks' || (most !== undefined ? better === 'less' : better === 'more')
  })
  return {
    bound: (least, pace) => sign * metric.best(least, pace) + tie(() => pace.tokens / least.seconds),
    corner: (least, pace) => [lower(front?.[0] ?? objective, least, pace), lower(front?.[1] ?? objective, least, pace)],
    leastMiss(least, pace) {
      for (const limit of decisive) {
        const value = metricOf(phase, limit.metric).best(least, pace)
        const [missed] = limitMisses([limit], { [limit.metric]: value })
        if (missed) return missed
      }
      return undefined
    },
    judge(metrics) {
      const [missed] = limitMisses(limits, metrics)
      if (missed) return missed
      return sign * (metrics[objective] ?? Number.NaN) + tie(() => metrics['tokens-per-second'] ?? 0)
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

/** Bytes that a rank may hold: what is left of the device, or less where a limit says so. */
export function roomOn({ capacityBytes, reserveBytes }: Pace, limits: readonly Limit[]): number {
  const free = capacityBytes - reserveBytes
  const asked = limits.flatMap(({ metric, most, least }) => {
    if (metric === 'peak-memory' && most !== undefined) return [most]
    return metric === 'memory-headroom' && least !== undefined ? [free - least] : []
  })
  return Math.min(free, ...asked)
}

/** Whether less memory is better, and not only as much as there is. */
export function asksForMemory({ objective, front }: Pick<Question, 'objective' | 'front'>): boolean {
  return [objective, ...(front ?? [])].some((name) => /^-?(peak-memory|memory-headroom)$/.test(name))
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

function metricOf(phase: StepPhase, name: string): Metric {
  const table = stepMetrics[phase]
  const found = Object.hasOwn(table, name) ? table[name] : undefined
  if (found) return found
  const near = nearest(name, Object.keys(table))
  throw new ShardloomError('OBJECTIVE', `${capital(phase)} has no \`${name.slice(0, 60)}\`.`, {
    subject: name.slice(0, 60),
    help: `${near === undefined ? '' : `Did you mean \`${near}\`? `}It has ${orList(Object.keys(table))}.`,
  })
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)

/** The metrics of a step that takes so many seconds and holds so many bytes on its fullest rank. */
export function metricsAt(pace: Pace, figures: Figures): Record<string, number> {
  const known = Object.entries(stepMetrics[pace.phase]).filter(
    ([name]) => name !== 'cost' || pace.pricePerRankHour !== undefined,
  )
  return Object.fromEntries(known.map(([name, { best }]) => [name, best(figures, pace)]))
}

/** The pace of steps on so many ranks. */
export function paceOf(loaded: LoadedSpec, ranks: number): Pace {
  const { phase, batch, pricePerRankHour, reserveBytes } = loaded.spec
  return {
    phase: phase as StepPhase, // serving is no step
    ranks,
    batch,
    tokens: tokensOf(loaded.spec),
    capacityBytes: clusterOf(loaded).accelerator.memoryBytes,
    reserveBytes: reserveOf(reserveBytes, ranks).bytes,
    pricePerRankHour,
  }
}

/**
 * Refuses what a search of steps cannot answer: objectives, limits and fronts that its phase does not have (`OBJECTIVE`), a cost without a
 * price, and limits that exclude each other (`LIMITS`).
 */
export function checkStepQuestion(
  { spec }: LoadedSpec,
  { objective, limits, choices, ranks, front: both }: Question,
): void {
  const phase = spec.phase as StepPhase // serving is no step
  const front = both ?? []
  const named = [objective, ...limits.map(({ metric }) => metric), ...front.map((name) => name.replace(/^-/, ''))]
  for (const name of named) metricOf(phase, name)
  for (const name of front) {
    const plain = name.replace(/^-/, '')
    const right = metricOf(phase, plain).better === 'more' ? `-${plain}` : plain
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
    throw new ShardloomError(
      'LIMITS',
      `\`${metric}\` cannot be at most ${metricText(metric, most)} and at least ${metricText(metric, least)}.`,
      {
        subject: metric,
        help: 'Leave one of the two out.',
      },
    )
  }
  const counts = choices['ranks']?.map(Number) ?? [ranks]
  const beyond = limits.find(({ metric, most = Number.POSITIVE_INFINITY, least = 0 }) => {
    return metric === 'ranks' && counts.every((count) => count > most || count < least)
  })
  if (beyond)
    throw new ShardloomError('LIMITS', `\`${limitText(beyond)}\` is asked of a search on ${counts.join(', ')} ranks.`, {
      subject: 'ranks',
      help: 'Give other ranks, or several to choose from.',
    })
}
