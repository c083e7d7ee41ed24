import type { DropoutRates, ModelArchitecture } from './architecture.js'
import type { ResolvedOptions } from './build.js'
import type { Graph, NodeInput } from './graph.js'

/** Training a model that drops this kind of tensor: with a share of its elements dropped; otherwise the tensor itself. */
export function dropped(
  graph: Graph,
  { architecture, options }: { readonly architecture: ModelArchitecture; readonly options: ResolvedOptions },
  kind: keyof DropoutRates,
  name: string,
  dims: string,
  x: string,
  more: Pick<NodeInput, 'density' | 'fusion'> = {},
  pairs: NodeInput['attributes'] = {},
): string {
  const { dropout = 0 } = architecture
  const rate = typeof dropout === 'number' ? dropout : (dropout[kind] ?? 0)
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
