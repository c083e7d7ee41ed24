import type { ModelArchitecture } from './architecture.js'
import type { ResolvedOptions } from './build.js'
import type { Graph, NodeInput } from './graph.js'

/** Training a model with dropout: the tensor with a share of its elements dropped; otherwise the tensor itself. */
export function dropped(
  graph: Graph,
  { architecture, options }: { readonly architecture: ModelArchitecture; readonly options: ResolvedOptions },
  name: string,
  dims: string,
  x: string,
  more: Pick<NodeInput, 'density' | 'fusion'> = {},
  pairs: NodeInput['attributes'] = {},
): string {
  const { dropout: rate = 0 } = architecture
  if (rate === 0 || options.phase !== 'training') return x
  const attributes = { rate, seed: graph.idOf(name), ...pairs }
  const rule = `${dims} -> ${dims}, ${dims}`
  const [kept = x] = graph.node({
    name,
    op: 'dropout',
    rule,
    inputs: [x],
    attributes,
    results: [{}, { dtype: 'int8' }],
    ...more,
  })
  return kept
}
