import { eachMicrobatch, embed, layers, logits, type Model, sample, tokenInput } from './build-model.js'
import type { CacheCarry } from './layer.js'

/** The steps of decoding as a region that carries the token and the KV cache; each batch in flight has steps of its own. */
export function buildDecode(model: Model): void {
  eachMicrobatch(model, () => buildSteps(model))
}

function buildSteps(model: Model): void {
  const { graph, options } = model
  const { batch, steps } = options
  const tokens = tokenInput(graph, 'tokens', batch, 1)
  const carries: CacheCarry[] = []
  const { bodies } = graph.bodies('decode_step', ['decode_step'], () => {
    const inner = graph.tensor('decode/tokens', ['batch', 'seq'], [batch, 1], { role: 'activation', dtype: 'int32' })
    const x = layers(model, embed(model, inner), {
      kind: 'extend',
      axis: 'decode_step',
      iterations: steps,
      position: options.seq - 1,
      tokens: 1,
      carry: (carry) => carries.push(carry),
    })
    const next = sample(model, logits(model, x, 'batch seq'), 'batch seq')
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
