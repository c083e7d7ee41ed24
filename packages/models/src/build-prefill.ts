import { eachMicrobatch, embed, layers, logits, type Model, sample, tokenInput } from './build-model.js'

/** One pass over the prompts, which fills the KV cache and samples the first token. */
export function buildPrefill(model: Model): void {
  const { graph, options } = model
  eachMicrobatch(model, () => {
    const tokens = tokenInput(graph, 'tokens', options.batch, options.seq)
    const x = layers(model, embed(model, tokens), { kind: 'fill' })
    const last = graph.inModule('head', () =>
      graph.one({ name: 'last', op: 'last_position', rule: 'batch seq hidden -> batch hidden', inputs: [x] }),
    )
    sample(model, logits(model, last, 'batch'), 'batch')
  })
}
