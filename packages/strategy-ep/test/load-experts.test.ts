import { isShardloomError } from '@shardloom/core'
import { communicationTable, imbalance, measure, replication } from '@shardloom/simulator'
import { parseProgram, printProgram } from '@shardloom/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { experts, grouped, layerOf, modelOf } from '../../../test/proof/architectures.js'
import { planned, ranksOf } from '../../core/test/planned.js'
import type { Tokens } from '../src/index.js'

const model = modelOf('twelve experts', { layer: layerOf(grouped, { ...experts, experts: 12, topK: 3 }) })
const prefill = { phase: 'prefill', batch: 12, seq: 7 } as const
const decode = { phase: 'decode', batch: 12, seq: 7 } as const

function plan(tokens: Tokens | undefined, degrees: Readonly<Record<string, number>>, build: object = prefill) {
  return planned(model, { ...prefill, ...build }, degrees, tokens ? { ep: { tokens } } : {})
}

function sumOver({ program, operators }: ReturnType<typeof plan>, of: 'flops' | 'bytesRead'): bigint {
  return ranksOf(program).reduce((sum, rank) => sum + measure(program, operators, { rank })[of], 0n)
}

/** Loads of twelve experts, none of which gets more than a third of all. */
const loads = fc
  .array(fc.integer({ min: 0, max: 1000 }), { minLength: 12, maxLength: 12 })
  .map((list) => list.map((load) => load + 200))
const layouts = fc.constantFrom(
  { dp: 3, ep: 3 },
  { dp: 4, expertDp: 2, ep: 2 },
  { dp: 2, tp: 3, expertDp: 1, ep: 6 },
  { dp: 4, tp: 2, expertDp: 1, ep: 4, expertTp: 2 },
)

describe('tokens that are not spread evenly', () => {
  it('move work between ranks and leave its sum as it is, to the unit', () => {
    fc.assert(
      fc.property(loads, layouts, (counts, degrees) => {
        const [uneven, even] = [plan({ counts }, degrees), plan(undefined, degrees)]
        expect(sumOver(uneven, 'flops')).toBe(sumOver(even, 'flops'))
        expect(sumOver(uneven, 'flops')).toBe(replication(uneven.program, uneven.operators).flops)
      }),
      { numRuns: 25 },
    )
  })

  it('give each rank the FLOPs of the tokens that its experts get', () => {
    // 252 copies of tokens over four ranks of three experts: counts that sum to 252 are the tokens themselves.
    const counts = [84, 0, 0, 21, 21, 21, 60, 20, 4, 7, 7, 7]
    const { program, operators } = plan({ counts }, { dp: 4, ep: 4 })
    const even = plan(undefined, { dp: 4, ep: 4 })
    const rest = measure(even.program, operators).flops - 2n * 63n * perToken
    for (const [rank, tokens] of [84n, 63n, 84n, 21n].entries())
      expect(measure(program, operators, { rank }).flops).toBe(rest + 2n * tokens * perToken)
    expect(imbalance(program, 'experts', ['dp'])).toBeCloseTo(84 / 63, 12)
  })

  it('send what the experts of other ranks get, and send back what their own made of it', () => {
    const counts = [84, 0, 0, 21, 21, 21, 60, 20, 4, 7, 7, 7]
    const { program, operators } = plan({ counts }, { dp: 4, ep: 4 })
    const sent = (rank: number) =>
      communicationTable(program, operators, { rank }).flatMap(({ bytesPerRank, nodes }) =>
        nodes.map(() => bytesPerRank),
      )
    const row = 8 * 2 // hidden × bf16
    // Of 63 copies that a rank has, a third, a quarter, a third and a twelfth stay; its experts' tokens of others go back.
    for (const [rank, tokens] of [84, 63, 84, 21].entries())
      expect(sent(rank).map(Math.round)).toEqual([Math.round(63 * (1 - tokens / 252) * row), ((tokens * 3) / 4) * row])
    const all = [0, 1, 2, 3].map(sent)
    const sum = (which: number) => all.reduce((total, each) => total + (each[which] ?? 0), 0)
    expect(sum(0)).toBeCloseTo(sum(1), 6)
  })

  it('stand in the text of a program', () => {
    const { program } = plan({ powerLaw: 1 }, { dp: 3, ep: 3 })
    const text = printProgram(program)
    expect(text).toMatch(/^loads experts=\[1073741824,/m)
    expect(parseProgram(text).loads).toEqual(program.loads)
  })

  it('a power law of exponent 0 is even; of exponent 1 the first expert gets one of the harmonic sum', () => {
    const even = plan(undefined, { dp: 3, ep: 3 })
    expect(plan({ powerLaw: 0 }, { dp: 3, ep: 3 }).program).toEqual(even.program)
    const { program } = plan({ powerLaw: 1 }, { dp: 12, ep: 12 })
    const harmonic = Array.from({ length: 12 }, (_, index) => 1 / (index + 1)).reduce((a, b) => a + b)
    expect(imbalance(program, 'experts', ['dp'])).toBeCloseTo(12 / harmonic, 6)
  })

  it('decode reads the experts that are touched: fewer where tokens crowd', () => {
    const bytes = (tokens: Tokens | undefined) => sumOver(plan(tokens, { dp: 4, ep: 4 }, decode), 'bytesRead')
    expect(bytes({ counts: [84, 84, 84, 0, 0, 0, 0, 0, 0, 0, 0, 0] })).toBeLessThan(bytes({ powerLaw: 0.5 }))
    expect(bytes({ powerLaw: 0.5 })).toBeLessThan(bytes(undefined))
  })
})

/** Gate, up and down of one expert: three products of hidden × ffn, and six FLOPs of the activation for each of ffn. */
const perToken = 3n * 2n * 8n * 12n + 6n * 12n

it('what cannot be spread is refused with what can', () => {
  const refusal = (tokens: Tokens) => {
    try {
      plan(tokens, { dp: 3, ep: 3 })
    } catch (error) {
      if (isShardloomError(error)) return `${error.code} ${error.message} ${error.help}`
    }
    return ''
  }
  expect(refusal({ counts: [1, 2] })).toBe(
    'TOKENS Cannot spread tokens over experts by `ep.tokens`: 2 counts are given for 12 experts. Give 12 counts.',
  )
  expect(refusal({ counts: Array.from({ length: 12 }, () => 0) })).toContain('all counts are 0')
  expect(refusal({ powerLaw: 3 })).toMatch(/expert 0 would get 2\d\d % of the tokens, each of which has 3 experts/)
})
