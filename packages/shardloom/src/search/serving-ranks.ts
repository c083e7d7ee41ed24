import { divisors, finish } from '@shardloom/core'
import { type Answer, type Candidate, compareCandidates, type Miss } from '@shardloom/search'
import { clusterOf } from '../cluster-of.js'
import type { LoadedSpec } from '../plan.js'
import { rankCounts } from './choices.js'
import type { Question } from './question.js'
import { searchSpace } from './serving-answer.js'
import type { ServingCosts } from './serving-costs.js'
import { ranksOf, type ServingGroup, type ServingSpace, servingSpace, textOf } from './serving-space.js'
import { pointOf } from './serving-spec.js'
import { evaluatePoint, type ServingFix } from './serving-why.js'

/** Up to how many times as many ranks are tried. */
const mostTimes = 64

/** Rules that more ranks have more room for. */
const ofRoom: readonly string[] = ['memory', 'kv-cache', 'max-sequences']

/**
 * Where nothing keeps all rules, the best on the fewest ranks on which something does: parts of a node, then whole nodes, as many as the cluster has. As
 * long as no engine has room for its requests all that there are are tried; then those that miss a limit or a rate with more of them, or wider. Undefined
 * where there is none. Engines of two pools are not tried.
 */
export function onMoreRanks(
  loaded: LoadedSpec,
  question: Question,
  { misses }: Pick<Answer, 'misses'>,
  costs: ServingCosts,
): Candidate | undefined {
  const pools = question.choices['pools']
  const mends = ({ rule }: Miss) => rule === 'rate' || question.limits.some(({ metric }) => metric === rule)
  let late = misses.filter(mends)
  if (pools?.includes(1) === false || (late.length === 0 && !misses.some(({ rule }) => ofRoom.includes(rule))))
    return undefined
  const { front: _, ...asked } = { ...question, choices: { ...question.choices, ...(pools && { pools: [1] }) } }
  const { devices, perNode } = clusterOf(loaded)
  const limits = question.limits.flatMap(({ metric, most }) => (metric === 'ranks' && most !== undefined ? [most] : []))
  const most = Math.min(devices, mostTimes * question.ranks, ...limits)
  for (const ranks of rankCounts(most, perNode)) {
    if (ranks <= question.ranks) continue
    if (late.length > 0) {
      const [best] = late.flatMap((miss) => widerOf(miss, ranks, perNode, asked, costs)).sort(compareCandidates)
      if (best) return best
      continue
    }
    // Engines fill the ranks, also where the fewest are asked for: fewer were tried before.
    const space = servingSpace(loaded, { ...asked, ranks, objective: 'throughput' })
    const few = { ...space, groups: likely(space.groups, costs) }
    const found = finish(searchSpace(few, costs, { ...asked, ranks, parts: 1, top: 1, kept: 1 }))
    if (found.best[0]) return found.best[0]
    late = found.misses.filter(mends)
  }
  return undefined
}

/**
 * Engines like that of a miss that fill so many ranks: more of them, or with a larger `tp` inside of a node; with as many clients, or as many of each
 * where nobody says how many there are.
 */
function widerOf(miss: Miss, ranks: number, perNode: number, question: Question, costs: ServingCosts): Candidate[] {
  const point = pointOf(miss.choices)
  const { engine } = point
  const engines = ranks / ranksOf(engine)
  if (point.pools === 2 || !Number.isInteger(engines)) return []
  const isFixed = costs.load.clients !== undefined || question.choices['clients'] !== undefined
  return divisors(engines)
    .filter((wider) => wider === 1 || engine.tp * wider <= perNode)
    .flatMap((wider) => {
      const ep = engine.ep * engine.expertTp > 1 ? engine.ep * wider : engine.ep
      const more = { ...point, engine: { ...engine, tp: engine.tp * wider, ep }, engines: engines / wider }
      const times = more.engines / point.engines
      const scaled = point.clients === undefined || isFixed ? [] : [{ ...more, clients: point.clients * times }]
      return [more, ...scaled.filter(({ clients }) => Number.isInteger(clients))]
    })
    .flatMap((more) => {
      const found = evaluatePoint(costs, question, more)
      return 'rule' in found ? [] : [found]
    })
}

/** Of engines that differ only in how they divide experts one, with the largest `ep` that can be planned: all of them hold as much. */
function likely(groups: readonly ServingGroup[], costs: ServingCosts): ServingSpace['groups'] {
  const alike = new Map<string, ServingGroup[]>()
  for (const group of groups) {
    const { ep: _, expertTp: __, ...rest } = group.engine
    const key = JSON.stringify([rest, group.types])
    alike.set(key, [...(alike.get(key) ?? []), group])
  }
  return [...alike.values()].flatMap((each) => {
    const widest = each.sort((a, b) => b.engine.ep - a.engine.ep)
    return widest.find(({ engine, types }) => !('error' in costs.engine(engine, types, 'both'))) ?? widest.slice(0, 1)
  })
}

/** What on more ranks makes something of a miss, told by what it has otherwise. */
export function moreRanksFix({ choices }: Miss, candidate: Candidate): ServingFix {
  const ranks = `ranks=${candidate.metrics['ranks']}`
  const other = Object.entries(candidate.choices).filter(([name, value]) => choices[name] !== value)
  const left = Object.keys(choices).filter((name) => !Object.hasOwn(candidate.choices, name))
  return { change: [ranks, ...other.map(textOf), ...left.map((name) => `${name}=1`)].join(' '), candidate }
}
