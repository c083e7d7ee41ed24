/**
 * The communication of a throw-away prototype that was executed on virtual ranks and compared with one device, case by
 * case: what we derive is alike in kind, count, group and bytes, or the difference is explained here.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Program } from '@shardloom/core'
import type { BuildOptions, ModelArchitecture } from '@shardloom/models'
import { type SequenceParallelOptions, sequenceParallel } from '@shardloom/strategy-sp'
import { describe, expect, test } from 'vitest'
import type { PlannedOptions } from '../packages/core/test/planned.js'
import { models, type Row, type Rows, readCases, rowsOf } from './expected-communication.js'
import { type Degrees, prove } from './proof/prove.js'

const reference = process.env.SHARDLOOM_REFERENCE
const cases =
  reference === undefined
    ? new Map<string, Rows>()
    : readCases(readFileSync(join(reference, 'design/prototype/expected-communication.txt'), 'utf8'))

interface Compared {
  readonly model: ModelArchitecture
  /** Default: a training step. */
  readonly build?: BuildOptions
  /** The module that the table has, where it is not the whole model. */
  readonly module?: string
  /** Axes, outermost first. */
  readonly degrees: Degrees
  readonly options?: Omit<PlannedOptions, 'plugins'> & { readonly sp?: SequenceParallelOptions }
  /** What the table calls our atoms. */
  readonly names?: Readonly<Record<string, string>>
  /** Rows in which we differ: ours (null: we have none), and why. */
  readonly differs?: Readonly<Record<string, readonly [ours: Row | null, why: string]>>
}

const { dense, fourHeads, moe, shared, mixed, latent } = models
const training = { phase: 'training', batch: 4, seq: 8, gradientDtype: 'bf16' } as const
const megatron = { sp: { tensorRanks: true } }
const ulysses = { ulysses: 'sp' }
const halves = { 'tp.0': 'tp0', 'tp.1': 'tp1' }
const ulyssesHalves = { 'ulysses.0': 'sp0', 'ulysses.1': 'sp1' }

const row = (count: number, bytes: number): Row => ({ count, bytes })

const indices =
  'an index of an expert has four bytes, an activation two: where 32 tokens gather two indices each, they count 64 bytes more'
const flowed =
  'the table lets placements flow to operators that nobody named; preference lists exchange heads for positions on both sides of attention, as its own section t2 does'
const once =
  'an all-to-all over both factors at once moves what two after each other would, but each element once: 640 bytes instead of 768'
const updated = 'the table has no optimizer: each updated weight is gathered once, as many bytes as were scattered'
const whole =
  'parameters are stored over all ranks that repeat them, dp and cp (experts: what `ep` leaves of these), not over one factor of dp: an eighth of the memory instead of half, and one reduce-scatter instead of a reduce-scatter and an all-reduce'
const weights =
  'the table merges what ranks attended to, but leaves out the weights of that merge: one number of four bytes for each of two sequences and two heads, gathered from the other rank'
const early =
  'the table has all ranks that share an expert exchange their terms of its results, sums what comes back and then reduces it; as in backward, and in Megatron-Core, each exchanges a share of the sum: a reduction more (of shared experts too, which the table adds before), and no gather of what the ranks of a token weigh'
const rotaryKey =
  'the prototype spreads the shared rotary key over heads by a product with a weight, whose gradient reads the key; there is no such weight'

const compared: Readonly<Record<string, Compared>> = {
  't1/TP2': { model: dense, degrees: { tp: 2 } },
  't1/TP2+SP': { model: dense, degrees: { tp: 2 }, options: megatron },
  't1/DP2': { model: dense, degrees: { dp: 2 } },
  't1/TP2+SP+DP2': { model: dense, degrees: { dp: 2, tp: 2 }, options: megatron },
  't1/Ulysses2': {
    model: dense,
    degrees: { ulysses: 2 },
    names: ulysses,
    differs: {
      'fwd layer all-to-all over sp': [row(4, 768), flowed],
      'fwd layer reduce-scatter over sp': [null, flowed],
      'bwd layer all-gather over sp': [null, flowed],
      'bwd layer all-to-all over sp': [row(4, 768), flowed],
      'bwd layer all-reduce over sp': [row(9, 1184), flowed],
    },
  },
  't1/CP2 (all-gather KV)': { model: dense, degrees: { cp: 2 } },
  't1/CP2 x Ulysses2 x TP1 zigzag': {
    model: dense,
    degrees: { cp: 2, ulysses: 2 },
    names: ulysses,
    differs: {
      'fwd layer all-to-all over sp': [row(4, 384), flowed],
      'fwd layer all-gather over sp': [null, flowed],
      'bwd layer all-gather over sp': [null, flowed],
      'bwd layer all-reduce over cp.sp': [row(9, 1776), flowed],
      'bwd layer all-reduce over cp': [null, flowed],
    },
  },
  't1/TP2 x Ulysses2 (order on heads)': {
    model: fourHeads,
    degrees: { ulysses: 2, tp: 2 },
    names: ulysses,
    differs: {
      'fwd layer all-to-all over sp': [row(4, 768), flowed],
      'fwd layer reduce-scatter over sp': [null, flowed],
      'bwd layer all-gather over sp': [null, flowed],
      'bwd layer all-to-all over sp': [row(4, 768), flowed],
      'bwd layer all-reduce over sp': [row(9, 992), flowed],
    },
  },
  't1/GQA kv2 tp4 = tp0(kv) x tp1(group)': { model: dense, degrees: { tp: 4 }, names: halves },
  't1/Ulysses4 kv2 = sp0 x sp1': {
    model: dense,
    degrees: { ulysses: 4 },
    names: ulyssesHalves,
    differs: {
      'fwd layer all-to-all over sp1': [null, once],
      'fwd layer all-to-all over sp0': [row(2, 256), once],
      'fwd layer all-to-all over sp0.sp1': [row(2, 384), once],
      'fwd layer all-gather over sp1': [row(2, 256), flowed],
      'fwd layer all-gather over sp0': [null, flowed],
      'bwd layer all-gather over sp0.sp1': [null, flowed],
      'bwd layer all-gather over sp1': [row(2, 256), flowed],
      'bwd layer all-gather over sp0': [null, flowed],
      'bwd layer all-to-all over sp0': [row(4, 512), once],
      'bwd layer all-to-all over sp1': [null, once],
      'bwd layer all-to-all over sp0.sp1': [row(2, 384), once],
      'bwd layer all-reduce over sp0.sp1': [row(9, 1776), flowed],
    },
  },
  't2/TP2': { model: dense, degrees: { tp: 2 } },
  't2/TP2+SP': { model: dense, degrees: { tp: 2 }, options: megatron },
  't2/Ulysses2': { model: dense, degrees: { ulysses: 2 }, names: ulysses },
  't2/Ulysses2 TP2': { model: fourHeads, degrees: { ulysses: 2, tp: 2 }, names: ulysses },
  't2/Ulysses2 TP2+SP': { model: fourHeads, degrees: { ulysses: 2, tp: 2 }, options: megatron, names: ulysses },
  't2/CP2 x Ulysses2 zigzag': { model: dense, degrees: { cp: 2, ulysses: 2 }, names: ulysses },
  't2/Ulysses4 kv2 (sp0 kv, sp1 group)': {
    model: dense,
    degrees: { ulysses: 4 },
    names: ulyssesHalves,
    differs: {
      'fwd layer all-to-all over sp1': [null, once],
      'fwd layer all-to-all over sp0': [row(2, 256), once],
      'fwd layer all-to-all over sp0.sp1': [row(2, 384), once],
      'bwd layer all-to-all over sp0': [row(4, 512), once],
      'bwd layer all-to-all over sp1': [null, once],
      'bwd layer all-to-all over sp0.sp1': [row(2, 384), once],
    },
  },
  't2/GQA tp4: K/V replicated on tp1': { model: dense, degrees: { tp: 4 }, names: halves },
  't2/GQA tp4: K/V replicated on tp1, pass partial through linear K/V proj bwd': {
    model: dense,
    degrees: { tp: 4 },
    options: { tp: { keyValueGradients: 'defer' } },
    names: halves,
  },
  't2/GQA tp4: K/V proj split head_dim on tp1 (Megatron)': {
    model: dense,
    degrees: { tp: 4 },
    options: { tp: { keyValueGradients: 'gather' } },
    names: halves,
  },
  't3/GQA tp4: K/V replicated on tp1, pass partial': {
    model: dense,
    degrees: { tp: 4 },
    options: { tp: { keyValueGradients: 'defer' } },
    names: halves,
  },
  't3/EP2 over dp (a2a)': { model: moe, degrees: { dp: 2, ep: 2 }, names: { dp: 'ep' } },
  't3/EP2 over dp (allgather dispatcher)': {
    model: moe,
    degrees: { dp: 2, ep: 2 },
    options: { ep: { dispatch: 'all-gather' } },
    names: { dp: 'ep' },
    differs: {
      'fwd layer all-gather over ep': [row(3, 384 + 64), indices],
      'bwd layer all-gather over ep': [row(3, 384 + 64), indices],
    },
  },
  't3/dp = edp2 x ep2': { model: moe, degrees: { dp: 4, expertDp: 2, ep: 2 }, names: { 'dp.0': 'edp', 'dp.1': 'ep' } },
  't3/EP2 over tp, TP attention, no SP, shared expert': { model: shared, degrees: { tp: 2, ep: 2 } },
  't3/EP2 over tp, TP attention + SP, shared': { model: shared, degrees: { tp: 2, ep: 2 }, options: megatron },
  't3/expert-TP over tp, no SP, shared': { model: shared, degrees: { tp: 2, expertTp: 2 } },
  't3/expert-TP over tp + SP': {
    model: moe,
    degrees: { tp: 2, expertTp: 2 },
    options: megatron,
    differs: {
      'fwd layer all-gather over tp': [row(4, 896 + 64), indices],
      'bwd layer all-gather over tp': [row(6, 1856 + 64), indices],
    },
  },
  't3/EP2 over dp x ETP2 over tp + SP, dense first layer': {
    model: mixed,
    degrees: { dp: 2, tp: 2, ep: 2, expertTp: 2 },
    options: megatron,
    names: { dp: 'ep' },
    differs: {
      'fwd layer reduce-scatter over tp': [row(5, 512 + 256), early],
      'fwd layer all-to-all over ep': [row(2, 256), early],
      'fwd layer all-gather over tp': [row(5, 832 - 64), early],
      'bwd layer all-gather over tp': [row(10, 1568 - 32), early],
      'bwd layer reduce-scatter over tp': [row(5, 800 - 32), early],
    },
  },
  't3/MLA TP2': { model: latent, degrees: { tp: 2 } },
  't3/MLA TP2+SP': {
    model: latent,
    degrees: { tp: 2 },
    options: megatron,
    differs: { 'bwd layer all-gather over tp': [row(5, 1152 - 128), rotaryKey] },
  },
  't1/ZeRO1': {
    model: dense,
    degrees: { dp: 2 },
    options: { dp: { zero: 1 } },
    differs: {
      'opt pre all-gather over dp': [row(1, 128), updated],
      'opt layer all-gather over dp': [row(9, 592), updated],
      'opt post all-gather over dp': [row(2, 136), updated],
    },
  },
  't1/ZeRO3': { model: dense, degrees: { dp: 2 }, options: { dp: { zero: 3 } } },
  't1/ZeRO3+TP+SP': { model: dense, degrees: { dp: 2, tp: 2 }, options: { dp: { zero: 3 }, ...megatron } },
  't3/ZeRO3 dp2 + EP2 (edp2) + TP2 SP + CP2 : 16 ranks': {
    model: models.denseThenMoe,
    degrees: { cp: 2, dp: 4, tp: 2, expertDp: 4, ep: 2, expertTp: 2 },
    options: { dp: { zero: 3 }, ...megatron },
    names: { 'dp.0': 'edp', 'dp.1': 'ep' },
    differs: {
      'fwd pre all-gather over edp': [null, whole],
      'fwd pre all-gather over cp.edp.ep': [row(1, 112), whole],
      'bwd pre reduce-scatter over edp': [null, whole],
      'bwd pre reduce-scatter over cp.edp.ep': [row(1, 112), whole],
      'fwd layer all-gather over edp': [null, whole],
      'fwd layer all-gather over cp.edp.ep': [row(16, 952), whole],
      'fwd layer all-gather over cp.edp': [row(3, 288), whole],
      'bwd layer all-gather over edp': [null, whole],
      'bwd layer all-gather over cp.edp.ep': [row(16, 952), whole],
      'bwd layer all-gather over cp.edp': [row(3, 288), whole],
      'bwd layer reduce-scatter over edp': [null, whole],
      'bwd layer reduce-scatter over cp.edp.ep': [row(16, 952), whole],
      'bwd layer reduce-scatter over cp.edp': [row(3, 288), whole],
      'fwd post all-gather over edp': [null, whole],
      'fwd post all-gather over cp.edp.ep': [row(2, 126), whole],
      'bwd post all-gather over edp': [null, whole],
      'bwd post all-gather over cp.edp.ep': [row(2, 126), whole],
      'bwd post reduce-scatter over edp': [null, whole],
      'bwd post reduce-scatter over cp.edp.ep': [row(2, 126), whole],
      'bwd post all-reduce over ep.cp.tp': [null, whole],
      'bwd post all-reduce over tp': [row(1, 2), whole],
      'bwd layer all-reduce over ep.cp.tp': [null, whole],
      'bwd layer all-reduce over tp': [row(5, 16), whole],
      'bwd pre all-reduce over ep.cp': [null, whole],
      'bwd layer all-reduce over ep.cp': [null, whole],
      'bwd layer all-reduce over cp': [null, whole],
      'bwd post all-reduce over ep.cp': [null, whole],
      'fwd layer reduce-scatter over tp': [row(4, 128 + 32), early],
      'fwd layer all-to-all over ep': [row(2, 64), early],
      'fwd layer all-gather over tp': [row(4, 176 - 16), early],
      'bwd layer all-gather over tp': [row(8, 360 - 40), early],
      'bwd layer reduce-scatter over tp': [row(4, 168 - 8), early],
    },
  },
  't4/decode DCP': {
    model: dense,
    build: { phase: 'decode', batch: 2, seq: 8 },
    module: 'attention',
    degrees: { tp: 4, dcp: 2 },
    names: { 'tp.0': 'tp0', 'tp.1': 'dcp' },
    differs: { 'fwd dec reduce-scatter(lse) over dcp': [row(1, 16 + 2 * 2 * 4), weights] },
  },
  't6/mesh order tp major, sp minor / CP inside TP': {
    model: dense,
    degrees: { tp: 2, cp: 2 },
    options: megatron,
  },
}

/** Cases whose rows the table does not print, or whose figures are not those of collectives. */
const withoutRows: Readonly<Record<string, string>> = {
  't1/CP2 zigzag': 'the layout of positions changes no collective',
  't2/DP2 TP2+SP': 'as t1/TP2+SP+DP2',
  't6/alternating dense/moe, EP over dp, TP+SP': 'carried values have one placement for all bodies: see below',
  't6/bodies disagree: dense without SP, moe with SP': 'the prototype could not build it: see below',
  'ring/contig': 'a ring of sends and receives: pairs of positions per step',
  'ring/zig': 'a ring of sends and receives: pairs of positions per step',
}

/** What the prototype tried to see that a rule is needed. */
const counterexamples: Readonly<Record<string, string>> = {
  't3/dp = ep2 x edp2 (ep major)':
    'experts outside of their replicas: placements conflict in order, five times the bytes',
  't6/TP passAllLinear': 'partial sums pass wherever they can: later reductions, and more of them',
  't6/saved=consumed (SP)': 'backward keeps what forward gathered: no gather again, more memory',
  't6/saved=produced (Ulysses)': 'backward keeps what forward had before it exchanged heads: eight all-to-alls',
  't6/no grouping of partial sums (MoE shared TP)': 'each partial term of a gradient is reduced by itself',
  't6/loss ops get seq under SP': 'the loss splits the sequence too: a gather more in backward',
}

/** Plans a case and runs it: what it computes is what one device computes. */
function planOf({ model, build = training, degrees, options = {} }: Compared) {
  const { sp = {}, ...rest } = options
  return prove(model, build, degrees, {
    ...rest,
    plugins: (list) => [...list.filter(({ name }) => name !== 'sp'), sequenceParallel(sp)],
  })
}

const bytesOf = (rows: Rows) => Object.values(rows).reduce((sum, { bytes }) => sum + bytes, 0)

describe.skipIf(reference === undefined)('the communication of the prototype', () => {
  test('every case of the table is compared or explained, in one place', () => {
    const named = [compared, withoutRows, counterexamples].flatMap((each) => Object.keys(each))
    expect(named.sort()).toEqual([...cases.keys()].sort())
    for (const name of Object.keys(withoutRows)) expect([name, cases.get(name)]).toEqual([name, {}])
  })

  test.each(Object.entries(compared))('%s', (name, each) => {
    const theirs = cases.get(name) ?? {}
    const expected: Record<string, Row> = { ...theirs }
    for (const [key, [ours, why]] of Object.entries(each.differs ?? {})) {
      expect(expected[key] ?? null, `${key} no longer differs, ${why}`).not.toEqual(ours)
      if (ours) expected[key] = ours
      else delete expected[key]
    }
    expect(Object.keys(theirs).length).toBeGreaterThan(2)
    expect(rowsOf(planOf(each), each.names, each.module)).toEqual(expected)
  })

  test('experts outside of their replicas would send five times the bytes', () => {
    const [ours, theirs] = ['t3/dp = edp2 x ep2', 't3/dp = ep2 x edp2 (ep major)'].map((name) => cases.get(name) ?? {})
    const forward = (rows: Rows = {}) =>
      bytesOf(Object.fromEntries(Object.entries(rows).filter(([key]) => key.startsWith('fwd layer'))))
    expect(forward(theirs)).toBe(5 * forward(ours))
    const { 'dp.0': edp, 'dp.1': ep } = compared['t3/dp = edp2 x ep2']?.names ?? {}
    expect([edp, ep]).toEqual(['edp', 'ep']) // the experts' axis is the inner factor
  })
})

/** The placement of what layers carry, for each region of layers: `batch:dp seq:tp`. */
function carried(program: Program): string[] {
  const seen: string[] = []
  const visit = (items: Program['items']) => {
    for (const item of items) {
      if (item.type === 'node') continue
      for (const port of item.ports) {
        if (item.axis !== 'layer' || port.kind !== 'carry') continue
        for (const id of [port.inner, ...port.next]) {
          const { dims = [], placement } = program.tensors.get(id) ?? {}
          expect(placement?.partial).toEqual({})
          const split = dims.flatMap((dim, position) =>
            (placement?.shards[position] ?? []).map((atom) => `${dim}:${atom}`),
          )
          seen.push(split.join(' '))
        }
      }
      for (const { items: inner } of item.bodies) visit(inner)
    }
  }
  visit(program.items)
  return seen
}

describe('layers with different bodies', () => {
  const order = {
    runs: [
      { layer: 'dense', count: 1 },
      { layer: 'moe', count: 1 },
    ],
    repeat: 2,
  }

  test('dense and moe in turn carry one placement, batch over dp and seq over tp', () => {
    const each: Compared = {
      model: { ...mixed, name: 'prototype dense and moe in turn', order },
      degrees: { dp: 2, tp: 2, ep: 2, expertTp: 2 },
      options: megatron,
    }
    expect(new Set(carried(planOf(each).program))).toEqual(new Set(['batch:dp seq:tp']))
  })

  test('bodies that disagree about the sequence meet in one placement, and compute what one device does', () => {
    const each: Compared = {
      model: { ...mixed, name: 'prototype bodies that disagree', order },
      degrees: { tp: 2 },
      options: { sp: { tensorRanks: true, where: { body: 'moe' } } },
    }
    expect(new Set(carried(planOf(each).program)).size).toBe(1)
  })
})
