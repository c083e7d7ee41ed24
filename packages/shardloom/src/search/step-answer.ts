import type { Work } from '@shardloom/core'
import { type Answer, BestList, explore, Front, type Miss, mergeAnswers } from '@shardloom/search'
import type { LoadedSpec } from '../plan.js'
import type { Question } from './question.js'
import type { Group } from './staging.js'
import { StepTree } from './step-tree.js'

/** Answers parts of one question about steps, which share what they find out. */
export function stepAnswers(loaded: LoadedSpec, question: Question): (part: number) => Work<Answer> {
  const tree = new StepTree(loaded, question)
  const groups = tree.groups()
  const treeOf = (some: readonly Group[]) => tree.from({ level: 'root', groups: some })
  let seeds: Answer | undefined
  return function* (part) {
    const [from, to] = [part, part + 1].map((each) => Math.floor((each * groups.length) / question.parts))
    const own = groups.slice(from, to)
    yield { work: 'searching', done: 0, of: own.length }
    // What is found where good candidates are likely bounds the rest, the same for every part.
    seeds ??= explore(treeOf(likely(groups, question)), findings(question))
    const found = findings(question, seeds)
    const answers: Answer[] = []
    for (const [index, group] of own.entries()) {
      yield { work: 'searching', done: index, of: own.length }
      answers.push({ ...explore(treeOf([group]), found), best: [], front: [], misses: [] })
    }
    return mergeAnswers([...answers, kept(found)], question)
  }
}

function findings({ top, front }: Question, before?: Answer) {
  const found = { list: new BestList(top), front: front && new Front(front), misses: new Map<string, Miss>() }
  for (const candidate of before?.best ?? []) found.list.offer(candidate)
  for (const candidate of before?.front ?? []) found.front?.offer(candidate)
  return found
}

function kept({ list, front, misses }: ReturnType<typeof findings>): Answer {
  return {
    counts: { total: 0, rejected: {}, bounded: 0, evaluated: 0 },
    best: list.candidates,
    front: front?.candidates ?? [],
    misses: [...misses.values()],
  }
}

/** Groups with tensor parallelism on fast links and nothing else out of the ordinary. */
function likely(groups: readonly Group[], { choices: asked }: Question): readonly Group[] {
  const free: readonly string[] = ['ranks', 'tp', 'ep', 'sequenceParallel', 'recompute']
  const plain = groups.filter(
    ({ choices }) =>
      Number(choices['tp'] ?? 1) <= 8 &&
      Object.entries(choices).every(([name, value]) => free.includes(name) || value === asked[name]?.[0]),
  )
  return plain.slice(0, mostSeeds * (asked['ranks']?.length ?? 1))
}

const mostSeeds = 32
