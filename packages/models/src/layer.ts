import type { Tensor } from '@shardloom/core'
import type { Layer, ModelArchitecture } from './architecture.js'
import { buildAttention } from './attention.js'
import type { ResolvedOptions } from './build.js'
import { dropped } from './dropped.js'
import { buildFfn } from './ffn.js'
import type { Graph } from './graph.js'

/** A KV cache that the decode loop carries from step to step. */
export interface CacheCarry {
  readonly initial: string
  readonly inner: string
  readonly next: string
  readonly result: string
}

/** A cache that each iteration of a region reads and extends by the positions of its tokens. */
export interface CacheExtension {
  readonly kind: 'extend'
  readonly axis: 'decode_step' | 'chunk'
  readonly iterations: number
  /** The position of the first iteration's first token: so many have been written before. */
  readonly position: number
  /** Tokens of an iteration, and by how many positions the next one begins later: fewer where some are taken back. */
  readonly tokens: number
  readonly advance: number
  readonly carry: (carry: CacheCarry) => void
}

/** What the parts of a layer need to know. */
export interface LayerContext {
  readonly architecture: ModelArchitecture
  readonly options: ResolvedOptions
  /** The tensor of one of this layer's weights. */
  readonly weight: (name: string) => string
  /** Name of the body that is being built. */
  readonly body: string
  /** Id of the residual stream as the port hands it in, and a tensor of its shape. */
  readonly residual: string
  readonly like: Tensor
  /** Inference: `fill` writes the whole cache at once, the other reads a carried one and adds to it. */
  readonly cache?: { readonly kind: 'fill' } | CacheExtension
}

/** A norm of the residual stream. */
export function hiddenNorm(graph: Graph, context: LayerContext, weight: string, name: string, x: string): string {
  const { kind, bias } = context.architecture.norm
  return graph.one({
    name,
    op: 'norm',
    rule: `batch seq hidden!, hidden!${bias ? ', hidden!' : ''} -> batch seq hidden!`,
    inputs: [x, context.weight(`${weight}/gain`), ...(bias ? [context.weight(`${weight}/bias`)] : [])],
    attributes: { kind },
  })
}

/** A sum of two tensors of the residual stream's shape. */
export function plus(graph: Graph, name: string, a: string, b: string, op: 'add' | 'merge' = 'add'): string {
  return graph.one({ name, op, rule: 'batch seq hidden, batch seq hidden -> batch seq hidden', inputs: [a, b] })
}

/** Builds one layer and returns the residual stream after it. */
export function buildLayer(graph: Graph, layer: Layer, context: LayerContext): string {
  const { like, residual } = context
  const x = graph.tensors.has(residual) ? residual : graph.shared(residual, like.dims, like.shape)
  const attention = (normed: string) => {
    const branch = graph.inModule('attention', () => {
      const out = buildAttention(graph, layer.attention, context, normed)
      return dropped(graph, context, 'residual', 'out_dropout', 'batch seq hidden', out)
    })
    if (layer.norms !== 'post' && layer.norms !== 'sandwich') return branch
    return graph.inModule('attention', () => hiddenNorm(graph, context, 'attention_post_norm', 'post_norm', branch))
  }
  const ffn = (normed: string) => {
    const module = layer.ffn.kind === 'moe' ? 'moe' : 'ffn'
    const branch = graph.inModule(module, () => {
      const out = buildFfn(graph, layer.ffn, context, normed)
      return dropped(graph, context, 'residual', 'dropout', 'batch seq hidden', out)
    })
    if (layer.norms !== 'post' && layer.norms !== 'sandwich') return branch
    return graph.inModule(module, () => hiddenNorm(graph, context, 'ffn_post_norm', 'post_norm', branch))
  }
  const before = (weight: string, module: string, value: string) =>
    layer.norms === 'post' ? value : graph.inModule(module, () => hiddenNorm(graph, context, weight, 'norm', value))
  const ffnModule = layer.ffn.kind === 'moe' ? 'moe' : 'ffn'
  if (layer.residual === 'parallel') {
    const first = before('attention_norm', 'attention', x)
    const second = layer.norms === 'shared' ? first : before('ffn_norm', ffnModule, x)
    const branches = plus(graph, 'branches', attention(first), ffn(second), 'merge')
    return plus(graph, 'residual', x, branches)
  }
  const middle = attention(before('attention_norm', 'attention', x))
  const x1 = graph.inModule('attention', () => plus(graph, 'residual', x, middle))
  const branch = ffn(before('ffn_norm', ffnModule, x1))
  return graph.inModule(ffnModule, () => plus(graph, 'residual', x1, branch))
}
