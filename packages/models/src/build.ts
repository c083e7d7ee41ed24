import {
  closePorts,
  createMesh,
  type DataType,
  type Phase,
  type Port,
  type Program,
  type Region,
  ShardloomError,
} from '@shardloom/core'
import type { Layer, ModelArchitecture } from './architecture.js'
import { Graph } from './graph.js'
import { buildLayer, type LayerContext } from './layer.js'
import { addParameters, type ParameterIds } from './weights.js'

/** How one device runs a model. */
export interface BuildOptions {
  readonly phase: Phase
  /** Sequences of one microbatch over the whole mesh (training), or of the whole batch (prefill, decode). */
  readonly batch: number
  /** Training: microbatches per step. */
  readonly microbatches?: number
  /** Training, prefill: tokens per sequence. Decode: positions that the first step reads, its own included. */
  readonly seq: number
  /** Decode: steps in the graph. */
  readonly steps?: number
  /** Whether scores and probabilities touch memory and are saved for backward. */
  readonly attention?: 'flash' | 'materialised'
  /** Whether the FLOPs of causal attention count every pair of positions, or half of them. */
  readonly causal?: 'whole' | 'halved'
  readonly dtype?: DataType
  readonly gradientDtype?: DataType
  /** Depths at which a new body begins, so that a strategy can name ranges of layers. */
  readonly layerBoundaries?: readonly number[]
}

/** The options with their defaults. */
export type ResolvedOptions = Required<BuildOptions>

/** Builds the operator graph of one device for one phase; training as its forward pass, which `differentiate` completes. */
export function buildProgram(architecture: ModelArchitecture, given: BuildOptions): Program {
  if (architecture.undrawn?.length) {
    throw new ShardloomError(
      'UNDRAWN',
      `\`${architecture.name}\` cannot be planned yet: it needs ${architecture.undrawn.join(', ')}.`,
      {
        subject: architecture.name,
        help: 'Its parameters can still be counted. Choose a model without this feature.',
      },
    )
  }
  const options: ResolvedOptions = {
    microbatches: 1,
    steps: 1,
    attention: 'flash',
    causal: 'whole',
    dtype: 'bf16',
    gradientDtype: 'fp32',
    layerBoundaries: [],
    ...given,
  }
  checkOptions(architecture, options)
  const { phase } = options
  const graph = new Graph(phase === 'training' ? 'forward' : phase, options.dtype)
  const kinds = layerRuns(architecture, options.layerBoundaries)
  const weights = addParameters(graph, architecture, kinds)
  if (phase === 'training') buildTraining(graph, architecture, options, kinds, weights)
  else if (phase === 'prefill') buildPrefill(graph, architecture, options, kinds, weights)
  else buildDecode(graph, architecture, options, kinds, weights)
  const { attention, causal, dtype, gradientDtype } = options
  return {
    schema: 'shardloom.program/1',
    name: architecture.name,
    phase,
    mesh: createMesh([]),
    tensors: graph.tensors,
    items: closePorts(graph.finish(), graph.tensors),
    preferences: [],
    uneven: 'refuse',
    notes: { model: architecture.name, attention, causal, dtype, ...(phase === 'training' && { gradientDtype }) },
  }
}

function checkOptions(architecture: ModelArchitecture, options: ResolvedOptions): void {
  for (const name of ['batch', 'microbatches', 'seq', 'steps'] as const) {
    const value = options[name]
    if (Number.isSafeInteger(value) && value >= 1) continue
    throw new ShardloomError('OPTION', `\`${name}\` is ${value}.`, {
      subject: name,
      help: 'It is a whole number of at least 1.',
    })
  }
  const longest = architecture.learnedPositions
  const positions = options.seq + (options.phase === 'decode' ? options.steps - 1 : 0)
  if (longest !== undefined && positions > longest) {
    throw new ShardloomError(
      'POSITIONS',
      `${positions} positions are asked of \`${architecture.name}\`, which has learned ${longest}.`,
      {
        subject: 'seq',
        help: `Use a \`seq\` of at most ${longest - (positions - options.seq)}.`,
      },
    )
  }
}

/** The distinct bodies of the layer region and which of them each depth runs. */
export interface LayerRuns {
  readonly names: readonly string[]
  readonly layers: readonly Layer[]
  /** The kind of layer, in the architecture's words, behind each body. */
  readonly kinds: readonly string[]
  readonly select: Region['select']
  readonly extent: number
}

function layerRuns(architecture: ModelArchitecture, boundaries: readonly number[]): LayerRuns {
  const { runs, repeat = 1 } = architecture.order
  const period = runs.reduce((sum, run) => sum + run.count, 0)
  const extent = period * repeat
  const cuts = [...new Set(boundaries)].filter((cut) => cut > 0 && cut < extent).sort((a, b) => a - b)
  const names: string[] = []
  const kinds: string[] = []
  const layers: Layer[] = []
  const select: { body: number; count: number }[] = []
  const bodyOf = (kind: string, part: number) => {
    const name = cuts.length === 0 ? kind : `${kind}-${part}`
    const known = names.indexOf(name)
    if (known >= 0) return known
    const layer = architecture.layers[kind]
    if (!layer)
      throw new ShardloomError('ARCHITECTURE', `The model orders a layer \`${kind}\`, which it does not describe.`)
    names.push(name)
    kinds.push(kind)
    layers.push(layer)
    return names.length - 1
  }
  const rounds = cuts.length === 0 ? 1 : repeat
  let depth = 0
  for (let round = 0; round < rounds; round++) {
    for (const run of runs) {
      let left = run.count
      while (left > 0) {
        const part = cuts.filter((cut) => cut <= depth).length
        const next = cuts[part] ?? Number.POSITIVE_INFINITY
        const count = Math.min(left, next - depth)
        select.push({ body: bodyOf(run.layer, part), count })
        depth += count
        left -= count
      }
    }
  }
  return { names, layers, kinds, select, extent }
}

interface Inputs {
  readonly tokens: string
  readonly labels?: string
}

function embed(graph: Graph, architecture: ModelArchitecture, weights: ParameterIds, tokens: string): string {
  return graph.inModule('embedding', () => {
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
  })
}

function finalNorm(
  graph: Graph,
  architecture: ModelArchitecture,
  weights: ParameterIds,
  x: string,
  dims: string,
): string {
  const bias = architecture.norm.bias
  return graph.inModule('head', () =>
    graph.one({
      name: 'norm',
      op: 'norm',
      rule: `${dims} hidden!, hidden!${bias ? ', hidden!' : ''} -> ${dims} hidden!`,
      inputs: [x, weights.top('final_norm/gain'), ...(bias ? [weights.top('final_norm/bias')] : [])],
      attributes: { kind: architecture.norm.kind },
    }),
  )
}

function head(graph: Graph, architecture: ModelArchitecture, weights: ParameterIds, x: string, dims: string): string {
  return graph.inModule('head', () => {
    const table = weights.top(architecture.tiedEmbeddings ? 'embedding/weight' : 'head/weight')
    const logits = graph.one({
      name: 'logits',
      op: 'einsum',
      rule: `${dims} hidden, vocab hidden -> ${dims} vocab`,
      inputs: [x, table],
      attributes: { class: 'head' },
    })
    if (!architecture.headBias) return logits
    return graph.one({
      name: 'bias',
      op: 'add',
      rule: `${dims} vocab, vocab -> ${dims} vocab`,
      inputs: [logits, weights.top('head/bias')],
    })
  })
}

/** The layers as one region that carries the residual stream. Returns its result. */
function layers(
  graph: Graph,
  architecture: ModelArchitecture,
  options: ResolvedOptions,
  runs: LayerRuns,
  weights: ParameterIds,
  x: string,
  cache?: LayerContext['cache'],
): string {
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

function inputs(graph: Graph, options: ResolvedOptions, seq: number, withLabels: boolean): Inputs {
  const declare = (name: string) =>
    graph.tensor(`inputs/${name}`, ['batch', 'seq'], [options.batch, seq], { role: 'input', dtype: 'int32' })
  return { tokens: declare('tokens'), ...(withLabels && { labels: declare('labels') }) }
}

function buildTraining(
  graph: Graph,
  architecture: ModelArchitecture,
  options: ResolvedOptions,
  runs: LayerRuns,
  weights: ParameterIds,
): void {
  const scale = graph.tensor('inputs/loss_scale', [], [], { role: 'input', dtype: 'fp32' })
  const { bodies, results } = graph.bodies('microbatch', ['microbatch'], () => {
    const { tokens, labels = '' } = inputs(graph, options, options.seq, true)
    const x = layers(graph, architecture, options, runs, weights, embed(graph, architecture, weights, tokens))
    const logits = head(
      graph,
      architecture,
      weights,
      finalNorm(graph, architecture, weights, x, 'batch seq'),
      'batch seq',
    )
    return graph.inModule('head', () => {
      const wide = { results: [{ dtype: 'fp32' as const }] }
      const rule = 'batch seq vocab, batch seq -> batch seq'
      const maximum = graph.one({
        name: 'max',
        op: 'logit_max',
        rule: 'batch seq vocab -> batch seq',
        inputs: [logits],
        ...wide,
      })
      const sum = graph.one({ name: 'sum', op: 'exponential_sum', rule, inputs: [logits, maximum], ...wide })
      const target = graph.one({ name: 'target', op: 'target_logit', rule, inputs: [logits, labels], ...wide })
      return graph.one({
        name: 'loss',
        op: 'cross_entropy',
        rule: 'batch seq, batch seq, batch seq, batch seq, . -> .',
        inputs: [maximum, sum, target, labels, scale],
        ...wide,
      })
    })
  })
  const loss = graph.tensor('loss', [], [], { role: 'activation', dtype: 'fp32' })
  graph.region({
    id: 'microbatches',
    axis: 'microbatch',
    extent: options.microbatches,
    order: 'parallel',
    bodies,
    select: [{ body: 0, count: options.microbatches }],
    ports: [{ kind: 'reduce', inner: [results[0] ?? null], result: loss }],
  })
}

function buildPrefill(
  graph: Graph,
  architecture: ModelArchitecture,
  options: ResolvedOptions,
  runs: LayerRuns,
  weights: ParameterIds,
): void {
  const { tokens } = inputs(graph, options, options.seq, false)
  const x = layers(graph, architecture, options, runs, weights, embed(graph, architecture, weights, tokens), {
    kind: 'fill',
  })
  const last = graph.inModule('head', () =>
    graph.one({ name: 'last', op: 'last_position', rule: 'batch seq hidden -> batch hidden', inputs: [x] }),
  )
  sampled(
    graph,
    head(graph, architecture, weights, finalNorm(graph, architecture, weights, last, 'batch'), 'batch'),
    'batch',
  )
}

function sampled(graph: Graph, logits: string, dims: string): string {
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

function buildDecode(
  graph: Graph,
  architecture: ModelArchitecture,
  options: ResolvedOptions,
  runs: LayerRuns,
  weights: ParameterIds,
): void {
  const { tokens } = inputs(graph, options, 1, false)
  const carries: { initial: string; inner: string; next: string; result: string }[] = []
  const { bodies } = graph.bodies('decode_step', ['decode_step'], () => {
    const inner = graph.tensor('decode/tokens', ['batch', 'seq'], [options.batch, 1], {
      role: 'activation',
      dtype: 'int32',
    })
    const x = layers(graph, architecture, options, runs, weights, embed(graph, architecture, weights, inner), {
      kind: 'extend',
      carry: (carry) => carries.push(carry),
    })
    const logits = head(
      graph,
      architecture,
      weights,
      finalNorm(graph, architecture, weights, x, 'batch seq'),
      'batch seq',
    )
    const next = sampled(graph, logits, 'batch seq')
    carries.unshift({ initial: tokens, inner, next, result: 'tokens' })
  })
  graph.tensor('tokens', ['batch', 'seq'], [options.batch, 1], { role: 'activation', dtype: 'int32' })
  graph.region({
    id: 'decode/steps',
    axis: 'decode_step',
    extent: options.steps,
    order: 'forward',
    bodies,
    select: [{ body: 0, count: options.steps }],
    ports: carries.map((carry) => ({
      kind: 'carry' as const,
      initial: carry.initial,
      inner: carry.inner,
      next: [carry.next],
      result: carry.result,
    })),
  })
}
