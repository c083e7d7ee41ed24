import { isShardloomError, type Work } from '@shardloom/core'
import type { Answer, Candidate, Miss } from '@shardloom/search'
import type { LoadedSpec } from '../plan.js'
import { engineOf } from '../simulate-serving.js'
import type { Limit, Question } from './question.js'
import { ServingCosts, type ServingEngine } from './serving-costs.js'
import {
  evaluateServing,
  missedFor,
  missedWith,
  ranksOfPoint,
  roomMiss,
  type ServingChain,
} from './serving-evaluate.js'
import { Keeper } from './serving-keep.js'
import { checkServingQuestion, lower, type ServingMetric, scoreOf, withClients } from './serving-metrics.js'
import { type EngineDegrees, type ServingGroup, type ServingSpace, servingSpace } from './serving-space.js'
import type { ServingPoint } from './serving-spec.js'

/**
 * What one part of a question of serving finds, `part` from 0. The best are those of the whole space that the question's parts cover: what is
 * not evaluated is no better by the laws that times and tokens per second rise with clients (see `serving-metrics.ts`), and that steps take no less
 * than what they decode. Throws `OBJECTIVE`, `LIMITS`, `CHOICE`, and what the load of the spec throws.
 */
export function* servingAnswerWork(loaded: LoadedSpec, question: Question, part: number): Work<Answer> {
  checkServingQuestion(question)
  const space = servingSpace(loaded, question)
  const costs = new ServingCosts(loaded, question)
  const keeper = new Keeper(question)
  const groups = space.groups.filter((_, index) => index % question.parts === part)
  for (const [index, group] of groups.entries()) {
    for (const chain of chainsOf(space, costs, group, keeper)) {
      yield { work: 'searching', done: index, of: groups.length }
      searchChain(space, costs, question, chain, keeper)
    }
  }
  yield { work: 'searching', done: groups.length, of: groups.length }
  return keeper.answer()
}

/** The chains of a group; those whose engines are none are rejected. */
function* chainsOf(
  space: ServingSpace,
  costs: ServingCosts,
  group: ServingGroup,
  keeper: Keeper,
): Generator<ServingChain> {
  const { pools, types } = group
  const engine = costs.engine(group.engine, types, pools === 2 ? 'decode' : 'both')
  for (const other of pools === 2 ? space.prefill : [undefined]) {
    const partner = other && costs.engine(other, types, 'prefill')
    for (const point of pointsOf(space, group, other)) {
      if ('capacity' in engine && (!partner || 'capacity' in partner)) {
        yield { point, engine, ...(partner && { prefill: partner }) }
        continue
      }
      const clients = clientsOf(space, point)
      const fault = 'capacity' in engine ? partner : engine
      if (fault && !('capacity' in fault))
        keeper.reject(missedFor(withClientsOf(point, clients[0]), fault), clients.length)
    }
  }
}

function pointsOf(space: ServingSpace, group: ServingGroup, other: EngineDegrees | undefined): ServingPoint[] {
  const { pools, types, engine } = group
  return space.counts(group, other).map(([first, engines]) => ({
    pools,
    types,
    engine,
    engines,
    ...(other && { prefill: { engine: other, engines: first } }),
  }))
}

/** Clients over all engines of a point; at a rate none says how many. */
function clientsOf(space: ServingSpace, { engines }: ServingPoint): readonly (number | undefined)[] {
  const clients = space.clients(engines)
  return clients.length > 0 ? clients : [undefined]
}

function withClientsOf(point: ServingPoint, clients: number | undefined): ServingPoint {
  return clients === undefined ? point : { ...point, clients }
}

/** Searches the points of a chain, ascending by clients: limits cut its ends off, and from the better end on those are kept that may be among the best. */
function searchChain(
  space: ServingSpace,
  costs: ServingCosts,
  question: Question,
  chain: ServingChain,
  keeper: Keeper,
): void {
  const points = clientsOf(space, chain.point).map((clients) => withClientsOf(chain.point, clients))
  const at = (index: number): ServingChain => ({ ...chain, point: points[index] ?? chain.point })
  const known = new Map<number, Candidate | Miss>()
  const evaluated = (index: number): Candidate | Miss => {
    const found = known.get(index) ?? evaluateServing(costs, question, at(index))
    known.set(index, found)
    return found
  }
  let [low, high] = [0, points.length - 1]
  const cutTop = (isOut: (index: number) => Miss | undefined) => {
    const end = firstFrom(low, high, (index) => isOut(index) !== undefined)
    const miss = end <= high ? isOut(end) : undefined
    if (miss) keeper.reject(miss, high - end + 1)
    high = end - 1
  }
  const cutBottom = (isOut: (index: number) => Miss | undefined) => {
    const start = firstFrom(low, high, (index) => isOut(index) === undefined)
    const miss = start > low ? isOut(start - 1) : undefined
    if (miss) keeper.reject(miss, start - low)
    low = start
  }
  try {
    cutTop((index) => roomMiss(costs, at(index)))
    if (low <= high && !question.front && isBounded(costs, question, at(high), keeper)) {
      keeper.bound(high - low + 1)
      return
    }
    for (const limit of question.limits) {
      if (low > high) return
      const isOut = (index: number) => missOfLimit(evaluated(index), limit)
      if (cutsTop(limit)) cutTop(isOut)
      else cutBottom(isOut)
    }
    const order = Array.from({ length: Math.max(0, high - low + 1) }, (_, index) =>
      isBestAtTop(question.objective as ServingMetric) ? high - index : low + index,
    )
    for (const [count, index] of order.entries()) {
      const found = evaluated(index)
      if ('rule' in found) keeper.reject(found)
      else keeper.add(found)
      const isDone = !('rule' in found) && found.score > keeper.worst && !question.front
      if (!isDone) continue
      keeper.bound(order.length - count - 1)
      return
    }
  } catch (error) {
    if (!isShardloomError(error)) throw error
    keeper.reject(missedWith(at(low).point, error), Math.max(0, high - low + 1))
  }
}

/** The first index of a range from which on something is so, one behind it where it never is: what is so once stays so. */
function firstFrom(low: number, high: number, isSo: (index: number) => boolean): number {
  if (low > high || !isSo(high)) return high + 1
  let [from, to] = [low, high]
  while (from < to) {
    const middle = (from + to) >> 1
    if (isSo(middle)) to = middle
    else from = middle + 1
  }
  return from
}

/** A miss of that limit, or of what stands before all limits. */
function missOfLimit(found: Candidate | Miss, { metric }: Limit): Miss | undefined {
  return 'rule' in found && (found.rule === metric || found.score === Number.MAX_VALUE) ? found : undefined
}

/** Whether those with more clients miss a limit, and not those with fewer. */
function cutsTop({ metric, most }: Limit): boolean {
  const rises = withClients(metric as ServingMetric) !== 'falls' // checked with the question
  return rises === (most !== undefined)
}

function isBestAtTop(objective: ServingMetric): boolean {
  if (objective === 'ranks') return true
  const isLessBetter = lower(objective, { [objective]: 1 }) > 0
  return (withClients(objective) === 'rises') !== isLessBetter
}

/**
 * Whether all points of a chain up to one are worse than what was found. Steps take no less than what they decode, so that engines that
 * decode `n` sequences in `d` seconds give `n / d` tokens per second at most; and no candidate has fewer ranks.
 */
function isBounded(costs: ServingCosts, question: Question, { point, engine }: ServingChain, keeper: Keeper): boolean {
  if (keeper.worst === Number.POSITIVE_INFINITY || point.clients === undefined) return false
  const objective = question.objective as ServingMetric // checked with the question
  const ranks = ranksOfPoint(point)
  if (objective === 'ranks') return ranks > keeper.worst
  if (objective !== 'throughput' && objective !== 'cost') return false
  const { output } = costs.load
  if (output <= 1) return false
  const tokens = tokensAtMost(engine, point.clients / point.engines) * point.engines * (output / (output - 1))
  const price = question.spec.pricePerRankHour ?? 0
  const metrics = { throughput: tokens / ranks, cost: (1e6 * price * ranks) / 3600 / tokens }
  return scoreOf(objective, metrics) > keeper.worst
}

function tokensAtMost({ decode, loaded }: ServingEngine, sequences: number): number {
  const { host } = engineOf(loaded)
  const most = Math.ceil(sequences)
  return most / (decode.tokens(most) + host.step + most * host.sequence)
}
