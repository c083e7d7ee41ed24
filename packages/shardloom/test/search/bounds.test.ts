import { expect, test } from 'vitest'
import { loadSpec, type SpecInput } from '../../src/index.js'
import { questionOf } from '../../src/search/ask.js'
import type { Leaf } from '../../src/search/step-nodes.js'
import { StepTree } from '../../src/search/step-tree.js'
import { answerOf } from './every-point.js'
import { draws, pathTo, randomPaths } from './random-leaves.js'

const on = (model: string, nodes: number, batch: number, seq: number): SpecInput => ({
  model,
  cluster: { preset: 'dgx-h100', nodes },
  batch,
  seq,
})
const large: readonly SpecInput[] = [
  on('llama-3.1-405b', 2048, 2048, 8192),
  on('mixtral-8x7b', 16, 256, 4096),
  on('deepseek-v3', 32, 512, 4096),
]

const usual = large.map((spec) => ({ ...spec, asked: {} }))
// Actions of pairs hide each other, of which bounds must not count on more than is computed.
const pairs = large.map((spec) => ({ ...spec, asked: { choices: { schedule: ['dualpipev'], pp: [2, 4, 8] } } }))
const l40s = {
  model: 'llama-3.1-8b',
  cluster: { preset: 'l40s-pcie', nodes: 4 },
  batch: 64,
  seq: 8192,
  asked: pairs[0]?.asked ?? {},
}

test.each([...usual, ...pairs, l40s])(
  'of $model, $asked, no bound is above what a candidate comes to',
  async ({ asked, ...spec }) => {
    const loaded = await loadSpec(spec)
    const tree = new StepTree(loaded, questionOf(loaded, asked))
    const memory = questionOf(loaded, { ...asked, objective: 'peak-memory' })
    const byMemory = new StepTree(loaded, memory, undefined, tree.model)
    let count = 0
    for (const path of randomPaths(tree, draws(11))) {
      if (++count > 10) break
      const leaf = path.at(-1) as Leaf // its last node
      const { seconds, bytes } = tree.figures(leaf)
      const { staging, cut, stored } = leaf
      const name = JSON.stringify(tree.choicesOf(leaf))
      for (const node of path) {
        expect(tree.bound(node), `${node.level} of ${name}`).toBeLessThanOrEqual(seconds)
        if (['group', 'slots', 'slot'].includes(node.level)) {
          expect(byMemory.bound(node), `memory of ${name}`).toBeLessThanOrEqual(bytes)
          expect(byMemory.bound(node), `memory of ${name}`).toBeGreaterThan(0)
        }
        // Sizes of microbatches that nothing is measured for, as nothing in them is of interest.
        for (const apart of tree.expand(node, 0) ?? [])
          if (apart.level === 'slot' && apart.microbatch === staging.microbatch)
            expect(tree.bound(apart), `unmeasured ${name}`).toBeLessThanOrEqual(seconds)
      }
      for (const least of [staging.leastBytes(cut), staging.leastBytes(cut, stored)])
        expect(least, name).toBeLessThanOrEqual(bytes)
    }
    expect(count).toBeGreaterThan(8)
  },
)

const dpFirst = { order: 'dp,tp,ulysses,cp,pp' }

test.each([
  // NCCL runs its fastest all-gathers (PAT) over ranks of which each has a node for itself: closer together they take longer.
  {
    ...on('llama-3.1-405b', 2048, 2048, 8192),
    choices: {
      ...dpFirst,
      tp: 2,
      cp: 1024,
      ulysses: 2,
      pp: 2,
      virtual: 8,
      microbatch: 16,
      schedule: 'interleaved1f1b',
    },
  },
  // Between the sockets of a node there is less than through its network cards.
  {
    ...on('llama-3.1-8b', 4, 64, 4096),
    cluster: { preset: 'l40s-pcie', nodes: 4 },
    choices: { ...dpFirst, tp: 4, cp: 4, pp: 1, recompute: 'full', microbatch: 32, zero: 2 },
  },
  // Stages further down that have less to do make up for what microbatches wait: 16 stages of three layers, and 16 of two.
  {
    ...on('llama-3.1-70b', 8, 512, 8192),
    choices: {
      order: 'tp,ulysses,cp,pp,dp',
      tp: 1,
      pp: 32,
      microbatch: 32,
      zero: 1,
      schedule: '1f1b',
      split: 'balanced',
    },
  },
  // What is shared moves in many collectives, of which one alone has all bytes but those of the others.
  {
    ...on('llama-3.1-8b', 4, 64, 4096),
    cluster: { preset: 'l40s-pcie', nodes: 4 },
    choices: { tp: 4, cp: 2, pp: 1, microbatch: 1, zero: 2 },
  },
])('no bound is above what $model in $choices comes to', async ({ choices, ...spec }) => {
  const loaded = await loadSpec(spec)
  const tree = new StepTree(loaded, questionOf(loaded, {}))
  const leaf = tree.leafOf(choices) as Leaf
  const { seconds } = tree.figures(leaf)
  const path = pathTo(tree, leaf)
  expect(path.at(-1)?.level).toBe('leaf')
  for (const node of path) expect(tree.bound(node), node.level).toBeLessThanOrEqual(seconds)
})

test.each<SpecInput & { ranks: number }>([
  { model: 'llama-3.1-70b', phase: 'decode', cluster: 'tpu-v5e-pod', batch: 8, seq: 32768, ranks: 64 },
  { model: 'llama-3.1-70b', phase: 'decode', cluster: 'cloudmatrix-384', batch: 64, seq: 8192, ranks: 64 },
  { model: 'llama-3.1-8b', phase: 'prefill', cluster: 'cloudmatrix-384', batch: 64, seq: 1024, ranks: 16 },
  { model: 'llama-3.1-8b', phase: 'prefill', cluster: 'dgx-h100', batch: 24, seq: 2048, ranks: 12 },
])('no bound of $phase on $cluster is above a candidate', async ({ ranks, ...spec }) => {
  const loaded = await loadSpec(spec)
  const tree = new StepTree(loaded, questionOf(loaded, { ranks }))
  let count = 0
  for (const path of randomPaths(tree, draws(5))) {
    if (++count > 100) break
    const leaf = path.at(-1) as Leaf // its last node
    const { seconds } = tree.figures(leaf)
    for (const node of path)
      expect(tree.bound(node), `${node.level} of ${JSON.stringify(tree.choicesOf(leaf))}`).toBeLessThanOrEqual(seconds)
  }
  expect(count).toBeGreaterThan(20)
})

test('of 70B in decode the best is found, whose ranks divide the cache that tp alone would repeat', async () => {
  const loaded = await loadSpec({
    model: 'llama-3.1-70b',
    phase: 'decode',
    cluster: 'tpu-v5e-pod',
    batch: 8,
    seq: 32768,
  })
  const question = questionOf(loaded, { ranks: 64 })
  const {
    best: [best],
  } = await answerOf(question)
  const own = new StepTree(loaded, question)
  const { score } = own.judge(own.leafOf({ tp: 64, dcp: 8, pp: 1, microbatch: 8 }) as Leaf)
  expect(best?.score).toBeLessThanOrEqual(score)
})

test('what a candidate takes depends on nothing that was asked before', async () => {
  const loaded = await loadSpec(on('deepseek-v3', 32, 512, 4096))
  const question = questionOf(loaded, {})
  // The same but for stages: experts lie on other ranks, which costs of layers that are shared have to tell.
  const choices = { order: 'dp,tp,ulysses,cp,pp', tp: 1, cp: 2, ulysses: 8, ep: 16, expertTp: 8, microbatch: 16 }
  const secondsOf = (tree: StepTree, pp: number) => tree.figures(tree.leafOf({ ...choices, pp }) as Leaf).seconds
  const both = new StepTree(loaded, question)
  const [one, two] = [secondsOf(both, 1), secondsOf(both, 2)]
  expect(secondsOf(new StepTree(loaded, question), 2)).toBeCloseTo(two, 6)
  expect(Math.abs(one / two - 1)).toBeGreaterThan(0.1)
})

test('whether degrees divide the positions is found for each of them, whatever was asked before', async () => {
  const spec = on('llama-3.1-405b', 2048, 2048, 8192)
  const loaded = await loadSpec(spec)
  const tree = new StepTree(loaded, questionOf(loaded, {}))
  const ruleOf = (cp: number, ulysses: number, tp: number) => {
    const leaf = tree.leafOf({ cp, ulysses, tp, pp: 1, sequenceParallel: tp > 1 })
    const { rule } = tree.judge(leaf as Leaf) as { rule?: string }
    return rule
  }
  // 8,192 positions over 32 · 128, 128 · 128, 64 · 64 · 2 and 128 · 32 · 4 ranks.
  expect(ruleOf(32, 128, 1)).not.toBe('INDIVISIBLE')
  expect(ruleOf(128, 128, 1)).toBe('INDIVISIBLE')
  expect(ruleOf(64, 64, 2)).not.toBe('INDIVISIBLE')
  expect(ruleOf(128, 32, 4)).toBe('INDIVISIBLE')
})
