import { type Answer, type Candidate, mergeAnswers } from '@shardloom/search'
import { finish, loadSpec } from '../../src/index.js'
import type { Question } from '../../src/search/question.js'
import { stepAnswers } from '../../src/search/step-answer.js'
import type { Leaf, Node } from '../../src/search/step-nodes.js'
import type { StepTree } from '../../src/search/step-tree.js'

/** All leaves below a node, whatever bounds and rules say. */
function* leavesOf(tree: StepTree, node: Node): Generator<Leaf> {
  if (node.level === 'leaf') yield node
  else for (const child of tree.expand(node) ?? []) yield* leavesOf(tree, child)
}

/** Each leaf judged by itself. */
export function everyPoint(tree: StepTree) {
  const leaves = [...leavesOf(tree, { level: 'root', groups: tree.groups() })]
  return leaves.map((leaf) => ({ leaf, point: tree.judge(leaf) }))
}

/** The order of the best. */
export const byScore = (a: Candidate, b: Candidate) => a.score - b.score || (a.name < b.name ? -1 : 1)

/** The answer of all parts of a question. */
export async function answerOf(question: Question): Promise<Answer> {
  const { part } = stepAnswers(await loadSpec(question.spec), question)
  return mergeAnswers(
    Array.from({ length: question.parts }, (_, index) => finish(part(index))),
    question,
  )
}
