import type { Answer, Candidate } from './answer.js'
import type { BestList } from './best-list.js'
import type { Front } from './front.js'
import { countsByRule, keepMiss, type Misses, sortMisses } from './merge.js'

/** Why nothing below a node is a candidate. */
export interface Rejection {
  readonly rule: string
  /** No leaf below misses the rule by less, as a share of its limit; of a leaf: by how much it does. Without it no miss is kept. */
  readonly by?: number
}

/** A tree of choices: what is decided at a node holds for all leaves below, and each leaf is a point of the space. */
export interface ChoiceTree<Node> {
  readonly root: Node
  /**
   * The ways to decide what comes next; null for a leaf. It is asked once, and of what was rejected or bounded only to look for misses. What is
   * bounded beyond `most` is of no interest by then, so that it may be divided off before more is found out of the rest.
   */
  expand(node: Node, most: number): Iterable<Node> | null
  /** How many leaves are below a node, 1 for a leaf itself: exact, since counts are made of it. */
  size(node: Node): number
  /**
   * The rule that all leaves below break, where what is decided is enough to know; not asked of what is bounded. `nearest` is how far from a
   * rule a leaf below may be to be of interest: beyond it no rejection need be more exact.
   */
  reject?(node: Node, nearest: (rule: string) => number): Rejection | undefined
  /** A score that no leaf below is better than, rounding included. The nearer it is, the less is evaluated. */
  bound(node: Node): number
  /** What no leaf below is better than in either metric of a front. Without it a search with a front bounds nothing. */
  corner?(node: Node): readonly [number, number]
  /** The score of a leaf, or the rule that it breaks. */
  evaluate(leaf: Node): number | Rejection
  /** The point that a leaf is. It is asked for where the point may be kept, so that others cost no name and no metrics. */
  describe(leaf: Node, score: number): Candidate
  /** The point that a rejected leaf is. It is asked for where it may be of interest. */
  describeMiss?(leaf: Node, rejection: Rejection): Candidate
}

/** Where a search puts what it finds; what is there already bounds it from the beginning. */
export interface Findings {
  readonly list: BestList
  readonly front?: Front | undefined
  readonly misses?: Misses
}

/** By how much of its limit a rule may be missed to be nearly kept, where others keep all rules. */
export const nearlyKept = 0.1

/** A node that breaks a rule, as far as it or what it is below tells. */
interface Rejected<Node> {
  readonly node: Node
  readonly rejection: Rejection
  readonly bound: number
  readonly isOwn: boolean
}

/**
 * Depth-first branch and bound: the child with the best bound first, of equal bounds the earlier one. It is exact: the list and the
 * front are those of all leaves that no rule rejects, equal scores included, for what is left out has a bound beyond the list's threshold
 * and, with a front, a corner that is dominated. Each leaf is counted once: as bounded, under the rule that it breaks, or as evaluated.
 * Of each rule those misses are found that nearly keep it, would be better than the best if they did, and of which no other is nearer and better: what is
 * rejected as a whole is looked into at the end, the nearest first, where there may be one.
 */
export function explore<Node>(tree: ChoiceTree<Node>, { list, front, misses = new Map() }: Findings): Answer {
  const rejected = new Map<string, number>()
  let [bounded, evaluated] = [0, 0]

  const reject = ({ rule }: Rejection, size: number) => rejected.set(rule, (rejected.get(rule) ?? 0) + size)

  /** How far from a rule what is below a bound may be, so that no other comes before it. */
  const nearest = (rule: string, bound: number) => {
    if (bound >= (list.candidates[0]?.score ?? Infinity)) return -Infinity
    const before = (misses.get(rule) ?? []).filter(({ score }) => score <= bound)
    return before.reduce((least, { by }) => Math.min(least, by), list.candidates.length > 0 ? nearlyKept : Infinity)
  }
  const isNear = ({ rule, by }: Rejection, bound: number) => by !== undefined && by <= nearest(rule, bound)

  /** What was rejected and may be of interest. */
  const far: Rejected<Node>[] = []

  const rejectNode = (node: Node, rejection: Rejection, bound: number) => {
    reject(rejection, tree.size(node))
    if (isNear(rejection, bound)) far.push({ node, rejection, bound, isOwn: true })
  }

  /** Keeps the misses at or below nodes, the nearest first, after which most others are of no interest. */
  const look = (nodes: readonly Rejected<Node>[]) => {
    const by = ({ rejection }: Rejected<Node>) => rejection.by ?? Infinity
    for (const { node, rejection, bound, isOwn } of nodes.toSorted((a, b) => by(a) - by(b) || a.bound - b.bound)) {
      if (!isNear(rejection, bound)) continue
      const children = tree.expand(node, Infinity)
      if (children !== null) {
        look(Array.from(children, (child) => rejectedBelow(child, rejection)))
        continue
      }
      const own = isOwn ? rejection : tree.evaluate(node)
      const point = typeof own !== 'number' && isNear(own, bound) ? tree.describeMiss?.(node, own) : undefined
      if (point !== undefined && typeof own !== 'number')
        keepMiss(misses, { ...point, rule: own.rule, by: own.by ?? 0 })
    }
  }

  /** A node below one that was rejected. */
  const rejectedBelow = (node: Node, rejection: Rejection): Rejected<Node> => {
    const bound = tree.bound(node)
    const own = tree.reject?.(node, (rule) => nearest(rule, bound))
    return { node, bound, rejection: own ?? rejection, isOwn: own !== undefined }
  }

  /** Whether nothing at or below the node can enter the list or the front. */
  const isBeaten = (node: Node, score: number) => {
    if (!(score > list.threshold)) return false
    if (front === undefined) return true
    const corner = tree.corner?.(node)
    return corner !== undefined && front.isDominated(corner[0], corner[1])
  }

  const evaluate = (leaf: Node, bound: number) => {
    const score = tree.evaluate(leaf)
    if (typeof score !== 'number') return rejectNode(leaf, score, bound)
    evaluated++
    // What is evaluated anyway may be kept beyond what is looked for.
    if (isBeaten(leaf, score) && !(score <= list.last)) return
    const candidate = tree.describe(leaf, score)
    list.offer(candidate)
    front?.offer(candidate)
  }

  const descend = (nodes: Iterable<Node>) => {
    const open: { readonly node: Node; readonly bound: number }[] = []
    for (const node of nodes) {
      const bound = tree.bound(node)
      if (isBeaten(node, bound)) bounded += tree.size(node)
      else open.push({ node, bound })
    }
    open.sort((a, b) => a.bound - b.bound)
    for (const { node, bound } of open) {
      if (isBeaten(node, bound)) {
        bounded += tree.size(node)
        continue
      }
      const rejection = tree.reject?.(node, (rule) => nearest(rule, bound))
      if (rejection !== undefined) {
        rejectNode(node, rejection, bound)
        continue
      }
      const children = tree.expand(node, front === undefined ? list.threshold : Infinity)
      if (children !== null) descend(children)
      else evaluate(node, bound)
    }
  }

  descend([tree.root])
  look(far)
  let total = bounded + evaluated
  for (const count of rejected.values()) total += count
  return {
    counts: { total, rejected: countsByRule(rejected), bounded, evaluated },
    best: [...list.candidates],
    front: front === undefined ? [] : [...front.candidates],
    misses: sortMisses(misses),
  }
}
