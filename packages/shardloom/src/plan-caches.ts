import {
  bodyAt,
  coordinateOf,
  coordinates,
  dataTypes,
  greatestCommonDivisor,
  holderOf,
  localShape,
  lookup,
  type OperatorNode,
  type Program,
  type Region,
  regionsOf,
  ShardloomError,
  type Tensor,
  walk,
} from '@shardloom/core'
import { type Held, planTransfer, type Transfer } from './plan-transfer.js'

/** A cache of some layers of a program: what one body of layers writes or reads. */
export interface PoolCache {
  /** Its name in a layer, such as `attention/k`. */
  readonly name: string
  readonly body: string
  /** The tensor that leaves the prefill program, or that the decode program begins with. */
  readonly tensor: string
  /** Prefill: the node behind which it can leave; absent: it is there from the start. */
  readonly write?: OperatorNode
  readonly layers: readonly number[]
  /** The positions of a sequence that it holds and that matter: the first, and the one after the last. */
  readonly positions: readonly [number, number]
}

/** A cache on its way from one pool to the other, for layers whose ranks and placements are alike. */
export interface CacheTransfer {
  readonly name: string
  readonly from: PoolCache
  readonly to: PoolCache
  readonly layers: readonly number[]
  /** The blocks of one layer in coordinates of the cache: sequence, position, and the dims behind them. */
  readonly transfers: readonly Transfer[]
  /** What these blocks weigh together. */
  readonly bytesPerLayer: number
}

/** The share that passes of what all ranks of a pool hold of a tensor, copies counted, by its id. */
export type Shares = ReadonlyMap<string, readonly [number, number]>

/** What prefill hands to decode, and how much of what either holds that is. */
export interface Handover {
  readonly caches: readonly CacheTransfer[]
  readonly prefill: Shares
  readonly decode: Shares
}

/**
 * How the KV cache passes from the program of prefill to that of decode, for one batch of decode. Which sequence a rank of
 * prefill has worked on is free, so that sequences are counted rank by rank on both sides. Throws `POOLS` when the two do
 * not fit together.
 */
export function planCaches(prefill: Program, decode: Program, onePool = false): Handover {
  const [sources, targets] = [cachesOfPrefill(prefill), cachesOfDecode(decode)]
  const caches: CacheTransfer[] = []
  const batch = sequencesOf(decode)
  for (const to of targets) {
    for (const from of sources.filter(({ name }) => name === to.name)) {
      const [source, target] = [lookup(prefill.tensors, from.tensor), lookup(decode.tensors, to.tensor)]
      if (source.dtype !== target.dtype) throw misfit('element types', source.dtype, target.dtype)
      for (const layers of alike(from, to, prefill, decode)) {
        const held = (program: Program, cache: PoolCache, tensor: Tensor): Held => ({
          mesh: program.mesh,
          placement: tensor.placement ?? { shards: tensor.shape.map(() => []), partial: {} },
          shape: [batch, roomOf(cache, tensor), ...tensor.shape.slice(2)],
          origin: [0, cache.positions[0]],
          dims: tensor.dims,
          layouts: program.layouts ?? [],
          ...ranksAt(program, layers[0] ?? 0),
        })
        const all = planTransfer(held(prefill, from, source), held(decode, to, target), onePool)
        const transfers = all.filter((each) => !onePool || each.from !== each.to)
        const bytesPerLayer = transfers.reduce((sum, { shape }) => sum + product(shape), 0) * dataTypes[source.dtype]
        if (transfers.length) caches.push({ name: to.name, from, to, layers, transfers, bytesPerLayer })
      }
    }
  }
  const shares = (side: 'from' | 'to', program: Program) =>
    sharesOf(
      caches.map((each) => ({ ...each, cache: each[side] })),
      program,
      batch,
    )
  return { caches, prefill: shares('from', prefill), decode: shares('to', decode) }
}

/** How many sequences a program works on in one step. */
export function sequencesOf({ items, tensors }: Program): number {
  const microbatches = regionsOf(items).find(({ axis }) => axis === 'microbatch')?.extent ?? 1
  return (lookup(tensors, 'inputs/tokens').shape[0] ?? 1) * microbatches
}

/** What a rank may hold of a cache: a split cache with room for further positions is split with that room. */
function roomOf({ positions: [first, end] }: PoolCache, { shape, placement }: Tensor): number {
  if (!placement?.shards[1]?.length || shape[1] === end - first) return end - first
  if (first === 0) return shape[1] ?? end
  throw new ShardloomError('NOT_PLANNED', 'A cache of a window that is split by position cannot pass between pools.', {
    help: 'Split it by heads.',
  })
}

function cachesOfPrefill(program: Program): PoolCache[] {
  const caches: PoolCache[] = []
  const ports = carriesOf(program)
  walk(program.items, (node, { path }) => {
    const at = path.find(({ region }) => region.axis === 'layer')
    if (node.op !== 'cache_write' || !at) return
    const [cache = '', added] = node.inputs
    const body = at.region.bodies[at.body]?.name ?? ''
    const name = node.id.slice(`prefill/${body}/`.length).replace(/_write$/, '')
    const common = { name, body, layers: iterationsOf(at.region, at.body) }
    if (added === undefined) {
      const tensor = node.outputs[0] ?? ''
      const seq = lookup(program.tensors, tensor).shape[1] ?? 0
      caches.push({ ...common, tensor, write: node, positions: [0, seq] })
      return
    }
    const position = Number(node.attributes?.['position'] ?? 0)
    const tokens = lookup(program.tensors, added).shape[1] ?? 0
    const chunks = path.find(({ region }) => region.axis === 'chunk')?.region.extent ?? 1
    const prefix = ports.get(cache)
    if (prefix !== undefined && position > 0) {
      const slots = lookup(program.tensors, prefix).shape[1] ?? 0
      caches.push({ ...common, tensor: prefix, positions: [Math.max(0, position + tokens - slots), position] })
    }
    caches.push({ ...common, tensor: added, write: node, positions: [position, position + chunks * tokens] })
  })
  return caches
}

function cachesOfDecode(program: Program): PoolCache[] {
  const caches: PoolCache[] = []
  const ports = carriesOf(program)
  walk(program.items, (node, { path }) => {
    const at = path.find(({ region }) => region.axis === 'layer')
    const tensor = ports.get(node.inputs[0] ?? '')
    if (node.op !== 'cache_write' || !at || tensor === undefined) return
    const body = at.region.bodies[at.body]?.name ?? ''
    const position = Number(node.attributes?.['position'] ?? 0)
    const tokens = lookup(program.tensors, node.inputs[1] ?? '').shape[1] ?? 1
    const slots = lookup(program.tensors, tensor).shape[1] ?? 0
    const name = node.id.slice(`decode/${body}/`.length).replace(/_write$/, '')
    const positions = [Math.max(0, position + tokens - slots), position] as const
    caches.push({ name, body, tensor, layers: iterationsOf(at.region, at.body), positions })
  })
  return caches
}

/** Carried values by the name inside → by the name before the first iteration. */
function carriesOf({ items }: Program): Map<string, string> {
  return new Map(
    regionsOf(items).flatMap(({ ports }) =>
      ports.flatMap((port) => (port.kind === 'carry' ? [[port.inner, port.initial] as const] : [])),
    ),
  )
}

function iterationsOf(region: Region, body: number): number[] {
  return Array.from({ length: region.extent }, (_, at) => at).filter((at) => bodyAt(region, at) === body)
}

/** The layers that two caches have in common, in lists of those whose ranks are the same on both sides. */
function alike(from: PoolCache, to: PoolCache, prefill: Program, decode: Program): number[][] {
  const lists = new Map<string, number[]>()
  const known = new Set(to.layers)
  for (const layer of from.layers.filter((each) => known.has(each))) {
    const key = [prefill, decode].map(({ pipeline }) => pipeline && holderOf(pipeline, layer)).join()
    lists.set(key, [...(lists.get(key) ?? []), layer])
  }
  return [...lists.values()]
}

function ranksAt(program: Program, layer: number): { readonly ranks?: readonly number[] } {
  const { pipeline, mesh } = program
  if (!pipeline) return {}
  const holder = holderOf(pipeline, layer)
  const all = Array.from({ length: mesh.world }, (_, rank) => rank)
  return { ranks: all.filter((rank) => coordinateOf(program, rank) === holder) }
}

/** For each tensor the elements that pass among those that all ranks hold of it in all its iterations. */
function sharesOf(
  caches: readonly (CacheTransfer & { readonly cache: PoolCache })[],
  program: Program,
  batch: number,
): Shares {
  const { mesh, tensors } = program
  const moved = new Map<string, number>()
  const held = new Map<string, number>()
  for (const { cache, layers, transfers } of caches) {
    const { tensor, positions } = cache
    const elements = transfers.reduce((sum, { shape }) => sum + product(shape), 0) * layers.length
    moved.set(tensor, (moved.get(tensor) ?? 0) + elements)
    if (held.has(tensor)) continue
    const { shape, placement, per } = lookup(tensors, tensor)
    const whole = [batch, ...shape.slice(1)]
    const local = (rank: number) =>
      product(placement ? localShape(whole, placement, mesh, coordinates(mesh, rank)) : whole)
    const { ranks = Array.from({ length: mesh.world }, (_, rank) => rank) } = ranksAt(program, cache.layers[0] ?? 0)
    const chunks = per.includes('chunk') ? (positions[1] - positions[0]) / (shape[1] ?? 1) : 1
    held.set(tensor, ranks.reduce((sum, rank) => sum + local(rank), 0) * cache.layers.length * chunks)
  }
  return new Map(
    [...moved].map(([tensor, part]) => {
      const whole = held.get(tensor) ?? 1
      const divisor = greatestCommonDivisor(part, whole)
      return [tensor, [part / divisor, whole / divisor] as const]
    }),
  )
}

/** Two pools that cannot hand over to each other. */
export function misfit(what: string, prefill: unknown, decode: unknown, help?: string): ShardloomError {
  const message = `The pools of prefill and decode have different ${what}: ${prefill} and ${decode}.`
  return new ShardloomError('POOLS', message, { subject: 'options.serving', help: help ?? 'Give both the same.' })
}

const product = (sizes: readonly number[]) => sizes.reduce((all, size) => all * size, 1)
