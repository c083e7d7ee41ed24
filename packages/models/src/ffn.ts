import type { DenseFfn, MixtureOfExperts } from './architecture.js'
import type { Graph } from './graph.js'
import { type LayerContext, plus } from './layer.js'
import { isGated } from './parameters.js'

/** Builds a dense feed-forward network or a mixture of experts on its normed input. */
export function buildFfn(graph: Graph, ffn: DenseFfn | MixtureOfExperts, context: LayerContext, x: string): string {
  if (ffn.kind === 'moe') return mixture(graph, ffn, context, x)
  return network(
    graph,
    context,
    { prefix: 'ffn', activation: ffn.activation, bias: ffn.bias, tokens: 'batch seq', experts: '' },
    x,
  )
}

interface Network {
  /** Where its weights are listed. */
  readonly prefix: string
  readonly activation: DenseFfn['activation']
  readonly bias: boolean
  /** Dims of the tokens, and of the weights before their own. */
  readonly tokens: string
  readonly experts: string
  readonly density?: readonly [number, number]
}

function network(graph: Graph, context: LayerContext, net: Network, x: string): string {
  const weight = (name: string) => context.weight(`${net.prefix}/${name}`)
  const dims = (last: string) => `${net.tokens} ${last}`
  const own = (rest: string) => (net.experts ? `${net.experts} ${rest}` : rest)
  const shared = {
    ...(net.density && { density: net.density }),
  }
  const project = (name: 'gate' | 'up' | 'down', from: string, to: string, input: string) => {
    const value = graph.one({
      name,
      op: 'einsum',
      rule: `${dims(from)}, ${own(`${from} ${to}`)} -> ${dims(to)}`,
      inputs: [input, weight(`${name}/weight`)],
      ...shared,
    })
    if (!net.bias) return value
    return graph.one({
      name: `${name}_bias`,
      op: 'add',
      rule: `${dims(to)}, ${own(to)} -> ${dims(to)}`,
      inputs: [value, weight(`${name}/bias`)],
      ...(net.density && { density: net.density }),
    })
  }
  const gated = isGated(net.activation)
  const gate = gated ? [project('gate', 'hidden', 'ffn', x)] : []
  const values = [...gate, project('up', 'hidden', 'ffn', x)]
  const activated = graph.one({
    name: 'activation',
    op: 'activation',
    rule: `${values.map(() => dims('ffn')).join(', ')} -> ${dims('ffn')}`,
    inputs: values,
    attributes: { function: net.activation },
    ...(net.density && { density: net.density }),
  })
  return project('down', 'ffn', 'hidden', activated)
}

function mixture(graph: Graph, moe: MixtureOfExperts, context: LayerContext, x: string): string {
  const density: readonly [number, number] = [moe.topK, moe.experts]
  const [weights = '', indices = ''] = graph.inModule('router', () => routed(graph, moe, context, x))
  const tokens = graph.one({
    name: 'dispatch',
    op: 'dispatch',
    rule: 'batch seq hidden, batch seq topk! -> experts batch seq hidden',
    inputs: [x, indices],
    sizes: { experts: moe.experts },
    density,
  })
  const outputs = graph.inModule('experts', () =>
    network(
      graph,
      context,
      {
        prefix: 'moe/experts',
        activation: moe.activation,
        bias: moe.bias,
        tokens: 'experts batch seq',
        experts: 'experts',
        density,
      },
      tokens,
    ),
  )
  const combined = graph.one({
    name: 'combine',
    op: 'combine',
    rule: 'experts batch seq hidden, batch seq topk!, batch seq topk! -> batch seq hidden',
    inputs: [outputs, weights, indices],
    density,
  })
  if (!moe.shared) return combined
  const gate = moe.shared.gate
  const shared = graph.inModule('shared', () => {
    const value = network(
      graph,
      context,
      { prefix: 'moe/shared', activation: moe.activation, bias: false, tokens: 'batch seq', experts: '' },
      x,
    )
    if (!gate) return value
    const score = graph.one({
      name: 'score',
      op: 'einsum',
      rule: 'batch seq hidden, hidden -> batch seq',
      inputs: [x, context.weight('moe/shared/router/weight')],
    })
    return graph.one({
      name: 'gated',
      op: 'sigmoid_gate',
      rule: 'batch seq hidden, batch seq -> batch seq hidden',
      inputs: [value, score],
    })
  })
  return plus(graph, 'sum', combined, shared, 'merge')
}

function routed(graph: Graph, moe: MixtureOfExperts, context: LayerContext, x: string): string[] {
  const scores = graph.one({
    name: 'scores',
    op: 'einsum',
    rule: 'batch seq hidden, hidden experts -> batch seq experts',
    inputs: [x, context.weight('moe/router/weight')],
  })
  const biased = moe.routerBias
    ? graph.one({
        name: 'bias',
        op: 'add',
        rule: 'batch seq experts, experts -> batch seq experts',
        inputs: [scores, context.weight('moe/router/bias')],
      })
    : scores
  const correction = moe.correctionBias ? [context.weight('moe/router/correction')] : []
  return graph.node({
    name: 'choose',
    op: 'router',
    kind: 'control',
    rule: `batch seq experts!${correction.length ? ', experts!' : ''} -> batch seq topk!, batch seq topk!`,
    inputs: [biased, ...correction],
    sizes: { topk: moe.topK },
    attributes: {
      score: moe.correctionBias ? 'sigmoid' : 'softmax',
      ...(moe.groups && { groups: moe.groups.count, groupTopK: moe.groups.topK }),
      ...(moe.normalised === false && { normalised: false }),
      ...(moe.scale !== undefined && moe.scale !== 1 && { scale: moe.scale }),
    },
    results: [{}, { dtype: 'int32' }],
  })
}
