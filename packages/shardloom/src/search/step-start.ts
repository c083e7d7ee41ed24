import type { Work } from '@shardloom/core'
import { type Answer, explore } from '@shardloom/search'
import { type Start, waysAround } from './answering.js'
import { byStage, type Choices } from './choices.js'
import { type Findings, findingsFrom, foundIn, progressOf } from './findings.js'
import { later } from './groups.js'
import type { Group } from './place.js'
import type { Question } from './question.js'
import { type Tried, tryChanges } from './step-points.js'
import { StepTree } from './step-tree.js'

/**
 * Answers shares of rounds of a start. In the first round it looks in likely groups, with few microbatches, chunks and copies to choose from;
 * then around the best for whatever is better by a change or two.
 */
export function stepShares(
  tree: StepTree,
  groups: readonly Group[],
  question: Question,
): (start: Start, share: number) => Work<Answer> {
  const few = Object.entries(question.choices).map(([name, values]) => [name, values.slice(0, fewOf[name])] as const)
  const narrow = new StepTree(tree.loaded, { ...question, choices: Object.fromEntries(few) }, undefined, tree.model)
  const likely = likelyOf(groups, question)
  return function* ({ round, shares, found: before }, share) {
    const found = findingsFrom(before, question)
    yield progressOf(found, round, 1 + waysAround)
    const way = ways[round - 1]
    const [best] = before.best
    if (way && best) {
      const { most, from, ...tried } = way
      const around = { ...tried, most: () => limits[most](found), every: { from: share, of: shares } }
      for (const { candidate } of tryChanges(tree, question, { ...best.choices, ...from }, around)) {
        found.list.offer(candidate)
        found.front?.offer(candidate)
      }
    } else
      for (const [index, group] of likely.entries()) {
        if (index % shares !== share) continue
        explore(narrow.from({ level: 'root', groups: [group] }), found)
        yield progressOf(found, round, 1 + waysAround)
      }
    return foundIn(found)
  }
}

/** A way to look around the best: which changes are tried, `from` made before, and which of them are of interest. */
interface Way extends Omit<Tried, 'most' | 'every'> {
  readonly most: keyof typeof limits
  readonly from?: Choices
}

/** Beyond which score nothing is of interest. */
const limits = {
  kept: ({ list, front }: Findings) => (front ? Number.POSITIVE_INFINITY : list.threshold),
  best: (found: Findings) =>
    found.front ? Number.POSITIVE_INFINITY : (found.list.candidates[0]?.score ?? limits.kept(found)),
}

/** On the way nothing matters but what is better; at its end all that may be kept. */
const ways: readonly Way[] & { readonly length: typeof waysAround } = [
  // What changes no costs of layers comes first: the better the best is, the fewer others are measured.
  { most: 'best', names: later.filter((name) => name !== 'dpReplicate'), pairs: 'all' },
  // Fewer copies leave room for more.
  { most: 'best', from: { dpReplicate: 1 }, pairs: 'degrees' },
  // Copies make little difference, and each number of them is planned.
  { most: 'best', names: later, pairs: 'all' },
  { most: 'kept', pairs: 'degrees' },
]

/** How many values of a choice are tried in likely groups; of others all. */
const fewOf: Readonly<Record<string, number>> = {
  microbatch: 2,
  zero: 2,
  dpReplicate: 1,
  schedule: 2,
  virtual: 4,
  split: 1,
}

/** Groups with tensor parallelism on fast links and nothing else out of the ordinary, those that divide most first. */
function likelyOf(groups: readonly Group[], { choices: asked }: Question): readonly Group[] {
  const free: readonly string[] = ['ranks', 'tp', 'ep', 'sequenceParallel', 'recompute']
  const divides = ({ choices }: Group) => Number(choices['tp'] ?? 1) * Number(choices['ep'] ?? 1)
  return groups
    .filter(
      ({ choices }) =>
        Number(choices['tp'] ?? 1) <= 8 &&
        choices['recompute'] !== byStage &&
        Object.entries(choices).every(([name, value]) => free.includes(name) || value === asked[name]?.[0]),
    )
    .slice(0, mostLikely * (asked['ranks']?.length ?? 1))
    .sort((a, b) => divides(b) - divides(a))
}

const mostLikely = 32
