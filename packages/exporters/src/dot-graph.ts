import type { EdgeKind, NodeKind } from '@shardloom/core'
import { chunked, dotId, dotText, type Write } from './dot-text.js'
import { edgeStyles, measures, nodeShapes, type Theme, themes } from './tokens.js'

/** A graph of any size, given piece by piece. */
export interface DotGraph {
  readonly name?: string
  readonly nodes: Iterable<{ readonly id: string; readonly label?: string; readonly kind?: NodeKind }>
  readonly edges: Iterable<{ readonly from: string; readonly to: string; readonly kind?: EdgeKind }>
}

/**
 * Writes a graph without clusters, legend or limits, in time linear in its size and without holding it: for other tools
 * rather than for eyes. Each node is written in the colours of its kind.
 */
export function writeDotGraph(graph: DotGraph, write: Write): void {
  const { add, end } = chunked(write)
  const nodeTail = tailsOf(themes.light)
  const edgeTail: Record<EdgeKind, string> = {
    data: ';\n',
    temporal: ` [${edgeAttributes('temporal', themes.light)}];\n`,
    communication: ` [${edgeAttributes('communication', themes.light)}];\n`,
  }
  add(`digraph ${dotId(graph.name ?? 'program')} {\n${defaults(themes.light)}`)
  for (const { id, label, kind = 'compute' } of graph.nodes) {
    const tail = nodeTail[kind]
    if (label === undefined) add(`${dotId(id)}${tail.alone}`)
    else add(`${dotId(id)} [label=${dotText(label)}${tail.labelled}`)
  }
  for (const { from, to, kind = 'data' } of graph.edges) add(`${dotId(from)} -> ${dotId(to)}${edgeTail[kind]}`)
  add('}\n')
  end()
}

/** The statements that set fonts, colours and the look of compute nodes for the whole graph. */
export function defaults(theme: Theme): string {
  const font = `fontname="${measures.dotFont}"`
  return [
    `node [${font}, fontsize=${measures.fact}, fontcolor="${theme.ink}", penwidth=${measures.stroke}, margin="0.16,0.07", height=0.4, ${nodeAttributes('compute', theme)}];`,
    `edge [${font}, fontsize=9, fontcolor="${theme.secondary}", color="${theme.secondary}", penwidth=${edgeStyles.data.width}, arrowsize=0.7];`,
    '',
  ].join('\n')
}

/** Shape and colours of a kind of node. */
export function nodeAttributes(kind: NodeKind, theme: Theme): string {
  const { fill, stroke } = theme.kinds[kind]
  const style = kind === 'compute' ? '"rounded,filled"' : '"filled"'
  const margin = kind === 'communication' ? ', margin="0.02,0.05"' : kind === 'control' ? ', margin="0.02,0.02"' : ''
  return `shape=${nodeShapes[kind].dot}, style=${style}, fillcolor="${fill}", color="${stroke}"${margin}`
}

/** Line and colour of a kind of edge. */
export function edgeAttributes(kind: EdgeKind, theme: Theme): string {
  const { dot, arrow, width } = edgeStyles[kind]
  const color = kind === 'communication' ? `, color="${theme.kinds.communication.stroke}"` : ''
  return `style=${dot}, arrowhead=${arrow}, penwidth=${width}${color}`
}

function tailsOf(theme: Theme): Record<NodeKind, { alone: string; labelled: string }> {
  const tail = (kind: NodeKind) => {
    const attributes = kind === 'compute' ? '' : nodeAttributes(kind, theme)
    return { alone: attributes ? ` [${attributes}];\n` : ';\n', labelled: attributes ? `, ${attributes}];\n` : '];\n' }
  }
  return {
    compute: tail('compute'),
    communication: tail('communication'),
    control: tail('control'),
    memory: tail('memory'),
  }
}
