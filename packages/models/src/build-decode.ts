import { eachMicrobatch, embed, layers, logits, type Model, sample, tokenInput } from './build-model.js'
import type { CacheCarry } from './layer.js'

/** The steps of decoding as a region that carries the token and the KV cache; each batch in flight has steps of its own. */
export function buildDecode(model: Model): void {
  eachMicrobatch(model, () => buildSteps(model))
}

function buildSteps(model: Model): void {
  const { graph, options } = model
  const { batch, steps, draft, keep } = options
  const tokens = tokenInput(graph, 'tokens', batch, 1)
  const carries: CacheCarry[] = []
  const { bodies } = graph.bodies('decode_step', ['decode_step'], () => {
    const inner = graph.tensor('decode/tokens', ['batch', 'seq'], [batch, 1], { role: 'activation', dtype: 'int32' })
    const read = draft === 0 ? inner : withDrafts(model, inner)
    const x = layers(model, embed(model, read), {
      kind: 'extend',
      axis: 'decode_step',
      iterations: steps,
      position: options.seq - 1,
      tokens: draft + 1,
      advance: keep,
      carry: (carry) => carries.push(carry),
    })
    const chosen = sample(model, logits(model, x, 'batch seq'), 'batch seq')
    const next = draft === 0 ? chosen : accept(model, read, chosen)
    carries.unshift({ initial: tokens, inner, next, result: 'tokens' })
  })
  graph.tensor('tokens', ['batch', 'seq'], [batch, 1], { role: 'activation', dtype: 'int32' })
  graph.region({
    id: 'decode/steps',
    axis: 'decode_step',
    extent: steps,
    order: 'forward',
    bodies,
    select: [{ body: 0, count: steps }],
    ports: carries.map(({ next, ...carry }) => ({ kind: 'carry' as const, ...carry, next: [next] })),
  })
}

/** The last token and those that a draft proposes after it, which come from outside. */
function withDrafts({ graph, options }: Model, token: string): string {
  const drafts = tokenInput(graph, 'drafts', options.batch, options.draft)
  return graph.inModule('draft', () =>
    graph.one({
      name: 'tokens',
      op: 'join_parts',
      rule: 'batch one!, batch drafts! -> batch seq!',
      inputs: [token, drafts],
      sizes: { seq: options.draft + 1 },
      results: [{ dtype: 'int32' }],
    }),
  )
}

/**
 * How many of the tokens that the target chose follow from drafts that it agrees with, and the last that the step keeps
 * (greedy speculative decoding: Leviathan, Kalman and Matias 2023, algorithm 1 with a temperature of 0).
 */
function accept({ graph, options }: Model, read: string, chosen: string): string {
  const [, last = ''] = graph.inModule('draft', () =>
    graph.node({
      name: 'accept',
      op: 'accept',
      kind: 'control',
      rule: 'batch seq!, batch seq! -> batch, batch one!',
      inputs: [read, chosen],
      sizes: { one: 1 },
      attributes: { keep: options.keep },
      results: [{ dtype: 'int32' }, { dtype: 'int32', dims: ['batch', 'seq'] }],
    }),
  )
  return last
}
