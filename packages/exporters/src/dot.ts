import { checkProgram, type OperatorTable, type Program } from '@shardloom/core'
import { isSavedRole } from './chain.js'
import { defaults, edgeAttributes, nodeAttributes } from './dot-graph.js'
import { layoutEdges } from './dot-layout.js'
import { dotLegend } from './dot-legend.js'
import { chunked, dotId, dotLines, dotText, type Write } from './dot-text.js'
import { formatCount } from './format.js'
import { edgeStyles, measures, nodeShapes, readableLimits, type Theme, type ThemeName, themes } from './tokens.js'
import {
  checkPictureOptions,
  checkView,
  createView,
  type View,
  type ViewCluster,
  type ViewEdge,
  type ViewNode,
  type ViewOptions,
} from './view.js'

export { type DotGraph, writeDotGraph } from './dot-graph.js'
export type { Write } from './dot-text.js'

/** How DOT is written. */
export interface DotOptions {
  /** Default `light`. */
  readonly theme?: ThemeName
  /** Default true. */
  readonly legend?: boolean
}

/** The program as Graphviz DOT. Beyond 150 nodes or 300 edges, or the limit given, a coarser picture is written. */
export function toDot(program: Program, operators: OperatorTable, options: ViewOptions & DotOptions = {}): string {
  checkProgram(program, operators)
  checkPictureOptions(options)
  const chunks: string[] = []
  writeDot(
    createView(program, operators, { limit: readableLimits.dot, ...options }),
    (chunk) => chunks.push(chunk),
    options,
  )
  return chunks.join('')
}

/** Writes a view as Graphviz DOT, in chunks of about 64 kB. Every id and label is quoted and none becomes markup. */
export function writeDot(view: View, write: Write, options: DotOptions = {}): void {
  checkView(view)
  checkPictureOptions(options)
  const theme = themes[options.theme ?? 'light']
  const { add, end } = chunked(write)
  const caption = [view.title, view.subtitle, view.notice].filter(Boolean)
  const graph = [
    `rankdir=${view.direction === 'right' ? 'LR' : 'TB'}`,
    'newrank=true',
    `bgcolor="${theme.page}"`,
    `fontname="${measures.dotFont}"`,
    'fontsize=12',
    `fontcolor="${theme.ink}"`,
    'labelloc=t',
    'labeljust=l',
    'nodesep=0.3',
    'ranksep=0.35',
    'pad=0.2',
    `label=${dotLines(caption, 'l')}`,
  ]
  add(`digraph ${dotId(view.title)} {\ngraph [${graph.join(', ')}];\n${defaults(theme)}`)
  // Graphviz puts separate parts above each other in this direction, the first one lowest.
  if (options.legend !== false && view.direction === 'right') add(dotLegend(view, theme))
  const inside = new Map<string | undefined, ViewNode[]>()
  for (const node of view.nodes) inside.set(node.cluster, [...(inside.get(node.cluster) ?? []), node])
  const writeNodes = (cluster: string | undefined, indent: string) => {
    for (const node of inside.get(cluster) ?? []) add(`${indent}${nodeStatement(node, theme)}`)
  }
  const writeCluster = (cluster: ViewCluster, depth: number) => {
    const indent = '  '.repeat(depth)
    add(`${indent}subgraph ${dotId(`cluster ${cluster.id}`)} {\n`)
    const fill = depth % 2 === 0 ? theme.surface : theme.page
    add(
      `${indent}  graph [label=${dotText(clusterTitle(cluster))}, style="rounded,filled", fillcolor="${fill}", color="${theme.rule}", tooltip=${dotText(cluster.title)}];\n`,
    )
    writeNodes(cluster.id, `${indent}  `)
    for (const inner of view.clusters) if (inner.parent === cluster.id) writeCluster(inner, depth + 1)
    add(`${indent}}\n`)
  }
  for (const cluster of view.clusters) if (cluster.parent === undefined) writeCluster(cluster, 0)
  writeNodes(undefined, '')
  const { edges, columns } = layoutEdges(view)
  for (const { edge, attributes } of edges) add(edgeStatement(edge, attributes, theme))
  for (const { from, to, attributes } of columns) add(`${dotId(from)} -> ${dotId(to)} [${attributes.join(', ')}];\n`)
  if (options.legend !== false && view.direction === 'down') add(dotLegend(view, theme))
  add('}\n')
  end()
}

/** The lines of a node's label: title with its repeats, facts, folded communication. */
function nodeLines(node: ViewNode): string[] {
  const title = node.repeat > 1 ? `${node.title}  ×${formatCount(node.repeat)}` : node.title
  return [title, ...node.facts, ...node.chips.map((chip) => `${nodeShapes.communication.glyph} ${chip}`)]
}

function nodeStatement(node: ViewNode, theme: Theme): string {
  const outside = `, style="rounded,dashed", color="${theme.secondary}", fontcolor="${theme.secondary}", height=0.25`
  const own = node.outside ? outside : node.kind === 'compute' ? '' : `, ${nodeAttributes(node.kind, theme)}`
  return `${dotId(node.id)} [label=${dotLines(nodeLines(node))}, tooltip=${dotText(node.tooltip)}${own}];\n`
}

function clusterTitle(cluster: ViewCluster): string {
  const repeat = cluster.repeat > 1 ? `  ×${formatCount(cluster.repeat)}` : ''
  return `${cluster.title}${repeat}${cluster.fact ? `   ${cluster.fact}` : ''}`
}

function edgeStatement(edge: ViewEdge, places: readonly string[], theme: Theme): string {
  const attributes: string[] = []
  if (edge.kind !== 'data') attributes.push(edgeAttributes(edge.kind, theme))
  if (isSavedRole(edge.role)) attributes.push(`penwidth=${measures.savedStroke}`, 'arrowsize=0.5')
  if (edge.both) attributes.push('dir=both', `arrowtail=${edgeStyles[edge.kind].arrow}`)
  attributes.push(...places)
  if (edge.label) attributes.push(`label=${dotText(`  ${edge.label}`)}`)
  const tail = attributes.length > 0 ? ` [${attributes.join(', ')}]` : ''
  return `${dotId(edge.from)} -> ${dotId(edge.to)}${tail};\n`
}
