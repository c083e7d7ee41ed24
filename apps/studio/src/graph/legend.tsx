import type { View } from 'shardloom'
import { Pill } from './card.jsx'
import type { Placed } from './placed.js'
import { Shape } from './shape.jsx'

interface LegendProps {
  readonly legend: View['legend']
  readonly edges: Placed['edges']
  /** The selected nodes, at which what is quiet shows. */
  readonly chosen: ReadonlySet<string>
}

/** What the shapes and lines of the picture mean; only what is drawn. */
export function Legend({ legend, edges, chosen }: LegendProps) {
  const isDrawn = (entry: LegendProps['legend'][number]) =>
    entry.type !== 'edge' ||
    edges.some(
      ({ edge, quiet }) =>
        edge.kind === entry.kind &&
        (entry.kind !== 'data' || isSaved(edge.role) === isSaved(entry.role)) &&
        (!quiet || chosen.has(edge.from) || chosen.has(edge.to)),
    )
  return (
    <ul className="legend" aria-label="Legend">
      {legend.filter(isDrawn).map((entry) => (
        <li key={`${entry.type} ${entry.text}`} title={entry.text}>
          <svg width={22} height={13} viewBox="-2 -2 30 18" aria-hidden="true">
            {entry.type === 'node' ? (
              <Shape kind={entry.kind} width={25} height={14} />
            ) : entry.type === 'edge' ? (
              <g className={`edge ${entry.kind} ${entry.role}`}>
                <path d="M0 7H25" markerEnd={`url(#head-${entry.kind})`} />
              </g>
            ) : entry.sign.startsWith('×') ? (
              <Pill repeat={2} right={26} middle={7} />
            ) : (
              <Shape kind="communication" width={25} height={14} />
            )}
          </svg>
          {entry.type !== 'note' ? entry.text : entry.sign.startsWith('×') ? 'repeats' : 'folded'}
        </li>
      ))}
    </ul>
  )
}

/** Whether an edge hands backward what forward kept. */
const isSaved = (role: string) => role === 'saved' || role === 'mirror'
