import { isShardloomError } from '@shardloom/core'
import { imbalance, measure, replication } from '@shardloom/simulator'
import { parseProgram, printProgram } from '@shardloom/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { experts, grouped, layerOf, modelOf } from '../../../test/proof/architectures.js'
import { type PlannedOptions, planned, ranksOf } from '../../core/test/planned.js'
import type { ExpertParallelOptions } from '../src/index.js'

const model = modelOf('twelve experts', { layer: layerOf(grouped, { ...experts, experts: 12, topK: 3 }) })
const prefill = { phase: 'prefill', batch: 12, seq: 7 } as const

function plan(degrees: Readonly<Record<string, number>>, ep: ExpertParallelOptions = {}, build: object = prefill) {
  return planned(model, { ...prefill, ...build }, degrees, { ep })
}

type Plan = ReturnType<typeof plan>

function slotsOf({ program }: Plan): readonly number[] {
  return program.tensors.get('layer/moe/experts/gate/weight')?.copies?.of ?? []
}

const sumOver = ({ program, operators }: Plan, of: 'flops' | 'parameters') =>
  ranksOf(program).reduce((sum, rank) => sum + measure(program, operators, { rank })[of], 0n)

/** The example of DeepSeek's EPLB (github.com/deepseek-ai/EPLB, README): the loads of twelve experts, 16 slots. */
const counts = [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86]

describe('experts that are held more than once', () => {
  it('are those with the most tokens: 1, 4, 5 and 10 in the example of EPLB', () => {
    const slots = slotsOf(plan({ dp: 4, ep: 4 }, { redundant: 4, tokens: { counts } }))
    const twice = slots.filter((expert, slot) => slots.indexOf(expert) !== slot)
    expect(twice.sort((a, b) => a - b)).toEqual([1, 4, 5, 10])
    expect(new Set(slots).size).toBe(12)
  })

  it('share the tokens of their expert: its FLOPs move to the ranks of its copies', () => {
    // Four experts more than their even share; 12 + 4 slots over 16 ranks: each rank has one slot.
    const given = [6, 6, 6, 6, 3, 3, 3, 3, 3, 3, 3, 3]
    const degrees = { dp: 4, tp: 4, expertDp: 1, ep: 16, expertTp: 1 }
    const { program } = plan(degrees, { redundant: 4, tokens: { counts: given } })
    expect(imbalance(program, 'experts', ['dp', 'tp'])).toBeUndefined() // every copy and every expert has 3
  })

  it('are the first ones where all get as many tokens, and ranks then differ by less than a slot', () => {
    const even = plan({ dp: 4, ep: 4 }, { redundant: 4 })
    const slots = slotsOf(even)
    expect(slots.filter((expert, slot) => slots.indexOf(expert) !== slot).sort()).toEqual([0, 1, 2, 3])
    expect(imbalance(even.program, 'experts', ['dp'])).toBe(1) // two whole experts and two halves on each rank
  })

  it('balance what a power law unbalances', () => {
    const tokens = { powerLaw: 0.6 }
    const [bare, held] = [0, 4].map((redundant) => plan({ dp: 4, ep: 4 }, { tokens, redundant }))
    const of = (each: Plan | undefined) => (each && imbalance(each.program, 'experts', ['dp'])) ?? 0
    expect(of(bare)).toBeGreaterThan(1.5)
    expect(of(held)).toBeLessThan(1.1)
  })

  it('change no sum of FLOPs; parameters and replication count each copy (property)', () => {
    const layouts = fc.constantFrom(
      { dp: 3, ep: 3 },
      { dp: 4, expertDp: 2, ep: 2 },
      { dp: 2, tp: 3, expertDp: 1, ep: 6 },
      { dp: 4, tp: 2, expertDp: 1, ep: 4, expertTp: 2 },
    )
    const loads = fc.array(fc.integer({ min: 200, max: 900 }), { minLength: 12, maxLength: 12 })
    fc.assert(
      fc.property(loads, layouts, fc.integer({ min: 1, max: 3 }), (counts, degrees, times) => {
        const redundant = degrees.ep * times
        const [held, bare] = [redundant, 0].map((redundant) => plan(degrees, { redundant, tokens: { counts } }))
        if (!held || !bare) throw new Error('both are planned')
        expect(sumOver(held, 'flops')).toBe(sumOver(bare, 'flops'))
        const one = 2n * 3n * 8n * 12n // both layers: gate, up and down of hidden × ffn
        const repeated = BigInt('expertDp' in degrees ? (degrees.expertDp ?? 1) : 1)
        const more = BigInt(redundant) * one * repeated
        expect(sumOver(held, 'parameters') - sumOver(bare, 'parameters')).toBe(more)
        const [a, b] = [held, bare].map(({ program, operators }) => replication(program, operators))
        expect((a?.parameters ?? 0n) - (b?.parameters ?? 0n)).toBe(more)
        expect((a?.replicatedParameters ?? 0n) - (b?.replicatedParameters ?? 0n)).toBe(more)
        const slots = slotsOf(held)
        expect([slots.length, new Set(slots).size]).toEqual([12 + redundant, 12])
      }),
      { numRuns: 20 },
    )
  })

  it('stand in the text of a program, and are placed once', () => {
    const { program, operators, composition } = plan({ dp: 4, ep: 4 }, { redundant: 4, tokens: { counts } })
    const text = printProgram(program)
    expect(text).toMatch(/copies 0 of \[/)
    expect(parseProgram(text)).toEqual(program)
    const own = composition.passes.filter(({ name }) => name.startsWith('ep/'))
    for (const pass of own) expect(pass.run(program, { operators, warn: () => {} }), pass.name).toBe(program)
  })
})

it('what cannot be held more than once is refused with what can', () => {
  const refusal = (degrees: Readonly<Record<string, number>>, ep: ExpertParallelOptions, more: object = {}) => {
    try {
      const { uneven, ...build } = more as { uneven?: NonNullable<PlannedOptions['uneven']> } // the rest is of the build
      planned(model, { ...prefill, ...build }, degrees, { ep, ...(uneven && { uneven }) })
    } catch (error) {
      if (isShardloomError(error)) return `${error.code} ${error.message} ${error.help}`
    }
    return ''
  }
  expect(refusal({ dp: 3, ep: 3 }, { redundant: 2 })).toBe(
    'INDIVISIBLE Cannot split 14 experts over axis `ep` (degree 3): 3 does not divide them, copies counted. Use 1, 2, 7 or 14, hold 3 redundant experts, or set `uneven: ragged` to let shares differ by one.',
  )
  expect(refusal({ dp: 3, ep: 3 }, { redundant: 2 }, { uneven: 'ragged' })).toBe('')
  expect(refusal({ dp: 3, ep: 3 }, { redundant: 3 }, { phase: 'training' })).toMatch(
    /^REDUNDANT .* copies would need one gradient\. Leave `ep.redundant` out, or plan prefill or decode\.$/,
  )
  // Every rank would hold every expert, and further copies of some.
  expect(refusal({ dp: 3, ep: 3 }, { redundant: 10_000_000 })).toMatch(
    /^REDUNDANT .* all 12 experts\. Use at most 24\.$/,
  )
  expect(refusal({ dp: 3, ep: 3 }, { redundant: 3, where: { body: 'layer' } })).toMatch(/^REDUNDANT .*`ep.where`/)
})
