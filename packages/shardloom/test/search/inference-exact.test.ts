import type { Candidate } from '@shardloom/search'
import { describe, expect, test } from 'vitest'
import { loadSpec, type SpecInput } from '../../src/index.js'
import { questionOf, type SearchOptions } from '../../src/search/ask.js'
import type { Node } from '../../src/search/step-nodes.js'
import { isMiss } from '../../src/search/step-points.js'
import { StepTree } from '../../src/search/step-tree.js'
import { answerOf, byScore, everyPoint } from './every-point.js'

const model = {
  schema: 'shardloom.model/1',
  name: 'Seven',
  family: 'mixtral',
  hidden: 512,
  vocab: 64_000,
  tiedEmbeddings: true,
  norm: { kind: 'rms', bias: false },
  maxPositions: 4096,
  layers: {
    layer: {
      attention: {
        kind: 'grouped',
        heads: 8,
        kvHeads: 4,
        headDim: 64,
        bias: { qkv: false, out: false },
        rotary: true,
      },
      ffn: {
        kind: 'moe',
        experts: 8,
        topK: 2,
        intermediate: 1024,
        activation: 'swiglu',
        bias: false,
        routerBias: false,
        correctionBias: false,
      },
      residual: 'sequential',
      norms: 'pre',
    },
  },
  order: { runs: [{ layer: 'layer', count: 7 }] },
}
const small = { cluster: { accelerator: 'h100-sxm', nodes: 2, perNode: 4 }, pricePerRankHour: 2 }
const of: Readonly<Record<'prefill' | 'decode', SpecInput>> = {
  prefill: { ...small, model, phase: 'prefill', batch: 24, seq: 1024 } as SpecInput,
  decode: { ...small, model, phase: 'decode', batch: 192, seq: 2048 } as SpecInput,
}
const choices = {
  prefill: {
    order: ['tp,ulysses,cp,dp,pp'],
    tp: [1, 2],
    cp: [1],
    ulysses: [1, 2],
    expertTp: [1],
    microbatch: [1, 3, 12],
  },
  decode: { order: ['tp,ulysses,cp,dp,pp'], tp: [1, 2, 8], ep: [1, 2], expertTp: [1], microbatch: [1, 6, 24, 96] },
}
const questions: readonly (readonly ['prefill' | 'decode', SearchOptions])[] = [
  ['prefill', {}],
  ['prefill', { objective: 'peak-memory', limits: [{ metric: 'ttft', most: 0.05 }] }],
  ['prefill', { objective: 'throughput', front: ['ttft', '-memory-headroom'] }],
  ['decode', {}],
  ['decode', { objective: 'cost', limits: [{ metric: 'tpot', most: 0.004 }], top: 20 }],
  ['decode', { objective: 'throughput', front: ['tpot', 'peak-memory'] }],
  ['decode', { objective: 'ranks', limits: [{ metric: 'tokens-per-second', least: 60_000 }] }],
  ['decode', { objective: 'tpot', choices: { ranks: [2, 8] }, limits: [{ metric: 'ranks', least: 4 }] }],
]

describe('the answer is that of trying everything', () => {
  test.each(questions)('%s %j', async (phase, options) => {
    const loaded = await loadSpec(of[phase])
    const question = questionOf(loaded, {
      ...options,
      choices: { ...choices[phase], ...options.choices },
      ranks: 8,
      parts: 3,
    })
    const tree = new StepTree(loaded, question)
    const every = everyPoint(tree)
    expect(every.length).toBeGreaterThan(60)
    expect(new Set(every.map(({ point }) => point.name)).size).toBe(every.length)
    for (const { leaf, point } of every) {
      if (isMiss(point)) continue
      const { group, microbatch } = leaf.staging
      const above: Node[] = [
        { level: 'root', groups: [group] },
        { level: 'group', group },
        {
          level: 'slot',
          group,
          microbatch,
          stagings: [leaf.staging],
          wide: [leaf.staging],
        },
        { level: 'staged', staging: leaf.staging },
        { level: 'cut', staging: leaf.staging, cut: leaf.cut },
        { level: 'divided', staging: leaf.staging, cut: leaf.cut },
        { ...leaf, level: 'stored' },
        leaf,
      ]
      for (const node of above) {
        expect(tree.bound(node), `${point.name} at ${node.level}`).toBeLessThanOrEqual(point.score)
        expect(tree.reject(node), `${point.name} at ${node.level}`).toBeUndefined()
      }
    }
    const kept = every.map(({ point }) => point).filter((point): point is Candidate => !isMiss(point))
    expect(kept.length).toBeGreaterThan(0)
    const found = await answerOf(question)
    expect(found.best.slice(0, question.top)).toEqual(kept.sort(byScore).slice(0, question.top))
    const { total, rejected, bounded, evaluated } = found.counts
    expect(total).toBe(every.length)
    expect(Object.values(rejected).reduce((sum, count) => sum + count, bounded + evaluated)).toBe(total)
  })

  test('of a limit that nothing keeps the nearest miss is that of all', async () => {
    const loaded = await loadSpec(of.decode)
    const limits = [{ metric: 'peak-memory', most: 1e6 }]
    const question = questionOf(loaded, { ranks: 8, limits, choices: choices.decode, parts: 3 })
    const tree = new StepTree(loaded, question)
    const found = await answerOf(question)
    const misses = everyPoint(tree).flatMap(({ point }) =>
      isMiss(point) && point.rule === 'peak-memory<=1000000' ? [point.by] : [],
    )
    expect(found.best.slice(0, question.top)).toEqual([])
    expect(found.misses.find(({ rule }) => rule === 'peak-memory<=1000000')?.by).toBe(Math.min(...misses))
  })
})
