import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Plugin } from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import type { DenseFfn, ModelArchitecture } from '@shardloom/models'
import { communicationTable } from '@shardloom/simulator'
import { describe, expect, it } from 'vitest'
import { context, splitting } from '../../../test/proof/strategies.js'
import { type Planned, type PlannedOptions, planned } from '../../core/test/planned.js'

const reference = process.env['SHARDLOOM_REFERENCE']

const attention = {
  kind: 'grouped',
  heads: 4,
  kvHeads: 2,
  headDim: 4,
  bias: { qkv: false, out: false },
  rotary: true,
} as const
const dense: DenseFfn = { kind: 'dense', intermediate: 8, activation: 'swiglu', bias: false }
const mixture = {
  kind: 'moe',
  experts: 4,
  topK: 2,
  intermediate: 8,
  activation: 'swiglu',
  bias: false,
  routerBias: false,
  correctionBias: false,
} as const
const residual = { residual: 'sequential', norms: 'pre' } as const

/** The shapes of the executed prototype: batch 4, seq 8, hidden 8, ffn 8, four experts of which a token has two. */
function model(layers: string, shared = false): ModelArchitecture {
  const moe = { ...mixture, ...(shared && { shared: { count: 1, intermediate: 8, gate: false } }) }
  const all = {
    dense: { ...residual, attention, ffn: dense },
    moe: { ...residual, attention, ffn: moe },
  }
  const runs = layers.split(' ').map((layer) => ({ layer, count: 1 }))
  return {
    schema: 'shardloom.model/1',
    name: 'prototype',
    family: 'llama',
    hidden: 8,
    vocab: 16,
    tiedEmbeddings: false,
    norm: { kind: 'rms', bias: false },
    layers: Object.fromEntries(Object.entries(all).filter(([name]) => layers.includes(name))),
    order: { runs },
  }
}

/** Sequence parallelism on `tp` as the prototype had it: wherever tensor parallelism names nothing, but not in the loss. */
const sequence: Plugin = splitting('sequence', {
  axis: 'tp',
  class: 'token',
  dims: ['seq'],
  where: { except: { operator: 'cross_entropy' } },
})

interface Case {
  /** The title of the prototype's case. */
  readonly title: string
  readonly model: ModelArchitecture
  readonly degrees: Readonly<Record<string, number>>
  readonly options?: PlannedOptions
  readonly plugins?: readonly Plugin[]
  /** Our names of the prototype's axes. */
  readonly axes?: Readonly<Record<string, string>>
  /** Rows in which we differ. */
  readonly differs?: Rows
}

type Rows = Readonly<Record<string, readonly [count: number, bytes: number]>>

const cases: readonly Case[] = [
  {
    title: 'EP2 over dp (a2a)',
    model: model('moe moe'),
    degrees: { dp: 2, expertDp: 1, ep: 2, expertTp: 1 },
    axes: { ep: 'dp' },
  },
  {
    title: 'EP2 over dp (allgather dispatcher)',
    model: model('moe moe'),
    degrees: { dp: 2, expertDp: 1, ep: 2, expertTp: 1 },
    options: { ep: { dispatch: 'all-gather' } },
    axes: { ep: 'dp' },
  },
  {
    title: 'dp = edp2 x ep2',
    model: model('moe moe'),
    degrees: { dp: 4, expertDp: 2, ep: 2, expertTp: 1 },
    axes: { edp: 'expertDp', 'edp.ep': 'dp' },
  },
  {
    title: 'EP2 over tp, TP attention, no SP, shared expert',
    model: model('moe', true),
    degrees: { tp: 2, expertDp: 1, ep: 2, expertTp: 1 },
  },
  {
    title: 'EP2 over tp, TP attention + SP, shared',
    model: model('moe', true),
    degrees: { tp: 2, expertDp: 1, ep: 2, expertTp: 1 },
    plugins: [sequence],
  },
  {
    title: 'expert-TP over tp, no SP, shared',
    model: model('moe', true),
    degrees: { tp: 2, expertDp: 1, ep: 1, expertTp: 2 },
  },
  {
    title: 'expert-TP over tp + SP',
    model: model('moe moe'),
    degrees: { tp: 2, expertDp: 1, ep: 1, expertTp: 2 },
    plugins: [sequence],
  },
  {
    title: 'EP2 over dp x ETP2 over tp + SP, dense first layer',
    model: model('dense moe moe', true),
    degrees: { dp: 2, tp: 2, expertDp: 1, ep: 2, expertTp: 2 },
    plugins: [sequence],
    axes: { ep: 'dp', 'ep.tp': 'dp.tp' },
    // The prototype's ranks exchange all terms of a sum over `expertTp`, and reduce what combine makes of them. As Megatron-Core's
    // dispatcher ours reduce first and exchange shares, as many bytes as their gradients; shared experts are reduced by themselves.
    differs: {
      'fwd layer all-to-all dp': [2, 256],
      'fwd layer reduce-scatter tp': [5, 768],
      'fwd layer all-gather tp': [5, 768],
      'bwd layer all-gather tp': [10, 1536],
      'bwd layer reduce-scatter tp': [5, 768],
    },
  },
]

function add(rows: Record<string, readonly [number, number]>, key: string, count: number, bytes: number) {
  const [n, sum] = rows[key] ?? [0, 0]
  rows[key] = [n + count, sum + bytes]
}

/** The rows of one case of the prototype: direction, place, kind and axes → nodes and bytes per rank. */
function expected(title: string, axes: Readonly<Record<string, string>> = {}): Rows {
  const text = readFileSync(join(reference ?? '', 'design/prototype/expected-communication.txt'), 'utf8')
  const start = text.indexOf(`## ${title}  mesh=`)
  if (start < 0) throw new Error(`the prototype has no case ${title}`)
  const rows: Record<string, readonly [number, number]> = {}
  for (const line of text.slice(start).split('\n').slice(1)) {
    const match = /^ {2}(fwd|bwd) (\S+) (\S+?)(?:\(\w+\))? over (\S+) +x(\d+) bytes=(\d+)/.exec(line)
    if (!match) break
    const [, direction = '', place = '', op = '', over = '', count, bytes] = match
    const key = `${direction} ${place === 'layer' ? place : 'outside'} ${op} ${axes[over] ?? over}`
    add(rows, key, Number(count), Number(bytes))
  }
  return rows
}

/** The same of a plan. The prototype reduced weight gradients in backward, and counted indices as two bytes. */
function found({ program, operators }: Planned): Rows {
  const rows: Record<string, readonly [number, number]> = {}
  for (const row of communicationTable(program, operators)) {
    if (row.segment === 'optimizer' && !row.nodes.every((node) => node.includes('gradient/'))) continue
    const direction = row.segment === 'forward' ? 'fwd' : 'bwd'
    const layer = row.region.endsWith('layer') ? 'layer' : 'outside'
    const { dtype } = program.tensors.get(row.reason.tensor) ?? {}
    const bytes = dtype === 'int32' ? row.bytesPerRank / 2 : row.bytesPerRank
    // The prototype named the ranks of an exchange, where we name the first axis of those over the same ranks.
    const first = (name: string) => {
      const atoms = program.mesh.axes.find((axis) => axis.name === name)?.atoms.join()
      return program.mesh.axes.find((axis) => axis.atoms.length > 0 && axis.atoms.join() === atoms)?.name ?? name
    }
    const key = `${direction} ${layer} ${row.op} ${row.axes.map(first).join('.')}`
    add(rows, key, row.nodes.length, row.nodes.length * bytes)
  }
  return rows
}

function planOf({ model, degrees, options, plugins = [] }: Case): Planned {
  const build = { phase: 'training', batch: 4, seq: 8, gradientDtype: 'bf16' } as const
  return planned(model, build, degrees, { ...options, plugins: (list) => [...list, ...plugins] })
}

describe.skipIf(!reference)('the communication of an executed prototype', () => {
  it.each(cases.map((each) => [each.title, each] as const))('%s', (_, each) => {
    const plan = planOf(each)
    expect(found(plan)).toEqual({ ...expected(each.title, each.axes), ...each.differs })
    for (const { name, violations } of verifyProgram(plan.program, plan.operators)) expect(violations, name).toEqual([])
  })
})

describe.skipIf(!reference)('experts outside of their replicas', () => {
  const layer = (rows: Rows) =>
    Object.entries(rows).reduce((sum, [key, [, bytes]]) => (key.startsWith('fwd layer') ? sum + bytes : sum), 0)

  it('send no more: the batch is split so that `ep` stands innermost, where the prototype sent five times as much', () => {
    const degrees = { dp: 4, ep: 2, expertDp: 2, expertTp: 1 }
    const outside = planOf({ title: '', model: model('moe moe'), degrees })
    const [own, theirs] = ['dp = edp2 x ep2', 'dp = ep2 x edp2 (ep major)'].map((title) =>
      expected(title, { edp: 'expertDp', 'edp.ep': 'dp' }),
    )
    expect(found(outside)).toEqual(own)
    expect([layer(own ?? {}), layer(theirs ?? {})]).toEqual([256, 1280])
  })
})

describe.skipIf(!reference)('sixteen ranks: data, expert, context and tensor parallel with the sequence on tp', () => {
  const plan = planOf({
    title: '',
    model: model('dense moe'),
    degrees: { cp: 2, dp: 4, tp: 2, expertDp: 4, ep: 2, expertTp: 2 },
    plugins: [sequence, context],
  })

  it('communicates activations as the prototype did; gradients it reduced in shards of ZeRO', () => {
    const activations = (rows: Rows) =>
      Object.fromEntries(Object.entries(rows).filter(([key]) => !/ edp$|bwd \S+ all-reduce/.test(key)))
    const rows = expected('ZeRO3 dp2 + EP2 (edp2) + TP2 SP + CP2 : 16 ranks')
    const reducedFirst = {
      'fwd layer all-to-all ep': [2, 64],
      'fwd layer reduce-scatter tp': [4, 160],
      'fwd layer all-gather tp': [4, 160],
      'bwd layer all-gather tp': [8, 320],
      'bwd layer reduce-scatter tp': [4, 160],
    } as const
    expect(activations(found(plan))).toEqual({ ...activations(rows), ...reducedFirst })
    expect(Object.keys(activations(rows)).length).toBeGreaterThan(10)
  })
})

it('reduces the gradients of experts over expertDp alone, those of all else over all ranks with other tokens', () => {
  const degrees = { dp: 12, tp: 2, expertDp: 4, ep: 3, expertTp: 2 }
  const tiny = model('dense moe', true)
  const layers = Object.entries(tiny.layers).map(([name, layer]) => [
    name,
    layer.ffn.kind === 'moe' ? { ...layer, ffn: { ...layer.ffn, experts: 6 } } : layer,
  ])
  const build = { phase: 'training', batch: 12, seq: 8 } as const
  const { program, operators } = planned({ ...tiny, layers: Object.fromEntries(layers) }, build, degrees)
  const groups = communicationTable(program, operators).flatMap(({ segment, axes, nodes }) =>
    segment === 'optimizer'
      ? nodes.filter((node) => node.includes('gradient/')).map((node) => [node, axes] as const)
      : [],
  )
  const experts = groups.filter(([node]) => node.includes('/moe/experts/'))
  expect(experts.map(([, axes]) => axes.join())).toEqual(['expertDp', 'expertDp', 'expertDp'])
  for (const [node, axes] of groups) if (!node.includes('/moe/experts/')) expect(axes, node).toEqual(['dp'])
})

describe('tokens of experts whose width ranks divide', () => {
  const mixed = model('moe moe')
  const layers = Object.entries(mixed.layers).map(([name, layer]) => [
    name,
    layer.ffn.kind === 'moe' ? { ...layer, ffn: { ...layer.ffn, experts: 6 } } : layer,
  ])
  const six: ModelArchitecture = { ...mixed, layers: Object.fromEntries(layers) }
  /** What is sent of some tensors in one layer: bytes of a rank in collectives of each kind. */
  const sent = ({ program, operators }: Planned, segment: string, ...tensors: string[]) => {
    const bytes: Record<string, number> = {}
    for (const row of communicationTable(program, operators)) {
      const own = row.nodes.filter((node) => tensors.some((tensor) => node.includes(`${tensor}/${row.op}`)))
      if (row.segment === segment && own.length) bytes[row.op] = (bytes[row.op] ?? 0) + own.length * row.bytesPerRank
    }
    return bytes
  }

  /** Where `expertTp` lies, and how many of the batch's tokens a rank has. */
  const layouts: readonly (readonly [string, Readonly<Record<string, number>>, readonly Plugin[], phases?: string])[] =
    [
      ['tp', { dp: 3, tp: 2, expertDp: 1, ep: 3, expertTp: 2 }, [sequence], 'training prefill'],
      ['half of tp', { dp: 3, tp: 4, expertDp: 1, ep: 6, expertTp: 2 }, [sequence], 'training prefill'],
      ['dp', { dp: 6, expertDp: 1, ep: 3, expertTp: 2 }, []],
      ['dp, with replicas', { dp: 12, expertDp: 2, ep: 3, expertTp: 2 }, []],
      ['a part of cp', { dp: 3, cp: 4, expertDp: 1, ep: 6, expertTp: 2 }, [context], 'training prefill'],
      ['a part of dp, and tp', { dp: 6, tp: 2, expertDp: 1, ep: 3, expertTp: 4 }, [sequence], 'training prefill'],
    ]
  const cases = layouts.flatMap(([place, degrees, plugins, phases = 'training prefill decode']) =>
    phases.split(' ').flatMap((phase) => [1, 1.25].map((room) => ({ place, degrees, plugins, phase, room }))),
  )

  // Megatron-Core's MoEAlltoAllTokenDispatcher (core/transformer/moe/token_dispatcher.py): dispatch_all_to_all sends the tokens
  // of each rank over ep, then dispatch_postprocess gathers what came over etp; combine_preprocess reduce-scatters over etp,
  // then combine_all_to_all sends back. Two copies of each token, of 8 numbers in bf16; buffers hold `room` times as many.
  it.each(cases)('are exchanged and then gathered where it lies in $place, in $phase with room $room', (each) => {
    const { degrees, plugins, phase, room } = each
    const { expertDp = 1, ep = 1, expertTp = 1 } = degrees
    const [batch, seq] = [36, phase === 'decode' ? 1 : 8]
    const share = ((batch * seq) / (expertDp * ep * expertTp)) * 2 * 8 * 2 * room
    const build = { phase: phase as 'training', batch, seq: 8 } // one of the three
    const plan = planned(six, build, degrees, {
      plugins: (list) => [...list, ...plugins],
      ...(room > 1 && { ep: { capacityFactor: room } }),
    })
    const exchange = { 'all-to-all': ((ep - 1) / ep) * share }
    const [there, back] = [{ 'all-gather': (expertTp - 1) * share }, { 'reduce-scatter': (expertTp - 1) * share }]
    const segment = phase === 'training' ? 'forward' : phase
    expect(sent(plan, segment, 'moe/dispatch')).toEqual({ ...exchange, ...there })
    expect(sent(plan, segment, 'experts/down', 'moe/combine')).toEqual({ ...exchange, ...back })
    if (phase === 'training') {
      // Gradients go the same ways, each backwards; what was gathered is gathered again for the weights, and not sent again.
      expect(sent(plan, 'backward', 'moe/combine.input')).toEqual({ ...exchange, ...there })
      expect(sent(plan, 'backward', 'moe/dispatch.sum', 'moe/dispatch.input')).toEqual({ ...exchange, ...back })
      expect(sent(plan, 'backward', 'moe/dispatch')).toEqual(there)
    }
    for (const { name, violations } of verifyProgram(plan.program, plan.operators)) expect(violations, name).toEqual([])
  })

  it('are gathered over ranks with other tokens alone, and sums over these are reduced before they are exchanged', () => {
    const plan = planned(
      six,
      { phase: 'training', batch: 36, seq: 8 },
      { dp: 6, tp: 2, expertDp: 1, ep: 3, expertTp: 4 },
    )
    const share = ((36 * 8) / 6) * 2 * 8 * 2
    expect(sent(plan, 'forward', 'moe/dispatch')).toEqual({ 'all-to-all': (2 / 3) * share, 'all-gather': share })
    expect(sent(plan, 'forward', 'experts/down')).toEqual({ 'all-to-all': (2 / 3) * share, 'reduce-scatter': share })
  })
})
