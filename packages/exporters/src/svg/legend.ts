import type { LegendEntry, View } from '../view.js'
import type { LegendItem } from './page.js'
import { path, rect, text, widthOf } from './pen.js'
import { outline, pill, pillWidth } from './shapes.js'

/** The legend of a graph: a sample of each kind of node and edge that it contains, and what its signs mean. */
export function graphLegend({ legend, nodes, clusters }: View): LegendItem[] {
  const repeats = Math.max(...[...nodes, ...clusters].map(({ repeat }) => repeat), 1)
  const chips = nodes.some((node) => node.chips.length > 0)
  return legend.flatMap((entry): LegendItem[] => {
    if (entry.type === 'note') return note(entry, repeats, chips)
    if (entry.type === 'node') {
      const box = { x: 0, y: entry.kind === 'control' ? -2 : -1, width: 24, height: entry.kind === 'control' ? 16 : 14 }
      return [{ sample: outline(entry.kind, box), width: 24, text: entry.text }]
    }
    const saved = entry.role === 'saved'
    const line = path('M0 6H26', `edge-${entry.kind}${saved ? ' saved' : ''}`, { end: entry.kind })
    return [{ sample: line, width: 26, text: entry.text }]
  })
}

function note(entry: Extract<LegendEntry, { type: 'note' }>, repeats: number, chips: boolean): LegendItem[] {
  if (entry.sign.startsWith('×')) return [{ sample: pill(repeats, 0, 6), width: pillWidth(repeats), text: 'repeats' }]
  if (entry.sign === '…')
    return [{ sample: rect({ x: 0, y: 0, width: 24, height: 12 }, 'outside', 4), width: 24, text: entry.text }]
  // What a chip says stands in its text; where all communication is one card, its sample stands in the legend already.
  if (!chips) return []
  const box = { x: 0, y: -2, width: 34, height: 16 }
  const sample = outline('communication', box) + text({ x: 17, y: 10 }, 'n', 'fact', 'middle')
  return [{ sample, width: Math.max(34, widthOf('n')), text: entry.text }]
}
