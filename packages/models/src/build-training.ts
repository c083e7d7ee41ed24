import { dataTypes } from '@shardloom/core'
import { embed, layers, logits, type Model, tokenInput } from './build-model.js'

/** Forward and loss of one step: the microbatches as a parallel region. */
export function buildTraining(model: Model): void {
  const { graph, options } = model
  const { batch, seq, microbatches } = options
  const scale = graph.tensor('inputs/loss_scale', [], [], { role: 'input', dtype: 'fp32' })
  const { bodies, results } = graph.bodies('microbatch', ['microbatch'], () => {
    const tokens = tokenInput(graph, 'tokens', batch, seq)
    const labels = tokenInput(graph, 'labels', batch, seq)
    return loss(model, logits(model, layers(model, embed(model, tokens)), 'batch seq'), labels, scale)
  })
  const result = graph.tensor('loss', [], [], { role: 'activation', dtype: 'fp32' })
  graph.region({
    id: 'microbatches',
    axis: 'microbatch',
    extent: microbatches,
    order: 'parallel',
    bodies,
    select: [{ body: 0, count: microbatches }],
    ports: [{ kind: 'reduce', inner: [results[0] ?? null], result }],
  })
}

function loss({ graph, options }: Model, logits: string, labels: string, scale: string): string {
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
      // Its gradient has it too: three copies in single precision stand in the place of logits and gradient; where ranks divide the
      // vocabulary four, of what is saved, its exponential, the labels' gradient and the sum of both (PyTorch, `loss_parallel`).
      ...(options.loss === 'materialised' && {
        attributes: { scratch: copies(3, options), scratchDivided: copies(4, options) },
      }),
      ...wide,
    })
  })
}

/** Bytes of so many copies of a logit in single precision over those of logit and gradient. */
function copies(count: number, { dtype }: Model['options']): number {
  return count * dataTypes.fp32 - 2 * dataTypes[dtype]
}
