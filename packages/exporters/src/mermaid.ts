import { checkProgram, type NodeKind, type OperatorTable, type Program } from '@shardloom/core'
import { isSavedRole } from './chain.js'
import { formatCount } from './format.js'
import { mermaidIds, mermaidLine, mermaidText } from './mermaid-text.js'
import { edgeSampleText, edgeStyles, measures, nodeShapes, readableLimits, type ThemeName, themes } from './tokens.js'
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

/** How Mermaid is written. */
export interface MermaidOptions {
  /** Default `light`. */
  readonly theme?: ThemeName
  /** Default true. */
  readonly legend?: boolean
}

/** Mermaid's own limits, as its default configuration has them. */
const hardLimits = { edges: 500, characters: 50_000 }

const kinds: readonly NodeKind[] = ['compute', 'communication', 'control', 'memory']

/**
 * The program as a Mermaid flowchart. Beyond 60 nodes, or the limit given, a coarser picture is written; the text always
 * stays below Mermaid's limits of 500 edges and 50,000 characters.
 */
export function toMermaid(
  program: Program,
  operators: OperatorTable,
  options: ViewOptions & MermaidOptions = {},
): string {
  checkProgram(program, operators)
  checkPictureOptions(options)
  let limit = options.limit ?? readableLimits.mermaid
  for (;;) {
    const view = createView(program, operators, { ...options, limit })
    const text = mermaidOf(view, options)
    const edges = view.edges.length + view.legend.length
    if ((text.length < hardLimits.characters && edges < hardLimits.edges) || limit.nodes < 1) return text
    limit = {
      nodes: Math.min(limit.nodes, view.nodes.length) >> 1,
      edges: Math.min(limit.edges, hardLimits.edges - 10),
    }
  }
}

/** Writes a view as a Mermaid flowchart. Labels are escaped and never become markup, links or directives. */
export function mermaidOf(view: View, options: MermaidOptions = {}): string {
  checkView(view)
  checkPictureOptions(options)
  const theme = themes[options.theme ?? 'light']
  const idOf = mermaidIds()
  const lines: string[] = []
  const facts = mermaidLine([view.subtitle, view.notice].filter(Boolean).join(' · '))
  const hasLegend = options.legend !== false && view.legend.length > 1
  // Mermaid breaks no title into lines: below a legend it is what and where, and the rest stands there.
  const [model = '', mesh = '', ...rest] = view.subtitle.split(' · ')
  const short = mermaidLine([model, mesh, view.notice].filter(Boolean).join(' · '))
  lines.push('---', `title: "${mermaidLine(view.title)} · ${hasLegend ? short : facts}"`, '---')
  // Mermaid cannot put a backward card below its forward one: from left to right both would form one long row.
  lines.push('flowchart TB')
  lines.push(`accTitle: ${mermaidLine(view.title)}`, `accDescr: ${facts}`)
  const members = new Map<string | undefined, ViewNode[]>()
  for (const node of view.nodes) members.set(node.cluster, [...(members.get(node.cluster) ?? []), node])
  const writeNodes = (cluster: string | undefined, indent: string) => {
    for (const node of members.get(cluster) ?? [])
      lines.push(
        `${indent}${idOf(node.id)}${shaped(node.kind, nodeLabel(node))}:::${node.outside ? 'outside' : node.kind}`,
      )
  }
  const regions: string[] = []
  const writeCluster = (cluster: ViewCluster, depth: number) => {
    const indent = '  '.repeat(depth)
    const id = idOf(`cluster ${cluster.id}`)
    regions.push(
      `style ${id} fill:${depth % 2 === 0 ? theme.surface : theme.page},stroke:${theme.rule},color:${theme.ink}`,
    )
    lines.push(`${indent}subgraph ${id}["${mermaidText(clusterTitle(cluster))}"]`)
    writeNodes(cluster.id, `${indent}  `)
    for (const inner of view.clusters) if (inner.parent === cluster.id) writeCluster(inner, depth + 1)
    lines.push(`${indent}end`)
  }
  for (const cluster of view.clusters) if (cluster.parent === undefined) writeCluster(cluster, 0)
  writeNodes(undefined, '')
  const links: { warm: number[]; thin: number[]; dotted: number[]; count: number } = {
    warm: [],
    thin: [],
    dotted: [],
    count: 0,
  }
  const link = (from: string, to: string, arrow: string, label: string | undefined, look: Look) => {
    lines.push(`${from} ${arrow}${label ? `|"${mermaidText(label)}"|` : ''} ${to}`)
    if (look !== 'plain') links[look].push(links.count)
    links.count++
  }
  for (const edge of view.edges) {
    const look = lookOf(edge)
    link(idOf(edge.from), idOf(edge.to), (edge.both ? doubleArrows : arrows)[edge.kind], edge.label, look)
  }
  /** How many links follow that only keep the legend in its place. */
  let unseen = 0
  if (hasLegend) {
    unseen = writeLegend(view, rest, idOf, lines)
    const left = new Set(view.edges.filter((edge) => edge.role !== 'back').map((edge) => edge.from))
    const last = view.nodes.find((node) => !left.has(node.id))
    if (last) lines.push(`${idOf(last.id)} ~~~ ${idOf('legend')}`)
    unseen += last ? 1 : 0
    regions.push(`style ${idOf('legend')} fill:none,stroke:none,color:${theme.secondary}`)
  }
  for (const kind of kinds) {
    const { fill, stroke } = theme.kinds[kind]
    lines.push(`classDef ${kind} fill:${fill},stroke:${stroke},color:${theme.ink},stroke-width:${measures.stroke}px`)
  }
  if (view.nodes.some(({ outside }) => outside))
    lines.push(`classDef outside fill:none,stroke:${theme.secondary},color:${theme.secondary},stroke-dasharray:4 3`)
  lines.push(`classDef unseen fill:none,stroke:none,color:${theme.secondary}`)
  for (const region of regions) lines.push(region)
  lines.push(`linkStyle default stroke:${theme.secondary},stroke-width:${edgeStyles.data.width}px`)
  if (unseen > 0) {
    const numbers = Array.from({ length: unseen }, (_, index) => links.count + index)
    lines.push(`linkStyle ${numbers.join(',')} stroke-width:0px`)
  }
  const warm = `stroke:${theme.kinds.communication.stroke},stroke-width:${edgeStyles.communication.width}px,stroke-dasharray:${edgeStyles.communication.dash}`
  if (links.warm.length > 0) lines.push(`linkStyle ${links.warm.join(',')} ${warm}`)
  if (links.thin.length > 0)
    lines.push(`linkStyle ${links.thin.join(',')} stroke:${theme.secondary},stroke-width:${measures.savedStroke}px`)
  if (links.dotted.length > 0)
    lines.push(
      `linkStyle ${links.dotted.join(',')} stroke:${theme.secondary},stroke-dasharray:${edgeStyles.temporal.dash}`,
    )
  return `${lines.join('\n')}\n`
}

const arrows = { data: '-->', temporal: '-.->', communication: '==>' } as const
const doubleArrows = { data: '<-->', temporal: '<-.->', communication: '<==>' } as const

/** How a line differs from that of a data edge. */
type Look = 'plain' | 'warm' | 'thin' | 'dotted'

function lookOf({ kind, role }: Pick<ViewEdge, 'kind' | 'role'>): Look {
  if (kind === 'data') return isSavedRole(role) ? 'thin' : 'plain'
  return kind === 'communication' ? 'warm' : 'dotted'
}

/**
 * The legend: one node for all lines and notes, and the facts that the title leaves out, beside the samples of the kinds, in a row below
 * the plan. Returns how many unseen links make the row.
 */
function writeLegend(view: View, facts: readonly string[], idOf: (id: string) => string, lines: string[]): number {
  lines.push(`subgraph ${idOf('legend')}["legend"]`, 'direction LR')
  const texts: string[] = []
  for (const entry of view.legend) {
    if (entry.type === 'node')
      lines.push(`${idOf(`legend ${entry.text}`)}${shaped(entry.kind, mermaidText(entry.text))}:::${entry.kind}`)
    else if (entry.type === 'note') texts.push(`${entry.sign} ${entry.text}`)
    else texts.push(edgeSampleText(entry.role === 'saved' ? 'saved' : entry.kind, entry.text))
  }
  if (facts.length > 0) texts.push(facts.join(' · '))
  if (texts.length > 0) lines.push(`${idOf('legend lines')}["${texts.map(mermaidText).join('<br/>')}"]:::unseen`)
  const ids = view.legend.flatMap((entry) => (entry.type === 'node' ? [idOf(`legend ${entry.text}`)] : []))
  if (texts.length > 0) ids.push(idOf('legend lines'))
  lines.push(ids.join(' ~~~ '), 'end')
  return ids.length - 1
}

function nodeLabel(node: ViewNode): string {
  const title = node.repeat > 1 ? `${node.title} ×${formatCount(node.repeat)}` : node.title
  const chips = node.chips.map((chip) => `${nodeShapes.communication.glyph} ${chip}`)
  return [title, ...node.facts, ...chips].map(mermaidText).join('<br/>')
}

function clusterTitle(cluster: ViewCluster): string {
  const repeat = cluster.repeat > 1 ? ` ×${formatCount(cluster.repeat)}` : ''
  return `${cluster.title}${repeat}${cluster.fact ? ` · ${cluster.fact}` : ''}`
}

/** A label, escaped already, in the brackets that give a node the shape of its kind. */
function shaped(kind: NodeKind, label: string): string {
  switch (kind) {
    case 'compute':
      return `("${label}")`
    case 'communication':
      return `{{"${label}"}}`
    case 'control':
      return `{"${label}"}`
    case 'memory':
      return `[("${label}")]`
  }
}
