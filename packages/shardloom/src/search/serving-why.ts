import { isShardloomError } from '@shardloom/core'
import type { Candidate, Miss } from '@shardloom/search'
import type { LoadedSpec } from '../plan.js'
import type { Question } from './question.js'
import { type EngineFault, ServingCosts } from './serving-costs.js'
import { evaluateServing, metricsWithRoom, missedFor, missedWith, type ServingChain } from './serving-evaluate.js'
import { checkServingQuestion } from './serving-metrics.js'
import { pointOf, type ServingChoices, type ServingPoint } from './serving-spec.js'

/** A change of a point that keeps all rules and limits. */
export interface ServingFix {
  /** Such as `cacheDtype=fp8` or `clients=48`. */
  readonly change: string
  readonly candidate: Candidate
}

/**
 * One point, whatever a search would try: its metrics, or the rule that it breaks. What steps of engines take may be shared with other
 * questions about the same spec. Throws `CHOICE`, `OBJECTIVE`.
 */
export function whyServing(
  loaded: LoadedSpec,
  question: Question,
  choices: ServingChoices,
  costs: ServingCosts = new ServingCosts(loaded, question),
): Candidate | Miss {
  checkServingQuestion(question)
  return evaluatePoint(costs, question, pointOf(choices))
}

/**
 * What would make something of a miss, one change at a time: a cache or weights of one byte, as many fewer clients as need be, engines over twice as
 * many tensor-parallel ranks and half as many of them.
 */
export function servingFixes(
  loaded: LoadedSpec,
  question: Question,
  miss: Miss,
  costs: ServingCosts = new ServingCosts(loaded, question),
): ServingFix[] {
  const point = pointOf(miss.choices)
  const tried = (change: string, changed: ServingPoint): ServingFix[] => {
    const found = evaluatePoint(costs, question, changed)
    return 'rule' in found ? [] : [{ change, candidate: found }]
  }
  const narrow = (['cacheDtype', 'weightDtype'] as const)
    .filter((name) => (point.types[name] ?? loaded.spec.options[name]) !== 'fp8')
    .flatMap((name) => tried(`${name}=fp8`, { ...point, types: { ...point.types, [name]: 'fp8' } }))
  const { engine, engines } = point
  const split =
    engines % 2 === 0 && engine.ep === 1 && engine.expertTp === 1
      ? tried(`tp=${2 * engine.tp} replicas=${engines / 2}`, {
          ...point,
          engine: { ...engine, tp: 2 * engine.tp },
          engines: engines / 2,
        })
      : []
  return [...fewerClients(costs, question, point), ...narrow, ...split]
}

/** The most clients, fewer than those of a point, with which it keeps all rules and limits. */
function fewerClients(costs: ServingCosts, question: Question, point: ServingPoint): ServingFix[] {
  let [works, fails] = [0, point.clients ?? 0]
  let best: Candidate | undefined
  while (fails - works > 1) {
    const clients = (works + fails) >> 1
    const found = evaluatePoint(costs, question, { ...point, clients })
    if ('rule' in found) {
      fails = clients
      if (found.score === Number.MAX_VALUE && found.rule !== 'kv-cache' && found.rule !== 'max-sequences') return []
    } else {
      works = clients
      best = found
    }
  }
  return best ? [{ change: `clients=${works}`, candidate: best }] : []
}

/** A point, whatever a search would try: its metrics, or the rule that it breaks. */
export function evaluatePoint(costs: ServingCosts, question: Question, point: ServingPoint): Candidate | Miss {
  const chain = chainOf(costs, point)
  if (!('point' in chain)) return missedFor(point, chain)
  try {
    return evaluateServing(costs, question, chain)
  } catch (error) {
    if (isShardloomError(error)) return missedWith(point, error)
    throw error
  }
}

function chainOf(costs: ServingCosts, point: ServingPoint): ServingChain | EngineFault {
  const engine = costs.engine(point.engine, point.types, point.pools === 2 ? 'decode' : 'both')
  if (!('degrees' in engine)) return engine
  const prefill = point.prefill && costs.engine(point.prefill.engine, point.types, 'prefill')
  if (prefill && !('degrees' in prefill)) return prefill
  return { point, engine, ...(prefill && { prefill }) }
}

/** What is known of a miss beside its rule: what lacks room alone is estimated as if it had it. */
export function metricsOfMiss(
  loaded: LoadedSpec,
  question: Question,
  { choices, metrics }: Miss,
  costs: ServingCosts = new ServingCosts(loaded, question),
): Miss['metrics'] {
  const chain = chainOf(costs, pointOf(choices))
  if (!('point' in chain) || metrics['ranks'] !== undefined) return metrics
  try {
    return { ...metricsWithRoom(costs, question, chain), ...metrics }
  } catch (error) {
    if (isShardloomError(error)) return metrics
    throw error
  }
}
