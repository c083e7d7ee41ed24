import type { GroupedAttention, Layer } from './architecture.js'
import { cached, core, positionAttributes } from './attention-core.js'
import type { Graph } from './graph.js'
import { latent } from './latent-attention.js'
import type { LayerContext } from './layer.js'

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
      value = graph.one({
        name: `${name}_rotary`,
        op: 'rotary',
        rule: `${dims}! -> ${dims}!`,
        inputs: [value],
        ...positionAttributes(context.cache),
      })
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
    scale: 1 / Math.sqrt(attention.headDim),
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
