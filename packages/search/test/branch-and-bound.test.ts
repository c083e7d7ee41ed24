import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BestList, type ChoiceTree, explore, Front, mergeAnswers, nearlyKept } from '../src/index.js'
import { kept } from './arbitrary.js'

/** A node with its children, or a leaf with what its evaluation gives. Nodes may be known to break a rule as a whole. */
interface Node {
  readonly name: string
  readonly children: readonly Node[]
  readonly x: number
  readonly y: number
  readonly score: number
  readonly rule: string | undefined
  readonly early: boolean
  readonly slack: number
}

const draw = fc.letrec<{ node: Node }>((tie) => ({
  node: fc.record({
    name: fc.constant(''),
    children: fc.oneof(
      { maxDepth: 4, depthSize: 'large' },
      fc.constant([]),
      fc.array(tie('node'), { minLength: 1, maxLength: 4 }),
    ),
    x: fc.nat(6),
    y: fc.nat(6),
    score: fc.nat(8),
    rule: fc.option(fc.constantFrom('memory', 'heads'), { nil: undefined, freq: 4 }),
    early: fc.boolean(),
    slack: fc.nat(3),
  }),
})).node

/** Gives each node its name by position, and those below a node that breaks a rule as a whole that rule. */
function named(node: Node, name: string, inherited?: string): Node {
  const whole = node.children.length > 0 && node.rule !== undefined && node.early ? node.rule : undefined
  const rule = inherited ?? whole ?? (node.children.length === 0 ? node.rule : undefined)
  return {
    ...node,
    name,
    rule,
    children: node.children.map((child, index) => named(child, `${name}.${index}`, inherited ?? whole)),
  }
}

const trees = draw.map((root) => named(root, 'root'))

const leaves = (node: Node): readonly Node[] => (node.children.length === 0 ? [node] : node.children.flatMap(leaves))
const describe = (leaf: Node) => ({
  name: leaf.name,
  choices: {},
  score: leaf.score,
  metrics: { x: leaf.x, y: leaf.y },
})
/** By how much a leaf misses its rule. */
const missOf = (leaf: Node) => (leaf.x + leaf.y) / 4
const nearest = (node: Node) =>
  leaves(node).reduce((a, b) => (missOf(b) < missOf(a) || (missOf(b) === missOf(a) && b.name < a.name) ? b : a))
const least = (node: Node, of: (leaf: Node) => number) => Math.min(...leaves(node).map(of))

const treeOf = (root: Node): ChoiceTree<Node> => ({
  root,
  expand: ({ children }) => (children.length === 0 ? null : children),
  size: (node) => leaves(node).length,
  reject: (node) =>
    node.rule === undefined || (node.children.length === 0 && !node.early)
      ? undefined
      : { rule: node.rule, by: missOf(nearest(node)) },
  bound: (node) => least(node, ({ score }) => score) - node.slack,
  corner: (node) => [least(node, ({ x }) => x) - node.slack, least(node, ({ y }) => y)],
  evaluate: (leaf) => (leaf.rule === undefined ? leaf.score : { rule: leaf.rule, by: missOf(leaf) }),
  describe: (leaf, score) => ({ ...describe(leaf), score }),
  describeMiss: (node) => describe(nearest(node)),
})

const keep = fc.record({ top: fc.integer({ min: 0, max: 4 }), front: fc.constantFrom(['x', 'y'] as const, undefined) })
const findings = ({ top, front }: { top: number; front?: readonly [string, string] | undefined }) => ({
  list: new BestList(top),
  front: front && new Front(front),
})

test('finds what looking at every leaf finds, and counts every leaf once', () => {
  fc.assert(
    fc.property(trees, keep, (root, keeping) => {
      const { counts, best, front } = explore(treeOf(root), findings(keeping))
      const legal = leaves(root).filter(({ rule }) => rule === undefined)
      expect({ best, front }).toEqual(kept(legal.map(describe), keeping))
      const rejected = Object.values(counts.rejected).reduce((sum, count) => sum + count, 0)
      expect(rejected + counts.bounded + counts.evaluated).toBe(counts.total)
      expect(counts.total).toBe(leaves(root).length)
    }),
    { numRuns: 500 },
  )
})

test('to keep more than what is looked for evaluates no leaf more', () => {
  fc.assert(
    fc.property(trees, keep, fc.nat(6), (root, keeping, more) => {
      const few = explore(treeOf(root), findings(keeping))
      const list = new BestList(keeping.top, keeping.top + more)
      const many = explore(treeOf(root), { ...findings(keeping), list })
      expect(many.counts).toEqual(few.counts)
      expect(many.front).toEqual(few.front)
      expect(many.best.slice(0, keeping.top)).toEqual(few.best)
      const legal = leaves(root).filter(({ rule }) => rule === undefined)
      expect(many.best.length).toBeLessThanOrEqual(Math.min(keeping.top + more, legal.length))
      for (const candidate of many.best) expect(legal.map(describe)).toContainEqual(candidate)
    }),
  )
})

test('with nothing to bound, each rule has its count', () => {
  fc.assert(
    fc.property(trees, (root) => {
      const { counts } = explore({ ...treeOf(root), bound: () => -Infinity }, findings({ top: 1 }))
      for (const rule of ['memory', 'heads'])
        expect(counts.rejected[rule] ?? 0).toBe(leaves(root).filter((leaf) => leaf.rule === rule).length)
      expect(counts.evaluated).toBe(leaves(root).filter(({ rule }) => rule === undefined).length)
    }),
  )
})

test('of each rule the misses are those that would be better than the best, and of which no other is nearer and no worse', () => {
  fc.assert(
    fc.property(trees, fc.integer({ min: 1, max: 3 }), (root, top) => {
      const { misses, best } = explore(treeOf(root), findings({ top }))
      const limit = best[0]?.score ?? Infinity
      const most = best.length > 0 ? nearlyKept : Infinity
      const better = leaves(root).filter(
        (leaf) => leaf.rule !== undefined && leaf.score < limit && missOf(leaf) <= most,
      )
      const first = better.filter(
        (leaf) =>
          !better.some(
            (other) =>
              other.rule === leaf.rule &&
              missOf(other) <= missOf(leaf) &&
              other.score <= leaf.score &&
              (missOf(other) < missOf(leaf) || other.score < leaf.score),
          ),
      )
      const told = (rule: string | undefined, by: number, score: number) => `${rule} ${by} ${score}`
      const found = misses
        .filter(({ score, by }) => score < limit && by <= most)
        .map(({ rule, by, score }) => told(rule, by, score))
      expect(found.sort()).toEqual([...new Set(first.map((leaf) => told(leaf.rule, missOf(leaf), leaf.score)))].sort())
    }),
    { numRuns: 500 },
  )
})

test('with exact bounds no more than the leaf that is best is evaluated, ties aside', () => {
  fc.assert(
    fc.property(trees, (root) => {
      const tree = {
        ...treeOf(root),
        bound: (node: Node) => least(node, ({ score, rule }) => (rule === undefined ? score : Infinity)),
      }
      const { counts, best } = explore(tree, findings({ top: 1 }))
      const ties = leaves(root).filter(({ score, rule }) => rule === undefined && score === best[0]?.score)
      expect(counts.evaluated).toBeLessThanOrEqual(ties.length)
    }),
  )
})

test('the subtrees of a root, searched apart, merge into the answer of the whole', () => {
  fc.assert(
    fc.property(trees, keep, (root, keeping) => {
      fc.pre(root.children.length > 0 && root.rule === undefined)
      const parts = root.children.map((child) => explore(treeOf(child), findings(keeping)))
      const whole = explore(treeOf(root), findings(keeping))
      const { counts, best, front } = mergeAnswers(parts, keeping)
      expect({ best, front, total: counts.total }).toEqual({
        best: whole.best,
        front: whole.front,
        total: whole.counts.total,
      })
    }),
  )
})

test('what was found before bounds a search from its beginning', () => {
  const leaf = (name: string, score: number): Node => ({
    name,
    children: [],
    x: 0,
    y: 0,
    score,
    rule: undefined,
    early: false,
    slack: 0,
  })
  const list = new BestList(1)
  list.offer(describe(leaf('before', 1)))
  const root = { ...leaf('root', 0), children: [leaf('a', 3), leaf('b', 2)] }
  const { counts, best } = explore(treeOf(root), { list })
  expect(counts).toEqual({ total: 2, rejected: {}, bounded: 2, evaluated: 0 })
  expect(best.map(({ name }) => name)).toEqual(['before'])
})
