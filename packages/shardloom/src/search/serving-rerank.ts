import type { Candidate } from '@shardloom/search'
import { summariseServingSimulation } from '../describe-serving.js'
import type { LoadedSpec } from '../plan.js'
import { type ServingSimulation, servingSimulationWork } from '../simulate-serving.js'
import type { SpecInput } from '../spec-schema.js'
import type { Question } from './question.js'
import { missOf, type ServingMetric, type ServingMetrics, scoreOf } from './serving-metrics.js'
import { loadedOf, pointOf, specOfPoint } from './serving-spec.js'
import type { SimulatedCandidate, Simulator } from './simulate-best.js'

/** The spec of a candidate of a question of serving, with its load: `shardloom simulate` takes it. */
export function specOfServing(question: Question, { choices }: Pick<Candidate, 'choices'>): SpecInput {
  return specOfPoint(question.spec, pointOf(choices))
}

/**
 * Serves the load by candidates event by event. The estimate is a steady state; a simulation begins with empty engines and ends with its last
 * request.
 */
export function servingSimulator(loaded: LoadedSpec, question: Question): Simulator {
  return {
    specOf: (candidate) => specOfServing(question, candidate),
    *simulate(candidate, spec) {
      return describe(question, candidate, spec, yield* servingSimulationWork(loadedOf(loaded, spec)))
    },
  }
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
