import { isShardloomError, type Work } from '@shardloom/core'
import type { Answer, Candidate, Miss } from '@shardloom/search'
import type { LoadedSpec } from '../plan.js'
import { schedulerOver } from '../simulate-serving.js'
import type { Answering } from './answering.js'
import type { Limit, Question } from './question.js'
import { ServingCosts } from './serving-costs.js'
import {
  evaluateServing,
  missedFor,
  missedWith,
  ranksOfPoint,
  roomMiss,
  type ServingChain,
} from './serving-evaluate.js'
import { Keeper } from './serving-keep.js'
import { checkServingQuestion, lower, missOf, type ServingMetric, scoreOf, withClients } from './serving-metrics.js'
import { type EngineDegrees, type ServingGroup, type ServingSpace, servingSpace } from './serving-space.js'
import type { ServingPoint } from './serving-spec.js'

/**
 * Answers one question of serving; parts share what steps of engines take, perhaps with other questions about the same spec. The best are those of the whole space that the
 * question's parts cover: what is not evaluated is no better by the laws that times and tokens per second rise with clients (see
 * `serving-metrics.ts`), and that steps take no less than what they decode. Throws `OBJECTIVE`, `LIMITS`, `CHOICE`, and what the load of the
 * spec throws.
 */
export function servingAnswers(
  loaded: LoadedSpec,
  question: Question,
  costs: ServingCosts = new ServingCosts(loaded, question),
): Answering {
  checkServingQuestion(question)
  const space = servingSpace(loaded, question)
  return {
    part: (part) => searchSpace(space, costs, question, part),
    // Starts have none, see `startOf`.
    *share({ found }) {
      yield { work: 'searching', done: 0, of: 0 }
      return found
    },
  }
}

/** Answers a part of a question over these groups of its space. */
export function* searchSpace(space: ServingSpace, costs: ServingCosts, question: Question, part = 0): Work<Answer> {
  const keeper = new Keeper(question)
  const groups = space.groups.filter((_, index) => index % question.parts === part)
  const chains: { readonly chain: ServingChain; readonly bound: number }[] = []
  for (const [index, group] of groups.entries()) {
    yield { work: 'bounding', done: index, of: groups.length }
    for (const chain of chainsOf(space, costs, group, keeper)) {
      const clients = clientsOf(space, chain.point).filter((each) => each !== undefined)
      chains.push({ chain, bound: boundOrNone(costs, question, chain, clients) })
    }
  }
  // The most promising first, so that most of the others need not be evaluated.
  const inOrder = chains
    .map((each, index) => ({ ...each, index }))
    .sort((a, b) => a.bound - b.bound || a.index - b.index)
  for (const [index, { chain, bound }] of inOrder.entries()) {
    yield { work: 'searching', done: index, of: chains.length }
    searchChain(space, costs, question, chain, bound, keeper)
  }
  yield { work: 'searching', done: chains.length, of: chains.length }
  return keeper.answer()
}

/** A bound where steps can be planned; what cannot is rejected when the chain is searched. */
function boundOrNone(...of: Parameters<typeof boundOf>): number {
  try {
    return boundOf(...of)
  } catch (error) {
    if (isShardloomError(error)) return Number.NEGATIVE_INFINITY
    throw error
  }
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
      if ('degrees' in engine && (!partner || 'degrees' in partner)) {
        yield { point, engine, ...(partner && { prefill: partner }) }
        continue
      }
      const clients = clientsOf(space, point)
      const fault = 'degrees' in engine ? partner : engine
      if (fault && !('degrees' in fault))
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
  bound: number,
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
    if (!question.front && bound > keeper.worst) {
      keeper.bound(high - low + 1)
      return
    }
    cutTop((index) => missOfLimits(evaluated(index), question.limits.filter(cutsTop)))
    if (low <= high)
      cutBottom((index) =>
        missOfLimits(
          evaluated(index),
          question.limits.filter((limit) => !cutsTop(limit)),
        ),
      )
    const order = Array.from({ length: Math.max(0, high - low + 1) }, (_, index) =>
      isBestAtTop(question.objective as ServingMetric) ? high - index : low + index,
    )
    const left = (from: number) =>
      order
        .slice(from)
        .flatMap((index) => points[index]?.clients ?? [])
        .sort((a, b) => a - b)
    for (const [count, index] of order.entries()) {
      if (!known.has(index) && !question.front && boundOf(costs, question, chain, left(count)) > keeper.worst) {
        keeper.bound(order.length - count)
        return
      }
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

/** A miss of the first of some limits that a point misses, or of what stands before all limits. */
function missOfLimits(found: Candidate | Miss, limits: readonly Limit[]): Miss | undefined {
  if ('rule' in found && found.score === Number.MAX_VALUE) return found
  for (const limit of limits) {
    const by = missOf(limit, found.metrics)
    if (by > 0) return { ...found, rule: limit.metric, by }
  }
  return undefined
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
 * A score than which none of a chain's points is better, by their numbers of clients, ascending. A step takes no less than what it decodes, and
 * its tokens no less each than those of a full step. So an engine with `n` sequences at a time takes
 * `s(n) = d(n) + n · p / (output − 1)` seconds per token of each of them, where steps of prefill that take `p` seconds per prompt stand between
 * those of decode, and the larger of `d(n)` and what its tokens take in full steps where prompts share steps with them: `n / s(n)` tokens per
 * second, which rises with `n`, to as many as there are clients or as a limit on TPOT leaves. No candidate has fewer ranks.
 */
function boundOf(costs: ServingCosts, question: Question, chain: ServingChain, clients: readonly number[]): number {
  const { point } = chain
  const objective = question.objective as ServingMetric // checked with the question
  const ranks = ranksOfPoint(point)
  if (objective === 'ranks') return ranks
  const { output } = costs.load
  if (clients.length === 0 || output <= 1) return Number.NEGATIVE_INFINITY
  const step = leastStep(costs, chain)
  const perEngine = clients.map((each) => Math.ceil(each / point.engines))
  if (objective === 'tpot') return step(perEngine[0] ?? 1) * (1 - 1e-9)
  if (objective !== 'throughput' && objective !== 'cost') return Number.NEGATIVE_INFINITY
  const longest = question.limits.flatMap(({ metric, most }) => (metric === 'tpot' && most !== undefined ? [most] : []))
  const rate = sequencesPerSecond(step, perEngine, Math.min(...longest))
  const tokens = rate * point.engines * (output / (output - 1))
  const price = question.spec.pricePerRankHour ?? 0
  return scoreOf(objective, { throughput: tokens / ranks, cost: (1e6 * price * ranks) / 3600 / tokens })
}

/** The least seconds per token of each of so many sequences of an engine, which its batches in flight divide. */
function leastStep({ load, preset }: ServingCosts, { engine, prefill }: ServingChain): (sequences: number) => number {
  const { host, scheduler } = preset
  const inFlight = engine.degrees.pp
  const decoded = (count: number) => {
    const each = Math.max(1, Math.floor(count / inFlight))
    return engine.decode.tokens(each) + host.step + each * host.sequence
  }
  if (prefill) return decoded
  const { maxTokens } = schedulerOver(scheduler, engine.degrees.dp)
  const perToken = engine.prefill.tokens(maxTokens) / maxTokens / inFlight
  const prompts = (load.input - load.cached) / (load.output - 1)
  return scheduler.batching === 'mixed'
    ? (count) => Math.max(decoded(count), count * (1 + prompts) * perToken)
    : (count) => decoded(count) + count * prompts * perToken
}

/** Of the most sequences, up to the last of some numbers, whose step takes no more than so many seconds: how many pass per second. */
function sequencesPerSecond(step: (count: number) => number, counts: readonly number[], seconds: number): number {
  const last = counts.length - 1
  const count = (index: number) => counts[index] ?? 1
  const late = firstFrom(0, last, (index) => step(count(index)) > seconds)
  if (late > last) return count(last) / step(count(last))
  if (late === 0) return count(0) / step(count(0))
  // Between numbers whose steps are planned they are straight.
  const [below, above] = [step(count(late - 1)), step(count(late))]
  return (count(late - 1) + ((seconds - below) / (above - below)) * (count(late) - count(late - 1))) / seconds
}
