import { eachMicrobatch, embed, layers, logits, type Model, sample, tokenInput } from './build-model.js'
import type { CacheCarry } from './layer.js'

/** One pass over the prompts, or over what is not yet cached of them, which fills the KV cache and samples the first token. */
export function buildPrefill(model: Model): void {
  const { seq, chunk } = model.options
  eachMicrobatch(model, () => {
    const last = chunk === seq ? wholePrompt(model) : promptInChunks(model)
    sample(model, logits(model, last, 'batch'), 'batch')
  })
}

function wholePrompt(model: Model): string {
  const { batch, seq } = model.options
  const tokens = tokenInput(model.graph, 'tokens', batch, seq)
  return lastPosition(model, layers(model, embed(model, tokens), { kind: 'fill' }))
}

/**
 * Chunks of the prompt one after the other. They carry the KV cache, which grows by each; all but the last give zeros for
 * the last position, so that the sum over chunks is the last one's.
 */
function promptInChunks(model: Model): string {
  const { graph, options } = model
  const { batch, seq, cached, chunk } = options
  const extent = (seq - cached) / chunk
  const carries: CacheCarry[] = []
  const { bodies, results } = graph.bodies('chunk', ['chunk'], () => {
    const tokens = tokenInput(graph, 'tokens', batch, chunk)
    const x = layers(model, embed(model, tokens), {
      kind: 'extend',
      axis: 'chunk',
      iterations: extent,
      position: cached,
      tokens: chunk,
      advance: chunk,
      carry: (carry) => carries.push(carry),
    })
    return lastPosition(model, x, { position: cached, advance: chunk, along: 'chunk', last: seq - 1 })
  })
  const [inner = ''] = results
  const { dims, shape } = graph.find(inner)
  const result = graph.tensor('prefill/last', dims, shape, { role: 'activation' })
  graph.region({
    id: 'prefill/chunks',
    axis: 'chunk',
    extent,
    order: 'forward',
    bodies,
    select: [{ body: 0, count: extent }],
    ports: [
      ...carries.map(({ next, ...carry }) => ({ kind: 'carry' as const, ...carry, next: [next] })),
      { kind: 'reduce', inner: [inner], result },
    ],
  })
  return result
}

function lastPosition({ graph }: Model, x: string, attributes?: Readonly<Record<string, number | string>>): string {
  const rule = 'batch seq hidden -> batch hidden'
  return graph.inModule('head', () =>
    graph.one({ name: 'last', op: 'last_position', rule, inputs: [x], ...(attributes && { attributes }) }),
  )
}
