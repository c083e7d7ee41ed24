import { fitWorld } from '@shardloom/cluster'
import { ShardloomError, type Work } from '@shardloom/core'
import type { Answer, Candidate, Miss } from '@shardloom/search'
import { clusterOf } from '../cluster-of.js'
import { isModelPath } from '../load-model.js'
import { type LoadedSpec, layerBoundaries } from '../plan.js'
import type { SpecInput } from '../spec-schema.js'
import type { Answering } from './answering.js'
import { checkAsked, checkChosen, checkIndex, checkPoint } from './check-asked.js'
import { type Choices, rankCounts, stepChoices, type Value, worldOf } from './choices.js'
import { bestWithKept, mayKeep } from './may-keep.js'
import type { Limit, Question } from './question.js'
import { servingAnswers } from './serving-answer.js'
import { ServingCosts } from './serving-costs.js'
import { checkServingQuestion, servingObjectives } from './serving-metrics.js'
import { onMoreRanks } from './serving-ranks.js'
import { servingSimulator, specOfServing } from './serving-rerank.js'
import { metricsOfMiss, servingFixes, whyServing } from './serving-why.js'
import {
  type SimulatedBest,
  type SimulatedCandidate,
  type Simulator,
  simulateAll,
  simulateBest,
  simulateOne,
} from './simulate-best.js'
import { stepAnswers } from './step-answer.js'
import { checkStepQuestion, stepMetrics } from './step-metrics.js'
import { mayOverlap, StepModel } from './step-model.js'
import { type Change, changesOf, choicesOfSpec, isMiss, specOfStep } from './step-points.js'
import { stepSimulator } from './step-rerank.js'
import { StepTree } from './step-tree.js'

/** What a search may be told beside the spec. */
export interface SearchOptions {
  /** Ranks of a candidate, the most where their number is chosen; default: those of the cluster's nodes, or those that the degrees of the spec multiply to. */
  readonly ranks?: number
  /** Default: `step-time` in training, `ttft` in prefill, `tpot` in decode, `throughput` in serving. */
  readonly objective?: string
  readonly limits?: readonly Limit[]
  /** Values of choices in place of those that are usual. */
  readonly choices?: Readonly<Record<string, readonly Value[]>>
  /** How many of the best are asked for; up to four times as many are simulated to find them. Default 5. */
  readonly top?: number
  /** Two metrics of which the front is kept; `-name` where more of it is better. */
  readonly front?: readonly [string, string]
  /** Into how many parts the space is divided: each is an answer of its own, so that whoever stops a search has what ended. Default 64. */
  readonly parts?: number
}

/** How many parts a question has, and how many of the best are asked for, where nobody says. */
const usual = { parts: 64, top: 5 }

/** For each of the best so many are kept to be simulated: what the estimate takes for a little worse may be better. */
const widened = 4

/**
 * A question about a loaded spec. Throws `RANKS` where nothing says how many there are, `OBJECTIVE` and `LIMITS` for what the phase does not
 * have, `CHOICE` and what the spec's fields throw for names and values that cannot be, `OPTION` for counts that are none and options that there are not, and `OPTION` and
 * `SPEC_VALUE` for specs whose steps are not searched.
 */
export function questionOf(loaded: LoadedSpec, options: SearchOptions = {}): Question {
  const { spec, architecture, plugins } = loaded
  const { phase } = spec
  if (plugins.length > spec.plugins.length) {
    throw new ShardloomError('PLUGIN', 'A search reads plugins by their paths, also in other threads.', {
      help: 'Name them in `plugins`.',
    })
  }
  if (phase !== 'serving' && layerBoundaries(spec).length > 0) {
    throw new ShardloomError(
      'OPTION',
      'Some options choose layers by their depth, and a search knows kinds of layers alone.',
      {
        subject: 'options',
        help: 'Leave `layers` out of these selectors.',
      },
    )
  }
  if (phase !== 'serving' && spec.steps > 1) {
    throw new ShardloomError('SPEC_VALUE', `\`steps\` is ${spec.steps}, and a search of decode is of one step.`, {
      subject: 'steps',
      help: 'Leave `steps` out.',
    })
  }
  checkAsked(options)
  const { objective = usualObjective(phase), front = [] } = options
  const given = options.choices?.['ranks']?.map(Number)
  const ranks = options.ranks ?? (given ? Math.max(...given) : ranksOf(loaded))
  if (phase !== 'serving') {
    fitWorld(clusterOf(loaded), ranks)
    checkBatch(spec.batch)
  } else if (ranks > mostServing) {
    throw new ShardloomError('RANKS', `\`ranks\` is ${ranks}: engines on more than ${mostServing} are not simulated.`, {
      subject: 'ranks',
      help: 'Search for fewer: engines side by side serve as much more as there are more of them.',
    })
  }
  // Of serving the objective alone says so.
  const counts =
    given ?? ([objective, ...front].includes('ranks') ? rankCounts(ranks, clusterOf(loaded).perNode) : undefined)
  const usualChoices =
    phase === 'serving' ? {} : { ...(counts && { ranks: counts }), ...stepChoices(loaded, counts ?? [ranks]) }
  const { seq, ...plain } = spec
  const { top = usual.top } = options
  const question: Question = {
    schema: 'shardloom.question/1',
    // A path would lead elsewhere on another machine.
    spec: {
      ...plain,
      seq,
      model: typeof spec.model === 'string' && isModelPath(spec.model) ? { ...architecture } : spec.model,
    } as SpecInput,
    ranks,
    objective,
    limits: options.limits ?? [],
    choices: { ...usualChoices, ...options.choices },
    top,
    kept: widened * top,
    ...(options.front && { front: options.front }),
    parts: options.parts ?? usual.parts,
  }
  if (phase === 'serving') checkServingQuestion(question)
  else checkStepQuestion(loaded, question)
  // A schedule that there is not is an error where others are tried in its place, too.
  const { schedule } = spec.options
  const own = phase === 'training' && schedule !== undefined ? { schedule: [schedule] } : {}
  checkChosen(loaded, { ...own, ...options.choices })
  return question
}

/** The largest batch that is searched, in sequences: thousands of times what anybody trains with. */
const largestBatch = 2 ** 24

function checkBatch(batch: number): void {
  if (batch <= largestBatch) return
  throw new ShardloomError('SPACE', `Steps of ${batch} sequences are not searched.`, {
    subject: 'batch',
    help: `Give at most ${largestBatch}: with so many microbatches twice as many take twice as long, and the best stays the same.`,
  })
}

/** Each engine of a load is simulated. */
const mostServing = 1_000_000

/** The objective where nobody says. */
function usualObjective(phase: LoadedSpec['spec']['phase']): string {
  const [first = ''] = phase === 'serving' ? servingObjectives : Object.keys(stepMetrics[phase])
  return first
}

function ranksOf(loaded: LoadedSpec): number {
  const { cluster, parallel } = loaded.spec
  const { devices } = clusterOf(loaded)
  if ((typeof cluster === 'object' && 'nodes' in cluster) || (typeof cluster === 'string' && isModelPath(cluster)))
    return devices
  const product = worldOf(parallel)
  if (product > 1) return product
  throw new ShardloomError('RANKS', 'Nothing says how many ranks there are.', {
    subject: 'ranks',
    help: 'Give `--ranks` (in code `ranks`), or a cluster with `nodes`, such as `{preset: dgx-h100, nodes: 8}`.',
  })
}

/** What is known of a loaded spec, which questions about it share. */
const models = new WeakMap<LoadedSpec, Map<boolean, StepModel>>()
const servingCosts = new WeakMap<LoadedSpec, ServingCosts>()

function treeOf(loaded: LoadedSpec, question: Question): StepTree {
  const known = models.get(loaded) ?? new Map<boolean, StepModel>()
  models.set(loaded, known)
  const overlaps = mayOverlap(question, loaded)
  const model = known.get(overlaps) ?? new StepModel(loaded, overlaps)
  known.set(overlaps, model)
  return new StepTree(loaded, question, undefined, model)
}

function costsOf(loaded: LoadedSpec, question: Question): ServingCosts {
  const costs = servingCosts.get(loaded) ?? new ServingCosts(loaded, question)
  servingCosts.set(loaded, costs)
  return costs
}

/** What answers a question, sharing what it finds out. Its calls throw `OPTION` for parts and shares that there are not. */
export function answersOf(loaded: LoadedSpec, question: Question): Answering {
  const answers =
    loaded.spec.phase === 'serving'
      ? servingAnswers(loaded, question, costsOf(loaded, question))
      : stepAnswers(loaded, question)
  return {
    part(part, start) {
      checkIndex('part', part, question.parts)
      return answers.part(part, start)
    },
    share(start, share) {
      checkIndex('share', share, start.shares)
      return answers.share(start, share)
    },
  }
}

/**
 * Simulates the best of an answer event by event, and what was kept beside them as long as it could be better: as many as were asked for, in
 * the order of what comes of them. What would be better and misses a limit by little as estimated is simulated too, and is one of them if it keeps it.
 */
export function* rerankWork(loaded: LoadedSpec, question: Question, { best, misses }: Answer): Work<SimulatedBest> {
  const simulator = simulatorOf(loaded, question)
  const found = yield* simulateBest(best, question.top, simulator)
  const near = mayKeep(question, misses, found.best[0])
  const { kept: _, ...all } = bestWithKept(found, yield* simulateAll(near, simulator), question.top)
  return all
}

/** Simulates these candidates event by event, and puts them in the order of that. */
export function simulatedWork(
  loaded: LoadedSpec,
  question: Question,
  candidates: readonly Candidate[],
): Work<readonly SimulatedCandidate[]> {
  return simulateAll(candidates, simulatorOf(loaded, question))
}

/** Simulates one candidate event by event; what refuses it is an outcome too. */
export function simulationOf(loaded: LoadedSpec, question: Question, candidate: Candidate): Work<SimulatedCandidate> {
  return simulateOne(candidate, simulatorOf(loaded, question))
}

function simulatorOf(loaded: LoadedSpec, question: Question): Simulator {
  if (loaded.spec.phase === 'serving') return servingSimulator(loaded, question)
  return stepSimulator(treeOf(loaded, question), question)
}

/** The spec of a candidate: `shardloom simulate` takes it. */
export function specOfCandidate(
  loaded: LoadedSpec,
  question: Question,
  candidate: Pick<Candidate, 'choices'>,
): SpecInput {
  if (loaded.spec.phase === 'serving') return specOfServing(question, candidate)
  return specOfStep(treeOf(loaded, question), question, candidate)
}

/**
 * One point: its metrics, or the rule that it breaks; undefined where these choices are no point of the space. Throws `CHOICE` and what the
 * spec's fields throw for names and values that cannot be.
 */
export function pointOf(loaded: LoadedSpec, question: Question, choices: Choices): Candidate | Miss | undefined {
  checkPoint(loaded, choices)
  if (loaded.spec.phase === 'serving') return whyServing(loaded, question, choices, costsOf(loaded, question))
  const tree = treeOf(loaded, question)
  const leaf = tree.leafOf(choices)
  return leaf && tree.judge(leaf)
}

/** The single changes that make a candidate of a miss, best first. */
export function fixesOf(loaded: LoadedSpec, question: Question, miss: Miss): readonly Change[] {
  if (loaded.spec.phase === 'serving') return servingFixes(loaded, question, miss, costsOf(loaded, question))
  return changesOf(treeOf(loaded, question), question, miss.choices)
}

/** What is known of a miss beside the rule that it breaks, as estimated. */
export function missMetrics(loaded: LoadedSpec, question: Question, miss: Miss): Miss['metrics'] {
  return loaded.spec.phase === 'serving'
    ? metricsOfMiss(loaded, question, miss, costsOf(loaded, question))
    : miss.metrics
}

/** Of serving, where an answer has nothing that keeps all rules: the best on the fewest ranks on which something does. */
export function servedOnMoreRanks(loaded: LoadedSpec, question: Question, answer: Answer): Candidate | undefined {
  return onMoreRanks(loaded, question, answer, costsOf(loaded, question))
}

/** What a spec itself comes to, and the smallest changes of it that are better: one choice, or two. */
export interface FromSpec {
  readonly point: Candidate | Miss | undefined
  readonly changes: readonly Change[]
}

/** Starts from what the spec of a question about steps has chosen. Throws `PHASE` for serving. */
export function changesOfSpec(loaded: LoadedSpec, question: Question): FromSpec {
  if (loaded.spec.phase === 'serving') {
    throw new ShardloomError(
      'PHASE',
      'Changes of a spec are tried of one step, of training, prefill or decode; the phase is serving.',
      {
        subject: 'phase',
        help: 'Leave --changes out: the best of all is found, and --keep holds what has to stay as the spec has it. `shardloom simulate` of the spec says what it comes to.',
      },
    )
  }
  const from = choicesOfSpec(treeOf(loaded, question), question)
  // What the spec has is to choose from, whatever else is.
  const choices = Object.entries(question.choices).map(([name, values]) => {
    const own = from[name]
    return [name, own === undefined || values.includes(own) ? values : [...values, own]]
  })
  const tree = treeOf(loaded, { ...question, choices: Object.fromEntries(choices) })
  const leaf = tree.leafOf(from)
  const point = leaf && tree.judge(leaf)
  const isBetter = ({ candidate }: Change) => !point || isMiss(point) || candidate.score < point.score
  return { point, changes: changesOf(tree, question, from, { pairs: 'all' }).filter(isBetter) }
}
