import { type Answer, type Candidate, type Miss, nearlyKept } from '@shardloom/search'
import { clusterOf } from '../cluster-of.js'
import type { LoadedSpec } from '../plan.js'
import type { SpecInput } from '../spec-schema.js'
import { fixesOf, missMetrics, pointOf, servedOnMoreRanks, specOfCandidate } from './ask.js'
import { savingChoices, type Value } from './choices.js'
import { isRuleOf, limitName } from './limit-text.js'
import type { Question } from './question.js'
import { moreRanksFix } from './serving-ranks.js'
import { keepsAll, type SimulatedCandidate } from './simulate-best.js'
import { limitMisses } from './step-metrics.js'
import { type Change, isMiss } from './step-points.js'

/** A question with what it is about. */
export interface Asked {
  readonly loaded: LoadedSpec
  readonly question: Question
}

/** A point that misses a rule by little, and what would make it keep all of them. */
export interface NearMiss {
  readonly miss: Miss
  readonly spec: SpecInput
  /** Bytes of a rank that are missing, where it is memory that is. */
  readonly bytes?: number
  /** The limits that it misses besides, by estimate, and by how much of each. */
  readonly also: readonly { readonly rule: string; readonly by: number }[]
  /** The limits of which nobody knows whether it keeps them, since it cannot be estimated. */
  readonly unknown: readonly string[]
  /** Best first. */
  readonly fixes: readonly Fix[]
  /** What came of it itself, where it was simulated to see whether it keeps the limit. */
  readonly simulated?: SimulatedCandidate
}

/** A change that makes a miss keep all rules. */
export interface Fix extends Change {
  /** The choices whose value was not among those to choose from. */
  readonly outside: readonly string[]
  /** What came of it, where it was simulated, among the best or to see whether it keeps all limits. */
  readonly simulated?: SimulatedCandidate
}

/** Candidates as they are estimated, where there is no time to simulate them. */
export function estimatedOnly({ loaded, question }: Asked, candidates: readonly Candidate[]): SimulatedCandidate[] {
  return candidates.map((candidate) => ({ candidate, spec: specOfCandidate(loaded, question, candidate), misses: [] }))
}

/** How the objective of a candidate compares with the best's. */
export interface Distance {
  /** Of the best's: 0.02 is 2 % more. */
  readonly relative: number
  /** Whether that is within {@link tieError} of both. */
  readonly tie: boolean
  /** Of both alike: as simulated, or as estimated where one of them was not simulated. */
  readonly measure: 'simulated' | 'estimated'
}

/**
 * By how much of the best's the objective of a candidate is more, like against like; undefined where one of them is not known.
 */
export function distanceToBest(
  best: SimulatedCandidate,
  each: SimulatedCandidate,
  objective: string,
): Distance | undefined {
  const measure = best.metrics && each.metrics ? 'simulated' : 'estimated'
  const [a, b] = [best, each].map(
    ({ metrics, candidate }) => (measure === 'simulated' ? metrics : candidate.metrics)?.[objective],
  )
  if (a === undefined || b === undefined || a === 0) return undefined
  const relative = b / a - 1
  return { relative, tie: Math.abs(relative) <= tieError(best, each, objective), measure }
}

/** The relative difference up to which two candidates are a tie: the larger of the errors that their objectives are stated to be good for. */
export function tieError(a: SimulatedCandidate, b: SimulatedCandidate, objective: string): number {
  return Math.max(...[a, b].map(({ statedErrors }) => statedErrors?.[objective] ?? 0))
}

/**
 * Near misses without those that keep their rule as simulated, with what came of them and of their fixes, as far as these were simulated among
 * the best, or for themselves in `tried`. Fixes that miss a limit as simulated come last.
 */
export function withOutcomes(
  nearMisses: readonly NearMiss[],
  outcomes: readonly SimulatedCandidate[],
  tried: readonly SimulatedCandidate[] = [],
): readonly NearMiss[] {
  const [byName, triedByName] = [outcomes, tried].map(
    (all) => new Map(all.map((outcome) => [outcome.candidate.name, outcome])),
  ) as [Map<string, SimulatedCandidate>, Map<string, SimulatedCandidate>]
  return nearMisses.flatMap((near) => {
    const own = byName.get(near.miss.name)
    if (own?.metrics && keepsAll(own)) return []
    const fixes = near.fixes.map((fix) => {
      const simulated = byName.get(fix.candidate.name)
      // What was simulated is a candidate of the question: all that it has chosen was to choose from.
      if (simulated) return { ...fix, simulated, outside: [] }
      const alone = triedByName.get(fix.candidate.name)
      return alone ? { ...fix, simulated: alone } : fix
    })
    const fails = ({ simulated }: Fix) => Number(simulated !== undefined && !keepsAll(simulated))
    return { ...near, ...(own && { simulated: own }), fixes: fixes.toSorted((a, b) => fails(a) - fails(b)) }
  })
}

/**
 * Of each rule the nearest miss that would be better than the best if it kept the rule, or of which only its fixes say so, nearest first; where
 * nothing keeps all rules the nearest of all. Fixes are changes to what else could be chosen, in `others` or to save memory, that would stand among the best; where
 * nothing else helps but types of fewer bytes, more ranks. `among`: the question that says which values were to choose from.
 */
export function nearMissesOf(
  { loaded, question }: Asked,
  answer: Answer,
  others: Question,
  among: Question = question,
): NearMiss[] {
  const wide = { ...others, choices: { ...others.choices, ...savingChoices(loaded) } }
  const [first] = answer.best
  const last = answer.best[question.top - 1]?.score ?? Number.POSITIVE_INFINITY
  const found = new Map<string, NearMiss>()
  const onMore = moreRanks(loaded, wide, answer)
  for (const miss of [...answer.misses].sort((a, b) => a.by - b.by || (a.rule < b.rule ? -1 : 1))) {
    const isKnown = miss.score !== Number.MAX_VALUE
    if (found.has(miss.rule) || (first && isKnown && (miss.score >= first.score || miss.by > nearlyKept))) continue
    const fixes = fixesOf(loaded, wide, miss).filter(({ candidate }) => candidate.score <= last)
    if (first && !isKnown && fixes.length === 0) continue
    const bytes = bytesOf(loaded, miss)
    const limits = question.limits.filter((limit) => !isRuleOf(limit, miss.rule))
    const metrics = limits.length > 0 ? missMetrics(loaded, question, miss) : {}
    const also = limitMisses(limits, metrics)
    if (first && isKnown && also.some(({ by }) => by > nearlyKept)) continue
    found.set(miss.rule, {
      miss,
      spec: specOfCandidate(loaded, question, miss),
      ...(bytes !== undefined && { bytes }),
      also,
      unknown: limits.filter(({ metric }) => metrics[metric] === undefined).map(limitName),
      fixes: (!first && fixes.every(isNarrower) ? [...fixes, ...onMore(miss)] : fixes).map((fix) => ({
        ...fix,
        outside: outsideOf(among, fix),
      })),
    })
  }
  // Rules that are kept or not come behind those of which a miss is some part of a limit, or of room.
  const isCode = ({ miss: { rule }, bytes }: NearMiss) =>
    Number(bytes === undefined && !question.limits.some((limit) => isRuleOf(limit, rule)))
  return [...found.values()].sort((a, b) => isCode(a) - isCode(b) || farthestOf(a) - farthestOf(b))
}

/** By how much a near miss misses the rule that it misses most. */
const farthestOf = ({ miss, also }: NearMiss) => Math.max(miss.by, ...also.map(({ by }) => by))

/** Whether a change makes another model of it: one that computes with fewer bits. */
const isNarrower = ({ change }: Change) => /^(weight|cache)Dtype=/.test(change)

/** What a change has chosen that was not to choose from: of names that were no choice what it changes of the spec. */
function outsideOf({ choices }: Question, { change, candidate }: Change): string[] {
  const changed = change.split(' ').map((each) => each.slice(0, each.indexOf('=')))
  const isOutside = ([name, value]: readonly [string, Value]) =>
    !(choices[name]?.includes(value) ?? (name === 'ranks' || !changed.includes(name)))
  return Object.entries(candidate.choices)
    .filter(isOutside)
    .map(([name]) => name)
}

function bytesOf(loaded: LoadedSpec, { rule, by, metrics }: Miss): number | undefined {
  const missing = metrics['missing-bytes']
  if (missing !== undefined) return missing
  return rule === 'memory' ? by * clusterOf(loaded).accelerator.memoryBytes : undefined
}

/** How many times as many ranks are tried. */
const factors = [2, 4, 8, 16, 32, 64]

/** What the fewest ranks on which it is one make a candidate of a miss: of serving the same for all of an answer. */
function moreRanks(loaded: LoadedSpec, question: Question, answer: Answer): (miss: Miss) => Change[] {
  if (loaded.spec.phase !== 'serving') return (miss) => copiesOnMore(loaded, question, miss)
  let known: { readonly best: Candidate | undefined } | undefined
  return (miss) => {
    known ??= { best: servedOnMoreRanks(loaded, question, answer) }
    return known.best ? [moreRanksFix(miss, known.best)] : []
  }
}

/** The fewest ranks, a power of two as many, over which a step keeps all rules: copies take them. */
function copiesOnMore(loaded: LoadedSpec, question: Question, { choices }: Miss): Change[] {
  const { phase, batch } = loaded.spec
  const copies = Number(choices['replicas'] ?? choices['dp'] ?? 1)
  const { dp: _, replicas: __, dpReplicate: ___, ranks: ____, ...rest } = choices
  const { dp: _____, replicas: ______, ranks: _______, ...open } = question.choices
  for (const factor of factors) {
    const ranks = question.ranks * factor
    // Copies that share a batch may have fewer sequences than ran at a time.
    const least = Math.max(1, Math.floor(batch / (copies * factor)))
    const microbatch =
      rest['microbatch'] === undefined ? {} : { microbatch: Math.min(Number(rest['microbatch']), least) }
    const own = { ...rest, ...microbatch }
    for (const zero of phase === 'training' ? [undefined, 3] : [undefined]) {
      const point = pointOf(loaded, { ...question, ranks, choices: open }, zero === undefined ? own : { ...own, zero })
      if (point && !isMiss(point))
        return [{ change: `ranks=${ranks}${zero === undefined ? '' : ` zero=${zero}`}`, candidate: point }]
    }
  }
  return []
}
