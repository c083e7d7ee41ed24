import type { LatentAttention } from './architecture.js'
import { cached, core, positionAttributes } from './attention-core.js'
import type { Graph } from './graph.js'
import type { LayerContext } from './layer.js'

const latentHeads = 'batch seq kv_heads'

/** DeepSeek-V2, section 2.1. While decoding, the up-projections are absorbed, so that attention runs on the latent cache. */
export function latent(graph: Graph, attention: LatentAttention, context: LayerContext, x: string): string {
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
    attributes: { width: attention.ropeDim, ...positionAttributes(context.cache)?.attributes },
  })
  const c = lowRankNorm('kv_norm', 'kv_rank', down('kv_down', 'kv_rank'))
  const kRope = graph.one({
    name: 'k_rotary',
    op: 'rotary',
    rule: 'batch seq rope_dim! -> batch seq rope_dim!',
    inputs: [down('k_rope', 'rope_dim')],
    ...positionAttributes(context.cache),
  })
  const extending = context.options.phase === 'decode'
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
    scale: 1 / Math.sqrt(attention.nopeDim + attention.ropeDim),
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
  const key = join('k_latent', 'batch kv_seq', latents, ropes, graph.idOf(kernel))
  return { q: query, k: key, v: latents, key: 'batch kv_seq', width: 'latent_dim', value: 'kv_rank', out: 'kv_rank' }
}
