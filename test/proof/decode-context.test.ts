/** Decode-context parallelism: the positions of the KV cache over ranks of `tp`, position by position in turn. */
import { nodesOf } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import type { BuildOptions, ModelArchitecture } from '@shardloom/models'
import { sequenceParallel } from '@shardloom/strategy-sp'
import { mutationReport } from '@shardloom/testing'
import { describe, expect, test } from 'vitest'
import { architectures, dense, experts, grouped, latent, layerOf, modelOf } from './architectures.js'
import { generate, generatePlainly, promptsOf, speculate } from './generate.js'
import { type Degrees, phases, prove, referenceOf } from './prove.js'
import { and } from './strategies.js'

const dcp = and(sequenceParallel())
const decode: BuildOptions = { ...phases.decode, batch: 2, steps: 4 }

const wide = { hidden: 8, vocab: 16 }
const ffn = { ...dense, intermediate: 16 }
const groupedOf = (kvHeads: number, more: Partial<typeof grouped> = {}) =>
  modelOf(`${kvHeads} KV heads`, { layer: layerOf({ ...grouped, heads: 16, kvHeads, ...more }, ffn) }, wide)
const mla = modelOf(
  'latent',
  { layer: layerOf({ ...latent, heads: 16, queryRank: 6 }, { ...experts, intermediate: 16 }) },
  wide,
)

const cases: readonly (readonly [ModelArchitecture, Degrees])[] = [
  [groupedOf(1), { tp: 2, dcp: 2 }],
  [groupedOf(2), { tp: 4, dcp: 2 }],
  [groupedOf(1), { tp: 4, dcp: 4 }],
  [groupedOf(2), { tp: 8, dcp: 2 }],
  [groupedOf(2), { tp: 8, dcp: 4 }],
  [groupedOf(1), { tp: 8, dcp: 4 }],
  [groupedOf(2, { window: 4 }), { tp: 8, dcp: 4 }],
  [mla, { tp: 2, dcp: 2 }],
  [mla, { tp: 4, dcp: 2 }],
  [mla, { tp: 8, dcp: 4 }],
  [mla, { dp: 2, tp: 4, dcp: 4 }],
]

const kinds = (program: Parameters<typeof verifyProgram>[0], module: string) =>
  nodesOf(program.items).flatMap(({ op, communication, module: own }) => {
    if (!communication || own !== module) return []
    return [`${op}${communication.reduction === 'lse' ? '(lse)' : ''}`]
  })

describe.each(cases.map(([model, degrees]) => [model.name, JSON.stringify(degrees), model, degrees] as const))(
  '%s, %s',
  (_, __, model, degrees) => {
    test('every tensor of every step is that of one device', () => {
      for (const attention of ['flash', 'materialised'] as const) {
        const { program, operators } = prove(model, { ...decode, attention }, degrees, dcp)
        expect(verifyProgram(program, operators).flatMap(({ violations }) => violations)).toEqual([])
        // Queries are gathered, what ranks attended to is merged, and the rest is tensor parallelism.
        expect(kinds(program, 'attention')).toEqual(['all-gather', 'reduce-scatter(lse)', 'all-reduce'])
      }
    })

    test('prefill, then decode steps generate what one device does', () => {
      const prompts = promptsOf(model, 4, 5)
      const { dcp: _, ...others } = degrees
      const pools = { prefill: { degrees: others }, decode: { degrees, options: dcp } }
      expect(generate(model, prompts, 5, pools)).toEqual(generatePlainly(model, prompts, 5))
    })
  },
)

// Three ranks too, and every feature of attention: windows and chunks whose slots are used again, sinks, biases, norms.
// Nothing is held twice where each head has keys of its own.
const sharing = architectures.filter(({ name }) => !name.startsWith('multi-head'))

describe.each(sharing.map((model) => [model.name, model] as const))('%s', (name, model) => {
  const isLatent = Object.values(model.layers).some(({ attention }) => attention.kind === 'latent')
  const heads = name.startsWith('multi-query') || isLatent ? [3, 3] : [4, 2]
  test(`dcp ${heads[1]} in tp ${heads[0]}`, () => {
    const [tp = 1, degree = 1] = heads
    const { program, operators } = prove(model, decode, { tp, dcp: degree }, dcp)
    expect(verifyProgram(program, operators).flatMap(({ violations }) => violations)).toEqual([])
    expect(kinds(program, 'attention')).toContain('reduce-scatter(lse)')
  })
})

test('batches in flight, and sequences over dp', () => {
  prove(groupedOf(2), { ...decode, batch: 4, microbatches: 2 }, { dp: 2, tp: 4, dcp: 2 }, dcp)
})

test('experts over the same ranks', () => {
  prove(mla, { ...decode, batch: 4 }, { dp: 2, tp: 4, dcp: 4, expertDp: 2, ep: 4, expertTp: 1 }, dcp)
})

test('drafts write several slots in one step, and some of them again', () => {
  const model = groupedOf(2)
  const prompts = promptsOf(model, 4, 3)
  const plain = generatePlainly(model, prompts, 9)
  const drafts = (sequence: number, length: number) => [0, 1, 2].map((index) => plain[sequence]?.[length + index] ?? 0)
  const pool = { degrees: { tp: 4, dcp: 2 }, options: dcp, build: { draft: 3, keep: 2 } }
  const { chosen } = speculate(model, prompts, 3, pool, drafts)
  for (const [step, rows] of chosen.entries())
    expect(rows).toEqual(plain.map((tokens) => tokens.slice(1 + 2 * step, 5 + 2 * step)))
})

test('every single mistake in it is found', () => {
  const model = groupedOf(2, { headDim: 2 })
  const build = { ...decode, steps: 2 }
  const { program, operators } = prove(model, build, { tp: 4, dcp: 2 }, dcp)
  const report = mutationReport(referenceOf(model, build), program, operators)
  expect(report.missed).toEqual([])
  expect(report.verifier).toBe(report.made)
  // To gather twice, or from more ranks than needed, changes no number: the verifier alone sees it.
  for (const { node } of report.harmless) expect(node).toContain('/all-gather')
  expect(report.made).toBeGreaterThan(30)
})
