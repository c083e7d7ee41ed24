import { type Answer, explore, mergeAnswers } from '@shardloom/search'
import type { LoadedSpec } from '../plan.js'
import { type Answering, nextStart, type Start, startOf } from './answering.js'
import { findingsFrom, foundIn, progressOf } from './findings.js'
import type { Question } from './question.js'
import { stepShares } from './step-start.js'
import { StepTree } from './step-tree.js'

/** Answers one question about steps. */
export function stepAnswers(loaded: LoadedSpec, question: Question): Answering {
  const tree = new StepTree(loaded, question)
  const groups = tree.groups()
  const share = stepShares(tree, groups, question)
  let known: Start | undefined
  return {
    share,
    *part(part, start) {
      const [from, to] = [part, part + 1].map((each) => Math.floor((each * groups.length) / question.parts))
      const own = groups.slice(from, to)
      yield { work: 'searching', done: 0, of: own.length }
      known = start ?? known ?? startOf(question)
      while (known.shares > 0) {
        const answers: Answer[] = []
        for (let each = 0; each < known.shares; each++) answers.push(yield* share(known, each))
        known = nextStart(question, known, answers)
      }
      // What is found where good candidates are likely bounds the rest, the same for every part.
      const found = findingsFrom(known.found, question)
      const answers: Answer[] = []
      for (const [index, group] of own.entries()) {
        yield progressOf(found, index, own.length)
        answers.push({
          ...explore(tree.from({ level: 'root', groups: [group] }), found),
          best: [],
          front: [],
          misses: [],
        })
      }
      return mergeAnswers([...answers, foundIn(found)], question)
    },
  }
}
