import type { GroupedAttention, LatentAttention } from './architecture.js'
import { dropped } from './dropped.js'
import type { Graph } from './graph.js'
import type { LayerContext } from './layer.js'

/** While decoding: the position of the first step's token, for kernels that read positions. */
export function decodePosition({ cache, options }: LayerContext): { attributes: { position: number } } | undefined {
  return cache?.kind === 'extend' ? { attributes: { position: options.seq - 1 } } : undefined
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
  const density = coverage(graph, attention, context, parts)
  const fusion = context.options.attention === 'flash' ? { fusion: graph.idOf('flash') } : {}
  const shared = { ...(density && { density }), ...fusion }
  const scores = `${parts.query} kv_seq`
  const score = graph.one({
    name: 'score',
    op: 'einsum',
    rule: `${parts.query} ${parts.width}, ${parts.key} ${parts.width} -> ${scores}`,
    inputs: [parts.q, ...parts.k],
    attributes: { class: 'attention', operands: ['query', 'key'] },
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
      ...decodePosition(context)?.attributes,
    },
    ...shared,
  })
  const kept = dropped(graph, context, 'dropout', scores, probabilities, shared)
  return graph.one({
    name: 'context',
    op: 'einsum',
    rule: `${scores}, batch kv_seq ${parts.value} -> ${parts.query} ${parts.out}`,
    inputs: [kept, parts.v],
    attributes: { class: 'attention', operands: ['probabilities', 'value'] },
    ...shared,
    ...(context.cache && !fusion.fusion && { fusion: graph.idOf('context') }),
  })
}

/**
 * The share of (query, key) pairs that count. A window or chunk limits the keys of each query; the causal mask counts in
 * full or as half of the pairs, as the option says. Decoding reads only positions that count.
 */
function coverage(
  graph: Graph,
  attention: GroupedAttention | LatentAttention,
  context: LayerContext,
  parts: Core,
): readonly [number, number] | undefined {
  if (context.cache?.kind === 'extend') return undefined
  const seq = graph.find(parts.q).shape[1] ?? 1
  const halved = context.options.causal === 'halved'
  const reach = attention.kind === 'grouped' ? (attention.window ?? attention.chunk ?? seq) : seq
  if (reach >= seq) return halved ? [1, 2] : undefined
  if (!halved) return [reach, seq]
  const windowed = attention.kind === 'grouped' && attention.window !== undefined
  return windowed ? [2 * reach * seq - reach * (reach - 1), 2 * seq * seq] : [reach, 2 * seq]
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
      results: [{ dims, role: 'cache' }],
    })
    return read(written)
  }
  const positions = Math.min(options.seq, reach ?? options.seq)
  const size = shape.map((each, position) => (position === 1 ? positions : each))
  const growth = { position: 1, axis: 'decode_step', by: 1, ...(reach !== undefined && { limit: reach }) }
  const { per, body: alternate } = graph.find(value)
  const outside = { per: per.filter((axis) => axis !== 'decode_step'), ...(alternate && { body: alternate }) }
  const initial = graph.tensor(`cache/${body}/attention/${name}`, dims, size, {
    role: 'cache',
    ...outside,
  })
  const inner = graph.tensor(`decode/cache/${body}/attention/${name}`, dims, size, { role: 'cache', growth })
  const written = graph.one({
    name: `${name}_write`,
    op: 'cache_write',
    kind: 'memory',
    rule: `${own}, ${dims.map((dim) => (dim === 'kv_seq' ? 'seq!' : dim)).join(' ')} -> ${own}`,
    inputs: [inner, value],
    results: [{ dims, role: 'cache' }],
    ...decodePosition(context),
  })
  const result = graph.tensor(`cache.after/${body}/attention/${name}`, dims, size, {
    role: 'cache',
    ...outside,
  })
  cache.carry({ initial, inner, next: written, result })
  return read(written)
}
