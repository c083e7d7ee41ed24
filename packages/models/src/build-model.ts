import type { Port } from '@shardloom/core'
import type { ModelArchitecture } from './architecture.js'
import type { ResolvedOptions } from './build.js'
import { dropped } from './dropped.js'
import type { Graph } from './graph.js'
import { buildLayer, type LayerContext } from './layer.js'
import type { LayerRuns } from './layer-runs.js'
import type { ParameterIds } from './weights.js'

/** What the parts of a model are built from and into. */
export interface Model {
  readonly graph: Graph
  readonly architecture: ModelArchitecture
  readonly options: ResolvedOptions
  readonly runs: LayerRuns
  readonly weights: ParameterIds
}

/**
 * Builds what is done for each microbatch of inference: they hand nothing to one another, so that a pipeline can run them
 * staggered. One microbatch needs no region.
 */
export function eachMicrobatch({ graph, options }: Model, build: () => void): void {
  const extent = options.microbatches
  if (extent === 1) return build()
  const { bodies } = graph.bodies('microbatch', ['microbatch'], build)
  const select = [{ body: 0, count: extent }]
  graph.region({ id: 'microbatches', axis: 'microbatch', extent, order: 'parallel', bodies, select, ports: [] })
}

/** Declares one input of a token or label per position. */
export function tokenInput(graph: Graph, name: string, batch: number, seq: number): string {
  return graph.tensor(`inputs/${name}`, ['batch', 'seq'], [batch, seq], { role: 'input', dtype: 'int32' })
}

/** Turns tokens into the residual stream. */
export function embed(model: Model, tokens: string): string {
  return model.graph.inModule('embedding', () => {
    const embedded = lookedUp(model, tokens)
    return dropped(model.graph, model, 'embedding', 'dropout', 'batch seq hidden', embedded)
  })
}

function lookedUp({ graph, architecture, weights }: Model, tokens: string): string {
  const words = graph.one({
    name: 'tokens',
    op: 'embedding',
    rule: 'batch seq, vocab hidden -> batch seq hidden',
    inputs: [tokens, weights.top('embedding/weight')],
  })
  if (architecture.learnedPositions === undefined) return words
  const ids = graph.positions(graph.find(tokens).shape[1] ?? 1)
  const positions = graph.one({
    name: 'positions',
    op: 'embedding',
    rule: 'seq, positions hidden -> seq hidden',
    inputs: [ids, weights.top('embedding/positions')],
  })
  return graph.one({
    name: 'sum',
    op: 'add',
    rule: 'batch seq hidden, seq hidden -> batch seq hidden',
    inputs: [words, positions],
  })
}

/** The layers as one region that carries the residual stream. Returns its result. */
export function layers(model: Model, x: string, cache?: LayerContext['cache']): string {
  const { graph, architecture, options, runs, weights } = model
  const like = graph.find(x)
  const region = graph.idOf('layers')
  const { bodies, results } = graph.bodies('layer', runs.names, (name) => {
    const index = runs.names.indexOf(name)
    const layer = runs.layers[index]
    if (!layer) throw new Error('internal error: a body without a layer')
    const weight = (parameter: string) => weights.layer(name, parameter)
    return buildLayer(graph, layer, {
      architecture,
      options,
      weight,
      body: name,
      residual: `${region}/x`,
      like,
      ...(cache && { cache }),
    })
  })
  const result = graph.tensor(`${region}/out`, like.dims, like.shape, { role: 'activation' })
  const ports: Port[] = [{ kind: 'carry', initial: x, inner: `${region}/x`, next: results, result }]
  graph.region({ id: region, axis: 'layer', extent: runs.extent, order: 'forward', bodies, select: runs.select, ports })
  return result
}

/** The final norm and the logits of the residual stream, whose dims before `hidden` are `dims`. */
export function logits(model: Model, x: string, dims: string): string {
  const { graph, architecture, weights } = model
  return graph.inModule('head', () => {
    const { kind, bias } = architecture.norm
    const normed = graph.one({
      name: 'norm',
      op: 'norm',
      rule: `${dims} hidden!, hidden!${bias ? ', hidden!' : ''} -> ${dims} hidden!`,
      inputs: [x, weights.top('final_norm/gain'), ...(bias ? [weights.top('final_norm/bias')] : [])],
      attributes: { kind },
    })
    const table = weights.top(architecture.tiedEmbeddings ? 'embedding/weight' : 'head/weight')
    const product = graph.one({
      name: 'logits',
      op: 'einsum',
      rule: `${dims} hidden, vocab hidden -> ${dims} vocab`,
      inputs: [normed, table],
      attributes: { class: 'head' },
    })
    if (!architecture.headBias) return product
    return graph.one({
      name: 'bias',
      op: 'add',
      rule: `${dims} vocab, vocab -> ${dims} vocab`,
      inputs: [product, weights.top('head/bias')],
    })
  })
}

/** The tokens that the logits choose. */
export function sample({ graph }: Model, logits: string, dims: string): string {
  return graph.inModule('head', () =>
    graph.one({
      name: 'sample',
      op: 'sample',
      kind: 'control',
      rule: `${dims} vocab! -> ${dims}`,
      inputs: [logits],
      results: [{ dtype: 'int32' }],
    }),
  )
}
