import { checkProgram, type OperatorTable, type Program } from '@shardloom/core'
import { type EdgeRole, isSavedRole, mirrorOf } from './chain.js'
import { defaults, edgeAttributes, nodeAttributes } from './dot-graph.js'
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
  // Left to right, backward returns below its forward; phases and operators follow each other.
  const staged = isStaged(view)
  const mirrors = view.direction === 'right' && view.level !== 'phase' && (view.level !== 'stage' || staged)
  // A stage is one column: what its cards hand each other must not push them apart.
  const inColumn = ({ from, to }: ViewEdge) => staged && clusterOf.get(from) === clusterOf.get(to)
  const clusterOf = new Map(view.nodes.map(({ id, cluster }) => [id, cluster]))
  for (const edge of view.edges) add(edgeStatement(inColumn(edge) ? { ...edge, role: 'back' } : edge, mirrors, theme))
  if (mirrors) for (const edge of columnEdges(view)) add(edge)
  if (options.legend !== false && view.direction === 'down') add(dotLegend(view, theme))
  add('}\n')
  end()
}

/** Whether a picture shows the stages of a pipeline, not phases in their place. */
function isStaged(view: View): boolean {
  return view.clusters.some(({ id }) => id.startsWith('stage '))
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

function edgeStatement(edge: ViewEdge, mirrors: boolean, theme: Theme): string {
  const attributes: string[] = []
  if (edge.kind !== 'data') attributes.push(edgeAttributes(edge.kind, theme))
  if (isSavedRole(edge.role)) attributes.push(`penwidth=${measures.savedStroke}`, 'arrowsize=0.5')
  // Weightless, what joins ranks leaves them in their order.
  if (edge.both) attributes.push('weight=0', 'dir=both', `arrowtail=${edgeStyles[edge.kind].arrow}`)
  attributes.push(...layoutAttributes(edge.role, mirrors))
  if (edge.label) attributes.push(`label=${dotText(`  ${edge.label}`)}`)
  const tail = attributes.length > 0 ? ` [${attributes.join(', ')}]` : ''
  return `${dotId(edge.from)} -> ${dotId(edge.to)}${tail};\n`
}

function layoutAttributes(role: EdgeRole, mirrors: boolean): string[] {
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
function columnEdges(view: View): string[] {
  const ids = new Set(view.nodes.map((node) => node.id))
  return view.nodes.flatMap(({ id }) => {
    const backward = id.replace(/^(stage \d+\/)optimizer$/, '$1backward')
    const mirror = backward === id ? mirrorOf(id) : id
    const above = backward === id ? id : backward
    return mirror !== above && ids.has(mirror) && ids.has(above)
      ? [`${dotId(mirror)} -> ${dotId(above)} [style=invis, minlen=0, weight=99];\n`]
      : []
  })
}
