import type { Json } from '@shardloom/core'
import type { GroupedAttention, LatentAttention } from './architecture.js'
import { pairsAttribute } from './causal-pairs.js'
import { dropped } from './dropped.js'
import type { Graph } from './graph.js'
import type { CacheExtension, LayerContext } from './layer.js'

/** With a carried cache: where the first iteration's tokens begin and how that moves on, for kernels that read positions. */
export function positionAttributes(
  cache: LayerContext['cache'],
): { attributes: Readonly<Record<string, Json>> } | undefined {
  if (cache?.kind !== 'extend') return undefined
  const { axis, position, advance } = cache
  const along = axis === 'decode_step' ? {} : { along: axis }
  return { attributes: { position, ...(advance !== 1 && { advance }), ...along } }
}

/** How many slots of a cache the tokens of an iteration read: all positions so far, or what attention reaches. */
function slotsOf({ position, tokens, advance }: CacheExtension, reach: number, iteration: number): number {
  return Math.min(position + advance * iteration + tokens, reach + tokens - 1)
}

/** What the kernels of attention run on. */
export interface Core {
  readonly q: string
  readonly k: readonly string[]
  readonly v: string
  /** Dims of queries and keys before the contracted one. */
  readonly query: string
  readonly key: string
  readonly width: string
  /** Dims of the values after `batch kv_seq`, and of the result after those of the query. */
  readonly value: string
  readonly out: string
  /** What scores are multiplied by before the softmax. */
  readonly scale: number
  readonly sinks?: string
}

/** Scores, softmax and context. With flash attention they run as one kernel, so that scores never touch memory. */
export function core(
  graph: Graph,
  attention: GroupedAttention | LatentAttention,
  context: LayerContext,
  parts: Core,
): string {
  const { density, pairs } = coverage(graph, attention, context, parts)
  const fusion = context.options.attention === 'flash' ? { fusion: graph.idOf('flash') } : {}
  const shared = { ...(density && { density }), ...fusion }
  const scores = `${parts.query} kv_seq`
  const score = graph.one({
    name: 'score',
    op: 'einsum',
    rule: `${parts.query} ${parts.width}, ${parts.key} ${parts.width} -> ${scores}`,
    inputs: [parts.q, ...parts.k],
    attributes: { class: 'attention', operands: ['query', 'key'], ...pairs },
    ...shared,
    ...(context.cache && !fusion.fusion && { fusion: graph.idOf('score') }),
  })
  const sinkDims = parts.query.replace('batch seq ', '')
  const probabilities = graph.one({
    name: 'softmax',
    op: 'softmax',
    rule: `${scores}!${parts.sinks ? `, ${sinkDims}` : ''} -> ${scores}!`,
    inputs: [score, ...(parts.sinks ? [parts.sinks] : [])],
    attributes: {
      scale: parts.scale,
      ...(attention.kind === 'grouped' && attention.window !== undefined && { window: attention.window }),
      ...(attention.kind === 'grouped' && attention.chunk !== undefined && { chunk: attention.chunk }),
      ...positionAttributes(context.cache)?.attributes,
      ...pairs,
    },
    ...shared,
  })
  const kept = dropped(graph, context, 'attention', 'dropout', scores, probabilities, shared, pairs)
  return graph.one({
    name: 'context',
    op: 'einsum',
    rule: `${scores}, batch kv_seq ${parts.value} -> ${parts.query} ${parts.out}`,
    inputs: [kept, parts.v],
    attributes: { class: 'attention', operands: ['probabilities', 'value'], ...pairs },
    ...shared,
    ...(context.cache && !fusion.fusion && { fusion: graph.idOf('context') }),
  })
}

/**
 * Which (query, key) pairs count: a share of all, where every query has as many, or those of a causal mask. A window or chunk
 * limits the keys of each query; the causal mask counts in full or as half of the pairs, as the option says. Decoding reads
 * only positions that count.
 */
function coverage(
  graph: Graph,
  attention: GroupedAttention | LatentAttention,
  { cache, options }: LayerContext,
  parts: Core,
): { readonly density?: readonly [number, number]; readonly pairs?: { readonly pairs: Json } } {
  const { window, chunk }: Partial<GroupedAttention> = attention.kind === 'grouped' ? attention : {}
  const halved = options.causal === 'halved'
  if (cache?.kind === 'extend') {
    if (cache.axis === 'decode_step') return {}
    const { position, advance } = cache
    if (!halved) return cachedCoverage(cache, window ?? chunk)
    const limit = window === undefined ? chunk !== undefined && { chunk } : { window }
    return { pairs: pairsAttribute({ ...limit, position, advance }) }
  }
  const seq = graph.find(parts.q).shape[1] ?? 1
  const reach = window ?? chunk ?? seq
  if (!halved) return reach < seq ? { density: [reach, seq] } : {}
  if (reach >= seq) return { pairs: pairsAttribute({}) }
  return { pairs: pairsAttribute(window === undefined ? { chunk: reach } : { window }) }
}

/** Counted in full with a carried cache, a query counts every slot that it could reach: the mean over the iterations. */
function cachedCoverage(
  cache: CacheExtension,
  reach = Number.POSITIVE_INFINITY,
): { readonly density?: readonly [number, number] } {
  const slots = Array.from({ length: cache.iterations }, (_, iteration) => slotsOf(cache, reach, iteration))
  const sum = (list: readonly number[]) => list.reduce((total, each) => total + each, 0)
  const [counted, read] = [sum(slots.map((each) => Math.min(reach, each))), sum(slots)]
  return counted === read ? {} : { density: [counted, read] }
}

/** Puts keys or values through the cache in inference, read by the fused `kernel`; in training they go straight to attention. */
export function cached(
  graph: Graph,
  context: LayerContext,
  attention: GroupedAttention | LatentAttention,
  name: string,
  value: string,
  dims: readonly string[],
  kernel: string,
): string {
  const { cache, options, body } = context
  if (!cache) return value
  const shape = graph.find(value).shape
  const own = dims.map((dim) => (dim === 'kv_seq' ? 'kv_seq!' : dim)).join(' ')
  const reach = attention.kind === 'grouped' ? (attention.window ?? attention.chunk) : undefined
  const read = (written: string) =>
    graph.one({
      name: `${name}_read`,
      op: 'cache_read',
      kind: 'memory',
      rule: `${dims.join(' ')} -> ${dims.join(' ')}`,
      inputs: [written],
      fusion: graph.idOf(kernel),
      results: [{ dims }],
    })
  if (cache.kind === 'fill') {
    const plain = dims.map((dim) => (dim === 'kv_seq' ? 'seq' : dim)).join(' ')
    const written = graph.one({
      name: `${name}_write`,
      op: 'cache_write',
      kind: 'memory',
      rule: `${plain} -> ${plain}`,
      inputs: [value],
      results: [{ dims, role: 'cache', dtype: options.cacheDtype }],
    })
    return read(written)
  }
  const dtype = options.cacheDtype
  const sizeIn = (iteration: number) => {
    const slots = slotsOf(cache, reach ?? Number.POSITIVE_INFINITY, iteration)
    return shape.map((each, position) => (position === 1 ? slots : each))
  }
  const size = sizeIn(0)
  const limit = reach === undefined ? {} : { limit: reach + cache.tokens - 1 }
  const growth = { position: 1, axis: cache.axis, by: cache.advance, ...limit }
  const { per, body: alternate } = graph.find(value)
  const outside = { per: per.filter((axis) => axis !== cache.axis), ...(alternate && { body: alternate }) }
  const initial = graph.tensor(`cache/${body}/attention/${name}`, dims, size, {
    role: 'cache',
    dtype,
    ...outside,
  })
  const inner = graph.tensor(`${options.phase}/cache/${body}/attention/${name}`, dims, size, {
    role: 'cache',
    dtype,
    growth,
  })
  const written = graph.one({
    name: `${name}_write`,
    op: 'cache_write',
    kind: 'memory',
    rule: `${own}, ${dims.map((dim) => (dim === 'kv_seq' ? 'seq!' : dim)).join(' ')} -> ${own}`,
    inputs: [inner, value],
    results: [{ dims, role: 'cache', dtype }],
    attributes: {
      ...positionAttributes(cache)?.attributes,
      // So many of the positions are written again in the next iteration.
      ...(cache.tokens > cache.advance && { rollback: cache.tokens - cache.advance }),
    },
  })
  const result = graph.tensor(`cache.after/${body}/attention/${name}`, dims, sizeIn(cache.iterations - 1), {
    role: 'cache',
    dtype,
    ...outside,
  })
  cache.carry({ initial, inner, next: written, result })
  return read(written)
}
