import { nodesOf } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import { communicationTable } from '@shardloom/simulator'
import { describe, expect, it } from 'vitest'
import { communicationOf, expectedRows, grouped, latent, mixture, planned, type Rows, reference } from './prototype.js'

const sequence = { tensorRanks: true }
const names = { sp: 'ulysses', sp0: 'ulysses.0', sp1: 'ulysses.1' }

/**
 * Counts and bytes per rank (2-byte elements, 4-byte loss statistics) as an execution of the same layers on virtual ranks
 * gave them, where every loss, gradient and parameter equalled one device's.
 */
describe.skipIf(!reference)('the communication of an executed prototype', () => {
  it.each([
    ['TP2+SP', 't2', grouped(2), { tp: 2 }, sequence],
    ['TP2+SP+DP2', 't1', grouped(2), { dp: 2, tp: 2 }, sequence],
    ['Ulysses2', 't2', grouped(2), { ulysses: 2 }, {}],
    ['Ulysses2 TP2', 't2', grouped(4), { ulysses: 2, tp: 2 }, {}],
    ['Ulysses2 TP2+SP', 't2', grouped(4), { ulysses: 2, tp: 2 }, sequence],
    ['CP2 (all-gather KV)', 't1', grouped(2), { cp: 2 }, {}],
    ['CP2 x Ulysses2 zigzag', 't2', grouped(2), { cp: 2, ulysses: 2 }, {}],
    ['mesh order tp major, sp minor / CP inside TP', 't6', grouped(2), { tp: 2, cp: 2 }, sequence],
  ] as const)('%s', (title, part, model, degrees, options) => {
    const expected = expectedRows(title, names, part)
    expect(Object.keys(expected).length).toBeGreaterThan(3)
    expect(communicationOf(planned(model, degrees, options))).toEqual(expected)
  })

  const changed = (rows: Rows, changes: Readonly<Record<string, readonly [number, number] | undefined>>) =>
    Object.fromEntries(Object.entries({ ...rows, ...changes }).filter(([, row]) => row))

  it('Ulysses over 4 on 2 KV heads: queries and results move at once, not in two exchanges: 192 bytes, not 128 + 128', () => {
    const expected = expectedRows('Ulysses4 kv2 (sp0 kv, sp1 group)', names)
    expect(expected['fwd layer all-to-all ulysses.1']).toEqual([2, 256])
    expect(communicationOf(planned(grouped(2), { ulysses: 4 }))).toEqual(
      changed(expected, {
        'fwd layer all-to-all ulysses': [2, 2 * 192],
        'fwd layer all-to-all ulysses.0': [2, 256],
        'fwd layer all-to-all ulysses.1': undefined,
        'bwd layer all-to-all ulysses': [2, 2 * 192],
        'bwd layer all-to-all ulysses.0': [4, 512],
        'bwd layer all-to-all ulysses.1': undefined,
      }),
    )
  })

  it('experts of split width with SP: the ids of the chosen experts take 4 bytes here, 2 there', () => {
    const expected = expectedRows('expert-TP over tp + SP', names, 't3')
    const ids = (4 * 8 * 2) / 2 // batch · seq · topK, gathered over 2: half of them is sent, once in each direction
    expect(communicationOf(planned(mixture, { tp: 2 }, sequence))).toEqual(
      changed(expected, {
        'fwd layer all-gather tp': [4, 896 + 2 * ids],
        'bwd layer all-gather tp': [6, 1856 + 2 * ids],
      }),
    )
  })

  it('latent attention with SP: backward reads the joined keys, so that the rotary part is not gathered again', () => {
    const expected = expectedRows('MLA TP2+SP', names, 't3')
    expect(expected['bwd layer all-gather tp']).toEqual([6, 1152])
    const gathered = 4 * 8 * 4 * 2 // batch · seq · rope_dim, two bytes each, gathered over 2: half of it is sent
    expect(communicationOf(planned(latent, { tp: 2 }, sequence))).toEqual(
      changed(expected, { 'bwd layer all-gather tp': [5, 1152 - gathered / 2] }),
    )
  })
})

describe('weight gradients of what SP splits', () => {
  // Each rank of tp has seen its own tokens only: these gradients are partial sums over tp, which hand-written SP forgets.
  const reduced = (model: Parameters<typeof planned>[0], degrees: Readonly<Record<string, number>>, options = {}) => {
    const { program, operators } = planned(model, degrees, options)
    const rows = communicationTable(program, operators).filter(
      ({ op, axes }) => op === 'all-reduce' && axes.includes('tp'),
    )
    const gradients = rows.flatMap(({ nodes }) => nodes).filter((node) => node.includes('gradient/'))
    return gradients.map((node) => /(\w+\/\w+)\/(?:weight|gain)/.exec(node)?.[1] ?? node).sort()
  }

  it('norms and the router', () => {
    expect(reduced(mixture, { tp: 2 }, sequence)).toEqual([
      'gradient/final_norm',
      'layer/attention_norm',
      'layer/ffn_norm',
      'moe/router',
    ])
    expect(reduced(mixture, { tp: 2 })).toEqual([])
  })

  it('down-projections and norms of latent attention', () => {
    expect(reduced(latent, { tp: 2 }, sequence)).toEqual([
      'attention/k_rope',
      'attention/kv_down',
      'attention/kv_norm',
      'attention/q_down',
      'attention/q_norm',
      'gradient/final_norm',
      'layer/attention_norm',
      'layer/ffn_norm',
    ])
  })

  it('norms of query and key heads are partial over tp with SP or without: each rank has its own heads', () => {
    const model = grouped(2, { qkNorm: 'head' })
    for (const options of [sequence, {}]) {
      expect(reduced(model, { tp: 2 }, options)).toContain('attention/q_norm')
      expect(reduced(model, { tp: 2 }, options)).toContain('attention/k_norm')
    }
  })
})

describe('laws', () => {
  const cases = [
    [{ tp: 2 }, sequence],
    [{ tp: 4 }, sequence],
    [{ cp: 4 }, {}],
    [{ ulysses: 4 }, {}],
    [{ tp: 2, cp: 2, ulysses: 2, dp: 2 }, sequence],
  ] as const

  it.each(cases)('%j %j verifies', (degrees, options) => {
    for (const model of [grouped(4), mixture]) {
      const { program, operators } = planned(model, degrees, options)
      for (const report of verifyProgram(program, operators)) expect(report.violations, report.name).toEqual([])
    }
  })

  it('degree 1 adds no node', () => {
    const items = JSON.stringify(planned(grouped(2), {}).program.items)
    expect(JSON.stringify(planned(grouped(2), { cp: 1, ulysses: 1 }).program.items)).toBe(items)
  })

  it('SP sends what the all-reduces sent, and splits every operator between them (Korthikanti et al. 2022, 4.2.2)', () => {
    const forward = (options: object) => {
      const { program, operators } = planned(grouped(2), { tp: 2 }, options)
      const rows = communicationTable(program, operators).filter(({ region, segment }) => {
        return segment === 'forward' && region.endsWith('layer')
      })
      const whole = nodesOf(program.items).filter(
        ({ kind, partition, id }) =>
          kind === 'compute' &&
          id.startsWith('forward/layer/') &&
          !Object.values(partition?.splits ?? {}).flat().length,
      )
      return { bytes: rows.reduce((sum, row) => sum + row.bytesPerRank * row.nodes.length, 0), whole: whole.length }
    }
    expect(forward(sequence).bytes).toBe(forward({}).bytes)
    expect(forward({}).whole).toBeGreaterThan(0)
    expect(forward(sequence).whole).toBe(0)
  })

  it('Ulysses sends 1/n of what context parallel gathers of multi-head keys and values (Jacobs et al. 2023, 3.2)', () => {
    const bytes = (axis: string, degree: number) => {
      const { program, operators } = planned(grouped(4), { [axis]: degree })
      return communicationTable(program, operators)
        .filter(
          ({ segment, region, reason }) =>
            segment === 'forward' && region.endsWith('layer') && reason.tensor.match(/\/[kv](_rotary)?$/),
        )
        .reduce((sum, row) => sum + row.bytesPerRank * row.nodes.length, 0)
    }
    for (const degree of [2, 4]) expect(bytes('ulysses', degree) * degree).toBe(bytes('cp', degree))
  })
})
