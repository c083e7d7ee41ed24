import { nodeAttributes } from './dot-graph.js'
import { dotId, dotLines, dotText } from './dot-text.js'
import { edgeSampleText, type Theme } from './tokens.js'
import type { View } from './view.js'

/**
 * The legend: a node for each kind of node, and one with a line for all else. Lines between nodes are drawn as text: an
 * edge would be as long as its column is wide.
 */
export function dotLegend(view: View, theme: Theme): string {
  if (view.legend.length < 2) return ''
  const colors = `style="rounded,filled", fillcolor="${theme.page}", color="${theme.page}"`
  const lines = ['subgraph "cluster legend" {', `  graph [label="", rank=same, ${colors}];`]
  const row: string[] = []
  const texts: string[] = []
  const add = (attributes: string) => {
    const id = dotId(`legend ${row.length}`)
    row.push(id)
    lines.push(`  ${id} [${attributes}, fontsize=9, height=0.25];`)
  }
  for (const entry of view.legend) {
    if (entry.type === 'node')
      add(`label=${dotText(entry.text)}, ${nodeAttributes(entry.kind, theme)}, margin="0.06,0.03"`)
    else if (entry.type === 'note') texts.push(`${entry.sign}  ${entry.text}`)
    else texts.push(edgeSampleText(entry.role === 'saved' ? 'saved' : entry.kind, entry.text))
  }
  if (texts.length > 0)
    add(`label=${dotLines(texts, 'l')}, shape=plaintext, style="", fontcolor="${theme.secondary}", margin="0.02,0.02"`)
  const down = view.direction === 'down'
  if (down) row.slice(1).forEach((id, index) => lines.push(`  ${row[index]} -> ${id} [style=invis, weight=9];`))
  lines.push('}')
  // Unseen edges from all last nodes put the row at the bottom.
  const left = new Set(view.edges.filter((edge) => edge.role !== 'back').map((edge) => edge.from))
  const last = down ? view.nodes.filter((node) => !left.has(node.id)) : []
  for (const { id } of last) lines.push(`${dotId(id)} -> ${row[0]} [style=invis, weight=0];`)
  return `${lines.join('\n')}\n`
}
