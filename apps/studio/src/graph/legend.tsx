import type { View } from 'shardloom'
import { Pill } from './card.jsx'
import { Shape } from './shape.jsx'

/** What the shapes and lines of the picture mean; only what it contains. */
export function Legend({ view }: { readonly view: View }) {
  return (
    <ul className="legend" aria-label="Legend">
      {view.legend.map((entry) => (
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
