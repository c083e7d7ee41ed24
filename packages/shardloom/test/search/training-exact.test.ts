import type { Answer, Candidate } from '@shardloom/search'
import { describe, expect, test } from 'vitest'
import { loadSpec, type SpecInput } from '../../src/index.js'
import { questionOf, type SearchOptions } from '../../src/search/ask.js'
import { isRefusal } from '../../src/search/step-model.js'
import type { Node } from '../../src/search/step-nodes.js'
import { isMiss } from '../../src/search/step-points.js'
import { StepTree } from '../../src/search/step-tree.js'
import { answerOf, byScore, everyPoint } from './every-point.js'

const layer = (heads: number, kvHeads: number) => ({
  attention: { kind: 'grouped', heads, kvHeads, headDim: 64, bias: { qkv: false, out: false }, rotary: true },
  ffn: { kind: 'dense', intermediate: 2048, activation: 'swiglu', bias: false },
  residual: 'sequential',
  norms: 'pre',
})
/** Eleven layers, which no stages but one divide evenly, and an expensive head. */
const small: SpecInput = {
  model: {
    schema: 'shardloom.model/1',
    name: 'Eleven',
    family: 'llama',
    hidden: 512,
    vocab: 64_000,
    tiedEmbeddings: false,
    norm: { kind: 'rms', bias: false },
    maxPositions: 4096,
    layers: { layer: layer(8, 4) },
    order: { runs: [{ layer: 'layer', count: 11 }] },
  },
  cluster: { accelerator: 'h100-sxm', nodes: 2, perNode: 4 },
  batch: 48,
  seq: 2048,
  pricePerRankHour: 2,
  // So little is left of the device that some have to recompute.
  reserveBytes: 83.5e9,
}
const choices = {
  order: ['tp,ulysses,cp,dp,pp'],
  tp: [1, 2],
  cp: [1],
  ulysses: [1, 2],
  recompute: ['none', 'full', 'stages'],
  offload: ['none', 'activations'],
  sequenceParallel: [false, true],
  microbatch: [1, 6],
  zero: [0, 1, 3],
  dpReplicate: [1, 2],
  virtual: [1, 2],
}

const questions: SearchOptions[] = [
  {},
  { objective: 'throughput', limits: [{ metric: 'peak-memory', most: 2.2e9 }] },
  { objective: 'memory-headroom', limits: [{ metric: 'step-time', most: 1 }] },
  { objective: 'peak-memory' },
  { objective: 'cost', top: 40 },
  { objective: 'step-time', front: ['step-time', '-memory-headroom'] },
]

describe('the answer is that of trying everything', async () => {
  const loaded = await loadSpec(small)
  const known = new StepTree(loaded, questionOf(loaded, { ranks: 8, choices }))
  const every = everyPoint(known)

  test('there are more than a thousand points with names of their own, of which some break rules', () => {
    expect(every.length).toBeGreaterThan(1000)
    expect(every.some(({ point }) => isMiss(point))).toBe(true)
    const staged = every.filter(({ leaf }) => leaf.staging.group.choices['recompute'] === 'stages')
    expect(staged.filter(({ point }) => !isMiss(point)).length).toBeGreaterThan(10)
    expect(new Set(every.map(({ point }) => point.name)).size).toBe(every.length)
  })

  test('no bound is above what a point comes to', () => {
    let [tight, most] = [0, 0]
    for (const { leaf, point } of every) {
      if (isMiss(point) && point.rule !== 'memory') continue
      const { seconds } = known.figures(leaf)
      const { staging, cut } = leaf
      const { group, microbatch } = staging
      const above: Node[] = [
        { level: 'group', group },
        { level: 'slots', group, slots: [{ microbatch, stagings: [staging], wide: [staging] }], known: 'own' },
        { level: 'slot', group, microbatch, stagings: [staging], wide: [staging] },
        { level: 'staged', staging },
        { level: 'cut', staging, cut },
        { level: 'divided', staging, cut },
        { level: 'zero', staging, cut, sharing: [leaf.stored] },
        { ...leaf, level: 'stored' },
        leaf,
      ]
      for (const node of above) expect(known.bound(node), `${point.name} at ${node.level}`).toBeLessThanOrEqual(seconds)
      tight += known.bound(leaf) / seconds
      most++
    }
    expect(tight / most).toBeGreaterThan(0.5)
  })

  test.each(questions)('%j', async (options) => {
    const question = questionOf(loaded, { ranks: 8, choices, ...options })
    const tree = new StepTree(loaded, question, undefined, known.model)
    // What a rank may hold decides how many layers recompute, and limits say so.
    const points = everyPoint(tree).map(({ point }) => point)
    const kept = points.filter((point): point is Candidate => !isMiss(point)).sort(byScore)
    expect(kept.length).toBeGreaterThan(0)
    const found = await answerOf({ ...question, parts: 3 })
    expect(found.best.slice(0, question.top)).toEqual(kept.slice(0, question.top))
    expect(found.counts.total).toBe(points.length)
    const rejected = Object.values(found.counts.rejected).reduce((sum, count) => sum + count, 0)
    expect(rejected + found.counts.bounded + found.counts.evaluated).toBe(points.length)
    if (question.front) {
      const at = ({ metrics }: Candidate) =>
        question.front?.map((name) => metrics[name] ?? Number.NaN) as [number, number]
      const beats = (a: Candidate, b: Candidate) => {
        const [[ax, ay], [bx, by]] = [at(a), at(b)]
        return ax <= bx && ay <= by && (ax < bx || ay < by || a.name < b.name)
      }
      const unbeaten = kept.filter((one) => !kept.some((other) => other !== one && beats(other, one)))
      expect(found.front.map(({ name }) => name).sort()).toEqual(unbeaten.map(({ name }) => name).sort())
    }
    // Each part is bounded by what the same few groups gave, and by what it has itself found: how much is bounded differs, and so what is kept of others.
    const told = ({ best, front, counts }: Answer) => ({
      best: best.slice(0, question.top),
      front,
      total: counts.total,
    })
    for (const parts of question.front ? [1, 16] : [])
      expect(told(await answerOf({ ...question, parts }))).toEqual(told(found))
  })

  test('what is refused is refused by a rule that is named', () => {
    for (const { leaf, point } of every) {
      if (!isMiss(point)) continue
      const blocks = leaf.staging.blocksFor(leaf.cut.schedule)
      if (isRefusal(blocks)) expect(point.rule).toBe(blocks.rule)
    }
  })
})
