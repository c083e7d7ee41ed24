import { type EdgeRole, mirrorOf } from './chain.js'
import type { View, ViewEdge } from './view.js'

/** Whether a picture shows the stages of a pipeline, not phases in their place. */
export function isStaged(view: View): boolean {
  return view.clusters.some(({ id }) => id.startsWith('stage '))
}

/** An edge that is seen, and what Graphviz is told about its place. */
export interface PlacedEdge {
  readonly edge: ViewEdge
  readonly attributes: readonly string[]
}

/** An edge that is not seen and keeps its ends in one column. */
export interface ColumnEdge {
  readonly from: string
  readonly to: string
  readonly attributes: readonly string[]
}

/** How Graphviz places a view: the attributes of each edge, and the unseen edges that keep columns together. */
export function layoutEdges(
  view: View,
  edges: readonly ViewEdge[] = view.edges,
): { readonly edges: readonly PlacedEdge[]; readonly columns: readonly ColumnEdge[] } {
  // Left to right, backward returns below its forward; phases and operators follow each other.
  const staged = isStaged(view)
  const mirrors = view.direction === 'right' && view.level !== 'phase' && (view.level !== 'stage' || staged)
  // A stage is one column: what its cards hand each other must not push them apart.
  const clusterOf = new Map(view.nodes.map(({ id, cluster }) => [id, cluster]))
  const inColumn = ({ from, to }: ViewEdge) => staged && clusterOf.get(from) === clusterOf.get(to)
  return {
    edges: edges.map((given) => {
      const edge: ViewEdge = inColumn(given) ? { ...given, role: 'back' } : given
      // Weightless, what joins ranks leaves them in their order.
      return { edge, attributes: [...(edge.both ? ['weight=0'] : []), ...attributesOf(edge.role, mirrors)] }
    }),
    columns: mirrors ? columnEdges(view) : [],
  }
}

function attributesOf(role: EdgeRole, mirrors: boolean): string[] {
  switch (role) {
    case 'chain':
      return ['weight=9']
    case 'skip':
      return ['weight=0']
    case 'mirror':
    case 'saved':
    case 'return':
      return mirrors ? ['constraint=false'] : []
    case 'back':
      return ['constraint=false']
    case 'plain': // heavier than saved results: their readers stand with what they work for, not with what they read
      return mirrors ? [] : ['weight=3']
  }
}

/**
 * The unseen edges that put each backward card into the column of its forward one and below it: within a column Graphviz
 * stacks upwards along an edge. The optimizer of a stage stands below both.
 */
function columnEdges(view: View): ColumnEdge[] {
  const ids = new Set(view.nodes.map((node) => node.id))
  return view.nodes.flatMap(({ id }) => {
    const backward = id.replace(/^(stage \d+\/)optimizer$/, '$1backward')
    const mirror = backward === id ? mirrorOf(id) : id
    const above = backward === id ? id : backward
    return mirror !== above && ids.has(mirror) && ids.has(above)
      ? [{ from: mirror, to: above, attributes: ['style=invis', 'minlen=0', 'weight=99'] }]
      : []
  })
}
