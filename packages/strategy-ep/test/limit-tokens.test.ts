import { isShardloomError } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import { communicationTable, measure } from '@shardloom/simulator'
import { describe, expect, it } from 'vitest'
import { experts, grouped, layerOf, modelOf } from '../../../test/proof/architectures.js'
import { planned, ranksOf } from '../../core/test/planned.js'
import type { ExpertParallelOptions } from '../src/index.js'

/** One layer of twelve experts, of which a token has three; hidden 8, ffn 12. */
const model = modelOf(
  'twelve experts',
  { layer: layerOf(grouped, { ...experts, experts: 12, topK: 3 }) },
  { order: { runs: [{ layer: 'layer', count: 1 }] } },
)
const prefill = { phase: 'prefill', batch: 12, seq: 7 } as const
const tokens = 12 * 7

function plan(ep: ExpertParallelOptions, build: object = prefill, degrees = { dp: 4, ep: 4 }) {
  return planned(model, { ...prefill, ...build }, degrees, { ep })
}

type Plan = ReturnType<typeof plan>

const sum = ({ program, operators }: Plan, of: 'flops' | 'bytesRead') =>
  ranksOf(program).reduce((all, rank) => all + measure(program, operators, { rank })[of], 0n)

const products = ({ program, operators }: Plan) =>
  ranksOf(program).reduce((all, rank) => all + measure(program, operators, { rank }).flopsByClass.linear, 0n)

/** Gate, up and down of one token at one expert. */
const perToken = 3n * 2n * 8n * 12n

/** Fedus et al. 2022, equation 3, with three experts per token. */
const capacity = (factor: number) => BigInt(Math.ceil((factor * tokens * 3) / 12))

describe('a capacity factor', () => {
  it('makes every expert compute a buffer of ceil(factor · tokens · topK / experts)', () => {
    const even = plan({})
    for (const factor of [0.5, 1, 1.25, 1.3, 2]) {
      const more = 12n * capacity(factor) - BigInt(tokens) * 3n
      expect(products(plan({ capacityFactor: factor })) - products(even), `${factor}`).toBe(more * perToken)
    }
  })

  it('sends whole buffers: 12 experts · capacity · hidden in bf16, of which three quarters leave a rank', () => {
    for (const factor of [1, 1.3]) {
      const { program, operators } = plan({ capacityFactor: factor })
      const rows = communicationTable(program, operators)
      const buffer = 12 * Number(capacity(factor)) * 8 * 2
      expect(rows.map(({ op }) => op)).toEqual(rows.map(() => 'all-to-all'))
      expect(rows.reduce((all, { count }) => all + count, 0)).toBe(2)
      for (const { payloadBytes, bytesPerRank } of rows) {
        expect(payloadBytes).toBeCloseTo(buffer, 6)
        expect(bytesPerRank).toBeCloseTo(((buffer / 4) * 3) / 4, 6)
      }
    }
  })

  it('of 1 counts what is counted without one, where capacities are whole; experts without tokens are read too', () => {
    expect(sum(plan({ capacityFactor: 1 }), 'flops')).toBe(sum(plan({}), 'flops'))
    const decode = { phase: 'decode', batch: 4, seq: 7 }
    const read = (ep: ExpertParallelOptions) => sum(plan(ep, decode), 'bytesRead')
    expect(read({ capacityFactor: 1 })).toBeGreaterThan(read({}))
  })

  it('never gives an expert more room than there are tokens, of each of which it has at most one copy', () => {
    expect(sum(plan({ capacityFactor: 4 }), 'flops')).toBe(sum(plan({ capacityFactor: 100 }), 'flops'))
  })

  it('evens out what an expert gets, and keeps every rule in training', () => {
    const counts = [84, 84, 84, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    const training = { phase: 'training', batch: 12, seq: 7 } as const
    const { program, operators } = plan({ capacityFactor: 1.5, tokens: { counts } }, training)
    const flops = ranksOf(program).map((rank) => measure(program, operators, { rank }).flops)
    expect(new Set(flops).size).toBe(1)
    for (const { name, violations } of verifyProgram(program, operators)) expect(violations, name).toEqual([])
  })

  it('says what share is dropped', () => {
    const told = (ep: ExpertParallelOptions) => {
      const { program, operators, composition } = plan({ ...ep })
      const warnings: string[] = []
      const pass = composition.passes.find(({ name }) => name === 'ep/limit-tokens')
      const bare = plan({ ...(ep.tokens && { tokens: ep.tokens }) }).program
      pass?.run(bare, { operators, warn: (message) => warnings.push(message) })
      expect(pass?.run(program, { operators, warn: () => {} })).toBe(program)
      return warnings
    }
    expect(told({ capacityFactor: 1.25 })).toEqual([])
    expect(told({ capacityFactor: 0.5 })).toEqual([expect.stringContaining('drops 47.6 % of')]) // room for 11 of 21
    // Three experts get 84 each and have room for 32.
    const counts = [84, 84, 84, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    const share = Math.round((1000 * 3 * (84 - 32)) / 252) / 10
    expect(told({ capacityFactor: 1.5, tokens: { counts } })).toEqual([expect.stringContaining(`drops ${share} % of`)])
  })
})

it('what cannot be limited is refused', () => {
  const refusal = (ep: ExpertParallelOptions) => {
    try {
      plan(ep)
    } catch (error) {
      if (isShardloomError(error)) return `${error.code} ${error.message} ${error.help}`
    }
    return ''
  }
  expect(refusal({ capacityFactor: 0 })).toMatch(/^CAPACITY .* it is 0\. It is a number above 0/)
  expect(refusal({ capacityFactor: 1, redundant: 4 })).toMatch(/^CAPACITY .*`ep.redundant`/)
  expect(refusal({ capacityFactor: 1, where: { body: 'layer' } })).toMatch(/^CAPACITY .*`ep.where`/)
})
