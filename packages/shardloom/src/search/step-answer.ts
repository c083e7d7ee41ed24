import type { Progress, Work } from '@shardloom/core'
import { type Answer, BestList, type Candidate, explore, Front, type Misses, mergeAnswers } from '@shardloom/search'
import type { LoadedSpec } from '../plan.js'
import { byStage, type Choices } from './choices.js'
import { later } from './groups.js'
import type { Group } from './place.js'
import type { Question } from './question.js'
import { type Tried, tryChanges } from './step-points.js'
import { StepTree } from './step-tree.js'

/** How far a search is, and the best that it has found by then. */
export interface SearchProgress extends Progress {
  readonly found: readonly Candidate[]
}

/** Answers parts of one question about steps, which share what they find out. */
export function stepAnswers(loaded: LoadedSpec, question: Question): (part: number) => Work<Answer> {
  const tree = new StepTree(loaded, question)
  const groups = tree.groups()
  const treeOf = (some: readonly Group[]) => tree.from({ level: 'root', groups: some })
  let seeds: Findings | undefined
  return function* (part) {
    const [from, to] = [part, part + 1].map((each) => Math.floor((each * groups.length) / question.parts))
    const own = groups.slice(from, to)
    yield { work: 'searching', done: 0, of: own.length }
    // What is found where good candidates are likely bounds the rest, the same for every part.
    seeds ??= yield* seedsOf(tree, groups, question)
    const found = findings(question, seeds)
    const answers: Answer[] = []
    for (const [index, group] of own.entries()) {
      yield progressOf(found, index, own.length)
      answers.push({ ...explore(treeOf([group]), found), best: [], front: [], misses: [] })
    }
    return mergeAnswers([...answers, kept(found)], question)
  }
}

interface Findings {
  readonly list: BestList
  readonly front: Front | undefined
  readonly misses: Misses
}

const progressOf = ({ list }: Findings, done: number, of: number): SearchProgress => ({
  work: 'searching',
  done,
  of,
  found: [...list.candidates],
})

/** Nothing found, or what was before. */
function findings({ top, kept, front }: Question, before?: Findings): Findings {
  const found = { list: new BestList(top, kept), front: front && new Front(front), misses: new Map() as Misses }
  for (const candidate of before?.list.candidates ?? []) found.list.offer(candidate)
  for (const candidate of before?.front?.candidates ?? []) found.front?.offer(candidate)
  for (const [rule, misses] of before?.misses ?? []) found.misses.set(rule, misses)
  return found
}

function kept({ list, front, misses }: Findings): Answer {
  return {
    counts: { total: 0, rejected: {}, bounded: 0, evaluated: 0 },
    best: list.candidates,
    front: front?.candidates ?? [],
    misses: [...misses.values()].flat(),
  }
}

/**
 * Good candidates: of likely groups those with few microbatches, chunks and copies to choose from, and from the best of them on whatever
 * is better by a single choice.
 */
function* seedsOf(tree: StepTree, groups: readonly Group[], question: Question): Generator<Progress, Findings> {
  const found = findings(question)
  const few = Object.entries(question.choices).map(([name, values]) => [name, values.slice(0, fewOf[name])] as const)
  const narrow = new StepTree(tree.loaded, { ...question, choices: Object.fromEntries(few) }, undefined, tree.model)
  for (const group of likely(groups, question)) {
    explore(narrow.from({ level: 'root', groups: [group] }), found)
    yield progressOf(found, 0, groups.length)
  }
  const kept = () => (found.front ? Number.POSITIVE_INFINITY : found.list.threshold)
  // On the way nothing matters but what is better; at its end all that may be kept.
  const better = () => (found.front ? kept() : (found.list.candidates[0]?.score ?? kept()))
  const ways: readonly Way[] = [
    // What changes no costs of layers comes first: the better the best is, the fewer others are measured.
    { most: better, names: later, pairs: 'all' },
    // Fewer copies leave room for more.
    { most: better, from: { dpReplicate: 1 }, pairs: 'degrees' },
    { most: kept, pairs: 'degrees' },
  ]
  for (let way = 0; way < ways.length; ) {
    const [best] = found.list.candidates
    if (!best) break
    const { from, ...tried } = ways[way] as Way
    for (const { candidate } of tryChanges(tree, question, { ...best.choices, ...from }, tried)) {
      found.list.offer(candidate)
      found.front?.offer(candidate)
    }
    yield progressOf(found, 0, groups.length)
    way = found.list.candidates[0] === best ? way + 1 : 0
  }
  return found
}

/** Which changes of the best are tried next, `from` made before. */
interface Way extends Tried {
  readonly from?: Choices
}

/** How many values of a choice seeds have; of others all. */
const fewOf: Readonly<Record<string, number>> = {
  microbatch: 2,
  zero: 2,
  dpReplicate: 1,
  schedule: 2,
  virtual: 4,
  split: 1,
}

/** Groups with tensor parallelism on fast links and nothing else out of the ordinary, those that divide most first. */
function likely(groups: readonly Group[], { choices: asked }: Question): readonly Group[] {
  const free: readonly string[] = ['ranks', 'tp', 'ep', 'sequenceParallel', 'recompute']
  const divides = ({ choices }: Group) => Number(choices['tp'] ?? 1) * Number(choices['ep'] ?? 1)
  return groups
    .filter(
      ({ choices }) =>
        Number(choices['tp'] ?? 1) <= 8 &&
        choices['recompute'] !== byStage &&
        Object.entries(choices).every(([name, value]) => free.includes(name) || value === asked[name]?.[0]),
    )
    .slice(0, mostSeeds * (asked['ranks']?.length ?? 1))
    .sort((a, b) => divides(b) - divides(a))
}

const mostSeeds = 32
