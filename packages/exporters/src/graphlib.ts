import { checkView, type View } from './view.js'

/** A graph in the JSON that `graphlib.json.read` reads. */
export interface GraphlibJson {
  readonly options: { readonly directed: true; readonly multigraph: true; readonly compound: true }
  readonly value: { readonly title: string; readonly subtitle: string; readonly notice: string }
  readonly nodes: readonly { readonly v: string; readonly value: GraphlibNode; readonly parent?: string }[]
  readonly edges: readonly {
    readonly v: string
    readonly w: string
    readonly name: string
    readonly value: GraphlibEdge
  }[]
}

/** The label of a node or, without a kind, of a cluster. */
export interface GraphlibNode {
  readonly label: string
  readonly kind?: string
  readonly repeat: number
}

/** The label of an edge. */
export interface GraphlibEdge {
  readonly kind: string
  readonly role: string
  readonly label?: string
}

/**
 * A view as graphlib's JSON, for `graphlib.json.read` and what builds on it (dagre, graphlib-dot). Clusters are compound
 * nodes whose ids begin with `cluster `; edges are named by their kind.
 */
export function toGraphlib(view: View): GraphlibJson {
  checkView(view)
  const cluster = (id: string) => `cluster ${id}`
  return {
    options: { directed: true, multigraph: true, compound: true },
    value: { title: view.title, subtitle: view.subtitle, notice: view.notice },
    nodes: [
      ...view.clusters.map(({ id, title, repeat, parent }) => ({
        v: cluster(id),
        value: { label: title, repeat },
        ...(parent !== undefined && { parent: cluster(parent) }),
      })),
      ...view.nodes.map(({ id, title, facts, chips, kind, repeat, cluster: parent }) => ({
        v: id,
        value: { label: [title, ...facts, ...chips].join('\n'), kind, repeat },
        ...(parent !== undefined && { parent: cluster(parent) }),
      })),
    ],
    edges: view.edges.map(({ from, to, kind, role, label }) => ({
      v: from,
      w: to,
      name: role === 'back' ? `${kind} back` : kind,
      value: { kind, role, ...(label !== undefined && { label }) },
    })),
  }
}
