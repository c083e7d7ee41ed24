import { walk } from '@shardloom/core'
import type { GroupedAttention, LatentAttention, Layer, MixtureOfExperts, ModelArchitecture } from '@shardloom/models'
import { communicationBytes, meterOf } from '@shardloom/simulator'
import type { Planned } from '../packages/core/test/planned.js'

/** How many nodes stand in a row, and the bytes that one rank sends by a ring in all of them together. */
export interface Row {
  readonly count: number
  readonly bytes: number
}

/** Rows by `fwd layer all-reduce over tp`: phase, place, kind with its reduction unless that is a sum, axes. */
export type Rows = Readonly<Record<string, Row>>

/** The cases of the table of expected communication, by `t1/TP2`. A case whose rows were not printed has none. */
export function readCases(text: string): Map<string, Rows> {
  const cases = new Map<string, Record<string, Row>>()
  let section = ''
  let rows: Record<string, Row> = {}
  for (const line of text.split('\n')) {
    section = /^#### (\w+)/.exec(line)?.[1] ?? section
    const name = /^## (.+?)(?: {2}mesh=|: FAILED)/.exec(line)?.[1] ?? /^(decode DCP|contig|zig) /.exec(line)?.[1]
    if (name) {
      rows = {}
      cases.set(`${section}/${name}`, rows)
    }
    const [, key, count, bytes] = /^ {2,3}((?:fwd|bwd) \S+ \S+ over \S+) +x?(\d+) (?:bytes=)?(\d+) /.exec(line) ?? []
    if (key) rows[key] = { count: Number(count), bytes: Number(bytes) }
  }
  return cases
}

/**
 * The same rows of one of our plans, or of one module of it, each body of a region once, atoms under the table's names. Gradients of weights,
 * which we reduce once per step in the optimizer, count as backward at the place of their parameter; what else the
 * optimizer moves is `opt`. Its reductions of single numbers (loss, norm of all gradients) are left out: the table has
 * no optimizer.
 */
export function rowsOf(
  { program, operators }: Planned,
  names: Readonly<Record<string, string>> = {},
  module?: string,
): Rows {
  const meter = meterOf(program, operators)
  const rows: Record<string, Row> = {}
  walk(program.items, (node, { path }) => {
    const tensor = program.tensors.get(node.inputs[0] ?? '')
    if (!node.communication || (node.segment === 'optimizer' && tensor?.shape.length === 0)) return
    if (module !== undefined && node.module !== module) return
    const { atoms, reduction = 'sum', reason } = node.communication
    const inLayer = path.some(({ region }) => region.axis === 'layer')
    const before = reason.consumer === 'forward/layers' ? 'pre>layer' : 'pre'
    const place = node.segment === 'decode' ? 'dec' : inLayer ? 'layer' : node.module === 'head' ? 'post' : before
    const isGradient = node.segment === 'backward' || tensor?.role === 'gradient'
    const phase = ['forward', 'decode'].includes(node.segment) ? 'fwd' : isGradient ? 'bwd' : 'opt'
    const kind = reduction === 'sum' || !node.op.includes('reduce') ? node.op : `${node.op}(${reduction})`
    const key = `${phase} ${place} ${kind} over ${atoms.map((atom) => names[atom] ?? atom).join('.')}`
    const { count = 0, bytes = 0 } = rows[key] ?? {}
    rows[key] = { count: count + 1, bytes: bytes + communicationBytes(node, program, meter).sent }
  })
  return rows
}

const grouped: GroupedAttention = {
  kind: 'grouped',
  heads: 4,
  kvHeads: 2,
  headDim: 4,
  bias: { qkv: false, out: false },
  rotary: true,
}
const latent: LatentAttention = {
  kind: 'latent',
  heads: 2,
  queryRank: 4,
  kvRank: 4,
  nopeDim: 4,
  ropeDim: 4,
  valueDim: 4,
}
const dense = { kind: 'dense', intermediate: 8, activation: 'swiglu', bias: false } as const
const experts: MixtureOfExperts = {
  kind: 'moe',
  experts: 4,
  topK: 2,
  intermediate: 8,
  activation: 'swiglu',
  bias: false,
  routerBias: false,
  correctionBias: false,
}
const withShared: MixtureOfExperts = { ...experts, shared: { count: 1, intermediate: 8, gate: false } }

function modelOf(name: string, layers: Record<string, Layer>, order: Record<string, number>): ModelArchitecture {
  return {
    schema: 'shardloom.model/1',
    name: `prototype ${name}`,
    family: 'prototype',
    hidden: 8,
    vocab: 16,
    tiedEmbeddings: false,
    norm: { kind: 'rms', bias: false },
    layers,
    order: { runs: Object.entries(order).map(([layer, count]) => ({ layer, count })) },
  }
}

const layerOf = (ffn: Layer['ffn'], attention: Layer['attention'] = grouped): Layer => ({
  residual: 'sequential',
  norms: 'pre',
  attention,
  ffn,
})

/** The models of the table: hidden 8, two KV heads with two query heads each, ffn 8, vocab 16, two of four experts. */
export const models = {
  dense: modelOf('dense', { dense: layerOf(dense) }, { dense: 2 }),
  fourHeads: modelOf(
    'with four KV heads',
    { dense: layerOf(dense, { ...grouped, heads: 8, kvHeads: 4 }) },
    { dense: 2 },
  ),
  moe: modelOf('moe', { moe: layerOf(experts) }, { moe: 2 }),
  shared: modelOf('moe with a shared expert', { moe: layerOf(withShared) }, { moe: 1 }),
  mixed: modelOf('dense, then moe', { dense: layerOf(dense), moe: layerOf(withShared) }, { dense: 1, moe: 2 }),
  denseThenMoe: modelOf('dense, moe', { dense: layerOf(dense), moe: layerOf(experts) }, { dense: 1, moe: 1 }),
  latent: modelOf('latent', { dense: layerOf(dense, latent) }, { dense: 2 }),
} satisfies Record<string, ModelArchitecture>
