import { axesOf, lookup, type Program } from '@shardloom/core'
import type { CacheTransfer, PoolCache } from './plan-caches.js'
import type { ServingPlan } from './serving.js'
import { type PlanSummary, type SummaryOptions, summarise } from './summarise.js'

/** One cache on its way from pool to pool, over all of its layers. */
export interface TransferSummary {
  /** Its name in a layer, such as `attention/k`. */
  readonly cache: string
  readonly layers: number
  /** What each pool splits it by, such as `kv_heads/tp`. */
  readonly from: string
  readonly to: string
  readonly positions: readonly [number, number]
  /** Blocks that pass per layer, each from one rank to one rank. */
  readonly blocksPerLayer: number
  readonly bytesPerLayer: number
  readonly bytes: number
}

/** What `shardloom plan --json` prints of serving: each phase, and per batch of decode what passes between them. */
export interface ServingSummary {
  readonly schema: 'shardloom.plan/1'
  readonly phase: 'serving'
  readonly pools: 1 | 2
  readonly prefill: PlanSummary
  readonly decode: PlanSummary
  readonly transfer: readonly TransferSummary[]
  /** Per batch of decode: bytes in all, steps of prefill that they come from, and the most of one rank. */
  readonly total: {
    readonly bytes: number
    readonly prefillSteps: number
    readonly mostSent: number
    readonly mostReceived: number
  }
}

/** Describes one rank of each phase of serving, and the transfer between them. Throws `RANK`. */
export function summariseServing(plan: ServingPlan, options: SummaryOptions = {}): ServingSummary {
  const { prefill, decode, transfer, pools } = plan
  const rows = new Map<string, TransferSummary>()
  for (const each of transfer) {
    const row = rowOf(each, prefill.program, decode.program)
    const key = JSON.stringify([row.cache, row.from, row.to, row.positions, row.blocksPerLayer, row.bytesPerLayer])
    const known = rows.get(key)
    rows.set(key, known ? { ...known, layers: known.layers + row.layers, bytes: known.bytes + row.bytes } : row)
  }
  const moved = { from: new Map<number, number>(), to: new Map<number, number>() }
  for (const { transfers, layers, bytesPerLayer } of transfer) {
    const elements = transfers.reduce((sum, { shape }) => sum + product(shape), 0)
    for (const each of transfers) {
      const bytes = (product(each.shape) / elements) * bytesPerLayer * layers.length
      for (const side of ['from', 'to'] as const)
        moved[side].set(each[side], (moved[side].get(each[side]) ?? 0) + bytes)
    }
  }
  const most = (map: ReadonlyMap<number, number>) => Math.round([...map.values()].reduce((a, b) => Math.max(a, b), 0))
  const transferred = [...rows.values()]
  return {
    schema: 'shardloom.plan/1',
    phase: 'serving',
    pools,
    prefill: summarise(prefill, options),
    decode: summarise(decode, options),
    transfer: transferred,
    total: {
      bytes: transferred.reduce((sum, { bytes }) => sum + bytes, 0),
      prefillSteps: decode.spec.batch / prefill.spec.batch,
      mostSent: most(moved.from),
      mostReceived: most(moved.to),
    },
  }
}

function rowOf(each: CacheTransfer, prefill: Program, decode: Program): TransferSummary {
  const { name, from, to, layers, transfers, bytesPerLayer } = each
  return {
    cache: name,
    layers: layers.length,
    from: splitText(prefill, from),
    to: splitText(decode, to),
    positions: [Math.max(from.positions[0], to.positions[0]), Math.min(from.positions[1], to.positions[1])],
    blocksPerLayer: transfers.length,
    bytesPerLayer,
    bytes: bytesPerLayer * layers.length,
  }
}

function splitText({ mesh, tensors }: Program, { tensor }: PoolCache): string {
  const { dims, placement } = lookup(tensors, tensor)
  const split = dims.flatMap((dim, position) => {
    const atoms = placement?.shards[position] ?? []
    return atoms.length ? [`${dim}/${axesOf(mesh, atoms).join('.')}`] : []
  })
  return split.join(' ') || 'whole'
}

const product = (sizes: readonly number[]) => sizes.reduce((all, size) => all * size, 1)
