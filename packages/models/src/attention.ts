import type { GroupedAttention, LatentAttention, Layer } from './architecture.js'
import type { Graph } from './graph.js'
import type { LayerContext } from './layer.js'

const latentHeads = 'batch seq kv_heads'

/** Builds the attention of one layer on its normed input and returns its output projection's result. */
export function buildAttention(graph: Graph, attention: Layer['attention'], context: LayerContext, x: string): string {
  if (attention.kind === 'grouped') return grouped(graph, attention, context, x)
  if (attention.kind === 'latent') return latent(graph, attention, context, x)
  throw new Error(`internal error: ${attention.feature} is not drawn`)
}

function grouped(graph: Graph, attention: GroupedAttention, context: LayerContext, x: string): string {
  const { weight } = context
  const project = (name: 'q' | 'k' | 'v') => {
    const heads = name === 'q' ? 'kv_heads group head_dim' : 'kv_heads head_dim'
    const dims = `batch seq ${heads}`
    const norm = attention.qkNorm !== undefined && name !== 'v'
    let value = graph.one({
      name,
      op: 'einsum',
      rule: `batch seq hidden, hidden ${heads} -> ${dims}`,
      inputs: [x, weight(`attention/${name}/weight`)],
    })
    if (attention.bias.qkv)
      value = graph.one({
        name: `${name}_bias`,
        op: 'add',
        rule: `${dims}, ${heads} -> ${dims}`,
        inputs: [value, weight(`attention/${name}/bias`)],
      })
    if (norm) value = headNorm(graph, attention, context, name, value, heads)
    if (attention.rotary && name !== 'v')
      value = graph.one({ name: `${name}_rotary`, op: 'rotary', rule: `${dims}! -> ${dims}!`, inputs: [value] })
    return value
  }
  const q = project('q')
  const keyDims = ['batch', 'kv_seq', 'kv_heads', 'head_dim']
  const flash = context.options.attention === 'flash'
  const k = cached(graph, context, attention, 'k', project('k'), keyDims, flash ? 'flash' : 'score')
  const v = cached(graph, context, attention, 'v', project('v'), keyDims, flash ? 'flash' : 'context')
  const o = core(graph, attention, context, {
    q,
    k: [k],
    v,
    query: 'batch seq kv_heads group',
    key: 'batch kv_seq kv_heads',
    width: 'head_dim',
    value: 'kv_heads head_dim',
    out: 'head_dim',
    ...(attention.sinks && { sinks: weight('attention/sinks') }),
  })
  const out = graph.one({
    name: 'out',
    op: 'einsum',
    rule: 'batch seq kv_heads group head_dim, kv_heads group head_dim hidden -> batch seq hidden',
    inputs: [o, weight('attention/out/weight')],
  })
  if (!attention.bias.out) return out
  return graph.one({
    name: 'out_bias',
    op: 'add',
    rule: 'batch seq hidden, hidden -> batch seq hidden',
    inputs: [out, weight('attention/out/bias')],
  })
}

function headNorm(
  graph: Graph,
  attention: GroupedAttention,
  context: LayerContext,
  name: 'q' | 'k',
  value: string,
  heads: string,
): string {
  const whole = attention.qkNorm === 'whole'
  const marked = whole ? heads.replaceAll(/(\w+)/g, '$1!') : heads.replace('head_dim', 'head_dim!')
  const gain = whole ? marked : 'head_dim!'
  const gained = attention.qkNormGain !== false
  return graph.one({
    name: `${name}_norm`,
    op: 'norm',
    rule: `batch seq ${marked}${gained ? `, ${gain}` : ''} -> batch seq ${marked}`,
    inputs: [value, ...(gained ? [context.weight(`attention/${name}_norm/gain`)] : [])],
    attributes: { kind: 'rms' },
  })
}

interface Core {
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
  readonly sinks?: string
}

/** Scores, softmax and context. With flash attention they run as one kernel, so that scores never touch memory. */
function core(graph: Graph, attention: GroupedAttention | LatentAttention, context: LayerContext, parts: Core): string {
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
    ...shared,
  })
  return graph.one({
    name: 'context',
    op: 'einsum',
    rule: `${scores}, batch kv_seq ${parts.value} -> ${parts.query} ${parts.out}`,
    inputs: [probabilities, parts.v],
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
function cached(
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
  const { per: _, ...place } = graph.find(value)
  const where = place.body === undefined ? {} : { body: place.body }
  const initial = graph.tensor(`cache/${body}/attention/${name}`, dims, size, {
    role: 'cache',
    per: ['layer'],
    ...where,
  })
  const inner = graph.tensor(`decode/cache/${body}/attention/${name}`, dims, size, { role: 'cache', growth })
  const written = graph.one({
    name: `${name}_write`,
    op: 'cache_write',
    kind: 'memory',
    rule: `${own}, ${dims.map((dim) => (dim === 'kv_seq' ? 'seq!' : dim)).join(' ')} -> ${own}`,
    inputs: [inner, value],
    results: [{ dims, role: 'cache' }],
  })
  const result = graph.tensor(`cache.after/${body}/attention/${name}`, dims, size, {
    role: 'cache',
    per: ['layer'],
    ...where,
  })
  cache.carry({ initial, inner, next: written, result })
  return read(written)
}

/** DeepSeek-V2, section 2.1. While decoding, the up-projections are absorbed, so that attention runs on the latent cache. */
function latent(graph: Graph, attention: LatentAttention, context: LayerContext, x: string): string {
  const { weight } = context
  const lowRankNorm = (name: string, rank: string, value: string) =>
    graph.one({
      name,
      op: 'norm',
      rule: `batch seq ${rank}!, ${rank}! -> batch seq ${rank}!`,
      inputs: [value, weight(`attention/${name}/gain`)],
      attributes: { kind: 'rms' },
    })
  const down = (name: string, rank: string) =>
    graph.one({
      name,
      op: 'einsum',
      rule: `batch seq hidden, hidden ${rank} -> batch seq ${rank}`,
      inputs: [x, weight(`attention/${name}/weight`)],
    })
  const rank = attention.queryRank === undefined ? 'hidden' : 'q_rank'
  const source = attention.queryRank === undefined ? x : lowRankNorm('q_norm', 'q_rank', down('q_down', 'q_rank'))
  const projected = graph.one({
    name: 'q',
    op: 'einsum',
    rule: `batch seq ${rank}, ${rank} kv_heads qk_dim -> ${latentHeads} qk_dim`,
    inputs: [source, weight('attention/q/weight')],
  })
  const q = graph.one({
    name: 'q_rotary',
    op: 'rotary',
    rule: `${latentHeads} qk_dim! -> ${latentHeads} qk_dim!`,
    inputs: [projected],
    attributes: { width: attention.ropeDim },
  })
  const c = lowRankNorm('kv_norm', 'kv_rank', down('kv_down', 'kv_rank'))
  const kRope = graph.one({
    name: 'k_rotary',
    op: 'rotary',
    rule: 'batch seq rope_dim! -> batch seq rope_dim!',
    inputs: [down('k_rope', 'rope_dim')],
  })
  const extending = context.cache?.kind === 'extend'
  const kernel = !extending ? 'up' : context.options.attention === 'flash' ? 'flash' : 'score'
  const latents = cached(graph, context, attention, 'c', c, ['batch', 'kv_seq', 'kv_rank'], kernel)
  const ropes = cached(graph, context, attention, 'k_rope_cache', kRope, ['batch', 'kv_seq', 'rope_dim'], kernel)
  const sizes = {
    nope_dim: attention.nopeDim,
    rope_dim: attention.ropeDim,
    qk_dim: attention.nopeDim + attention.ropeDim,
  }
  const parts = extending
    ? absorbed(graph, attention, context, q, latents, ropes, sizes, kernel)
    : expanded(graph, context, latents, ropes, sizes)
  const heads = core(graph, attention, context, {
    q: parts.q ?? q,
    k: [parts.k],
    v: parts.v,
    query: latentHeads,
    key: parts.key,
    width: parts.width,
    value: parts.value,
    out: parts.out,
  })
  const values =
    parts.out === 'value_dim'
      ? heads
      : graph.one({
          name: 'v_up',
          op: 'einsum',
          rule: `${latentHeads} kv_rank, kv_rank kv_heads value_dim -> ${latentHeads} value_dim`,
          inputs: [heads, weight('attention/v_up/weight')],
        })
  return graph.one({
    name: 'out',
    op: 'einsum',
    rule: `${latentHeads} value_dim, kv_heads value_dim hidden -> batch seq hidden`,
    inputs: [values, weight('attention/out/weight')],
  })
}

interface LatentParts {
  readonly q?: string
  readonly k: string
  readonly v: string
  readonly key: string
  readonly width: string
  readonly value: string
  readonly out: string
}

function expanded(
  graph: Graph,
  context: LayerContext,
  latents: string,
  ropes: string,
  sizes: Readonly<Record<string, number>>,
): LatentParts {
  const { weight } = context
  const fusion = context.cache && { fusion: graph.idOf('up') }
  const up = (name: 'k_up' | 'v_up', width: string) =>
    graph.one({
      name,
      op: 'einsum',
      rule: `batch seq kv_rank, kv_rank kv_heads ${width} -> ${latentHeads} ${width}`,
      inputs: [latents, weight(`attention/${name}/weight`)],
      ...fusion,
    })
  const k = graph.one({
    name: 'k',
    op: 'join_heads',
    rule: `${latentHeads} nope_dim!, batch seq rope_dim! -> ${latentHeads} qk_dim!`,
    inputs: [up('k_up', 'nope_dim'), ropes],
    sizes,
    ...fusion,
  })
  return {
    k,
    v: up('v_up', 'value_dim'),
    key: 'batch kv_seq kv_heads',
    width: 'qk_dim',
    value: 'kv_heads value_dim',
    out: 'value_dim',
  }
}

function absorbed(
  graph: Graph,
  attention: LatentAttention,
  context: LayerContext,
  q: string,
  latents: string,
  ropes: string,
  sizes: Readonly<Record<string, number>>,
  kernel: string,
): LatentParts {
  const slice = (name: string, width: string, part: string) =>
    graph.one({
      name,
      op: 'slice_heads',
      rule: `${latentHeads} qk_dim! -> ${latentHeads} ${width}!`,
      inputs: [q],
      sizes,
      attributes: { part },
    })
  const nope = slice('q_nope', 'nope_dim', 'own')
  const rope = slice('q_rope', 'rope_dim', 'shared')
  const inLatent = graph.one({
    name: 'k_up',
    op: 'einsum',
    rule: `${latentHeads} nope_dim, kv_rank kv_heads nope_dim -> ${latentHeads} kv_rank`,
    inputs: [nope, context.weight('attention/k_up/weight')],
  })
  const width = { latent_dim: attention.kvRank + attention.ropeDim }
  const join = (name: string, dims: string, a: string, b: string, fusion?: string) =>
    graph.one({
      name,
      op: 'join_parts',
      rule: `${dims} kv_rank!, ${dims} rope_dim! -> ${dims} latent_dim!`,
      inputs: [a, b],
      sizes: width,
      ...(fusion && { fusion }),
    })
  const query = join('q_latent', latentHeads, inLatent, rope)
  const key = join('k_latent', 'batch seq', latents, ropes, graph.idOf(kernel))
  return { q: query, k: key, v: latents, key: 'batch kv_seq', width: 'latent_dim', value: 'kv_rank', out: 'kv_rank' }
}
