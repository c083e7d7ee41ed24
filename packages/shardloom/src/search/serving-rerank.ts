import { isShardloomError, type ShardloomError, type Work } from '@shardloom/core'
import type { Answer, Candidate } from '@shardloom/search'
import { summariseServingSimulation } from '../describe-serving.js'
import type { LoadedSpec } from '../plan.js'
import { type ServingSimulation, servingSimulationWork } from '../simulate-serving.js'
import type { SpecInput } from '../spec-schema.js'
import type { Question } from './question.js'
import { missOf, type ServingMetric, type ServingMetrics, scoreOf } from './serving-metrics.js'
import { loadedOf, pointOf, specOfPoint } from './serving-spec.js'

/** A candidate of an answer, with what comes of serving the load event by event. */
export interface SimulatedCandidate {
  readonly candidate: Candidate
  /** What `shardloom simulate` takes. */
  readonly spec: SpecInput
  /** As `shardloom simulate` has them, and `ttft-p99` and `tpot-p99` beside; none where simulating is refused. */
  readonly metrics?: Readonly<Record<string, number>>
  /** The objective as simulated; of two the one with the smaller score is better. */
  readonly score?: number
  /** estimate / simulation − 1, of what both know. */
  readonly differences?: Readonly<Record<string, number>>
  /** The relative errors that metrics are stated to be good for, as `conventions.error` of `simulate`; one without is counted, not timed. */
  readonly statedErrors?: Readonly<Record<string, number>>
  /** The limits of the question that it misses as simulated, and by how much of each. */
  readonly misses: readonly { readonly rule: string; readonly by: number }[]
  /** Why it was not simulated. */
  readonly error?: ShardloomError
}

/** The spec of a candidate of a question of serving, with its load: `shardloom simulate` takes it. */
export function specOfServing(question: Question, { choices }: Pick<Candidate, 'choices'>): SpecInput {
  return specOfPoint(question.spec, pointOf(choices))
}

/**
 * Serves the load of each of an answer's best event by event: those that keep the limits first, by their scores as simulated; then those that
 * miss some, and those that are refused. The estimate is a steady state; a simulation begins with empty engines and ends with its last request.
 */
export function* servingRerankWork(
  loaded: LoadedSpec,
  question: Question,
  answer: Answer,
): Work<readonly SimulatedCandidate[]> {
  return yield* simulateBest(
    answer,
    (candidate) => specOfServing(question, candidate),
    function* (candidate, spec) {
      return describe(question, candidate, spec, yield* servingSimulationWork(loadedOf(loaded, spec)))
    },
  )
}

/**
 * Simulates each of an answer's best: those that keep all limits first, by their scores as simulated; then those that miss some, and those
 * that are refused.
 */
export function* simulateBest(
  { best }: Answer,
  specOf: (candidate: Candidate) => SpecInput,
  simulate: (candidate: Candidate, spec: SpecInput) => Work<SimulatedCandidate>,
): Work<readonly SimulatedCandidate[]> {
  const simulated: SimulatedCandidate[] = []
  for (const [index, candidate] of best.entries()) {
    yield { work: 'simulating', done: index, of: best.length }
    const spec = specOf(candidate)
    try {
      simulated.push(yield* simulate(candidate, spec))
    } catch (error) {
      if (!isShardloomError(error)) throw error
      simulated.push({ candidate, spec, misses: [], error })
    }
  }
  const place = ({ misses, error }: SimulatedCandidate) => (error ? 2 : misses.length > 0 ? 1 : 0)
  return simulated.sort((a, b) => place(a) - place(b) || (a.score ?? 0) - (b.score ?? 0))
}

function describe(
  question: Question,
  candidate: Candidate,
  spec: SpecInput,
  simulation: ServingSimulation,
): SimulatedCandidate {
  const { result, pools } = simulation
  const ranks = pools.reduce((sum, pool) => sum + pool.ranks, 0)
  const tokens = result.outputTokensPerSecond
  const usages = result.decode ? [result.pool, result.decode] : [result.pool]
  const headroom = pools.map(({ capacity }, at) => capacity.freeBytes * (1 - (usages[at]?.peakCapacityUsed ?? 0)))
  const price = question.spec.pricePerRankHour
  const metrics: ServingMetrics = {
    ttft: result.ttft.mean,
    ...(result.tpot && { tpot: result.tpot.mean }),
    throughput: tokens / ranks,
    'tokens-per-second': tokens,
    'requests-per-second': result.requestsPerSecond,
    'memory-headroom': Math.min(...headroom),
    ...(price !== undefined && { cost: (1e6 * price * ranks) / 3600 / tokens }),
    ranks,
  }
  const { tpot, ttft } = summariseServingSimulation(simulation).conventions.error
  const timed = ['throughput', 'tokens-per-second', 'requests-per-second', 'cost', 'tpot']
  const known = Object.entries(metrics).filter(([name]) => name !== 'ranks' && name !== 'memory-headroom')
  return {
    candidate,
    spec,
    metrics: { ...metrics, 'ttft-p99': result.ttft.p99, ...(result.tpot && { 'tpot-p99': result.tpot.p99 }) },
    score: scoreOf(question.objective as ServingMetric, metrics), // checked with the question
    differences: Object.fromEntries(
      known.map(([name, value]) => [name, (candidate.metrics[name] ?? Number.NaN) / value - 1]),
    ),
    statedErrors: { ...Object.fromEntries(timed.map((name) => [name, tpot])), ttft },
    misses: question.limits.flatMap((limit) => {
      const by = missOf(limit, metrics)
      return by > 0 ? [{ rule: limit.metric, by }] : []
    }),
  }
}
