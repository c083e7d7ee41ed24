import { isShardloomError, type LoadedSpec, simulateLoaded } from '../../src/index.js'
import type { Question } from '../../src/search/question.js'
import { loadedOf } from '../../src/search/serving-spec.js'
import type { Leaf, Node } from '../../src/search/step-nodes.js'
import { specOfStep } from '../../src/search/step-points.js'
import { StepTree } from '../../src/search/step-tree.js'

/** A sequence of numbers from 0 to 1 that is the same every time. */
export function draws(seed: number) {
  let at = seed
  return () => {
    at = (at * 1_103_515_245 + 12_345) % 2_147_483_648
    return at / 2_147_483_648
  }
}

/** A leaf with the nodes above it. */
type Path = readonly [...Node[], Leaf]

/** Leaves that can be planned, each found by going down at random, so that rare choices are as likely as those with many leaves below. */
export function* randomPaths(tree: StepTree, draw: () => number): Generator<Path> {
  const groups = tree.groups()
  for (let tries = 0; tries < 3000; tries++) {
    let node: Node = { level: 'root', groups }
    const above: Node[] = []
    while (node.level !== 'leaf') {
      above.push(node)
      const children: Node[] = [...(tree.expand(node) ?? [])]
      const child: Node | undefined = children.length > 1 ? children[Math.floor(draw() * children.length)] : children[0]
      if (!child) break
      const rejection = tree.reject(child)
      if (rejection && rejection.rule !== 'memory') break
      node = child
    }
    if (node.level === 'leaf') yield [...above, node]
  }
}

/** A leaf with the nodes above it that are divided as the tree divides them. */
export function pathTo(tree: StepTree, leaf: Leaf): Node[] {
  const { staging, cut, stored } = leaf
  const leadsTo = (node: Node): boolean => {
    switch (node.level) {
      case 'slots':
        return node.slots.some(({ microbatch }) => microbatch === staging.microbatch)
      case 'slot':
        return node.microbatch === staging.microbatch
      case 'staged':
        return node.staging.pp === staging.pp
      case 'cut':
        return node.cut === cut
      case 'zero':
        return node.sharing.includes(stored)
      case 'stored':
        return node.stored === stored
      default:
        return true
    }
  }
  const path: Node[] = [{ level: 'group', group: staging.group }]
  for (;;) {
    const node = path.at(-1) as Node // it is never empty
    const next = [...(tree.expand(node) ?? [])].find(leadsTo)
    if (!next) return path
    path.push(next)
  }
}

/** Of so many leaves of a question, how far the analytic model is from the event simulation: in the time of a step, and in peak memory. */
export function errorsOf(loaded: LoadedSpec, question: Question, count: number) {
  const tree = new StepTree(loaded, question)
  const [time, memory]: [number[], number[]] = [[], []]
  for (const path of randomPaths(tree, draws(1))) {
    const leaf = path.at(-1) as Leaf // its last node
    if (time.length === count) break
    const { seconds, bytes } = tree.figures(leaf)
    const choices = tree.choicesOf(leaf)
    try {
      const { step } = simulateLoaded(loadedOf(loaded, specOfStep(tree, question, { choices })))
      const peak = Math.max(...step.ranks.map(({ memory }) => memory.peakBytes))
      time.push(seconds / step.seconds - 1)
      memory.push(bytes / peak - 1)
    } catch (error) {
      // What only planning the whole model finds out is no candidate.
      if (!isShardloomError(error)) throw error
    }
  }
  return { time, memory }
}

/** The mean, the median and the worst of errors, whatever their signs. */
export const sizes = (errors: readonly number[]) => {
  const sorted = errors.map(Math.abs).sort((a, b) => a - b)
  const mean = sorted.reduce((sum, each) => sum + each, 0) / sorted.length
  return { mean, median: sorted[sorted.length >> 1] ?? Number.NaN, worst: sorted.at(-1) ?? Number.NaN }
}
