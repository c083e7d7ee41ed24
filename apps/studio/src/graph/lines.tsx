import { ViewportPortal } from '@xyflow/react'
import { memo } from 'react'
import type { Mark } from './flow-nodes.jsx'
import { Outlines } from './minimap.jsx'
import type { Placed, ViewNode } from './placed.js'

interface LinesProps {
  readonly placed: Placed
  /** The selected nodes: what does not touch them is dimmed, and what is quiet shows where it does. */
  readonly chosen: ReadonlySet<string>
  /** Where names are specks, how each node stands out: the outlines of nodes are then part of this drawing. */
  readonly far?: (node: ViewNode) => Mark
}

const margin = 40

/** Frames and edges, below the cards: one drawing, so that moving it moves one thing. */
export const Lines = memo(function Lines({ placed, chosen, far }: LinesProps) {
  const { bounds, clusters, edges } = placed
  const [x, y] = [bounds.x - margin, bounds.y - margin]
  const [width, height] = [bounds.width + 2 * margin, bounds.height + 2 * margin]
  return (
    <ViewportPortal>
      <svg
        className="lines"
        aria-hidden="true"
        width={width}
        height={height}
        viewBox={`${x} ${y} ${width} ${height}`}
        transform={`translate(${x} ${y})`}
      >
        <defs>
          <Head name="data" d="M0 0L8 3.2L0 6.4Z" width={8} height={6.4} />
          <Head name="communication" d="M0 0L10 5L0 10Z" width={10} height={10} />
          <Head name="temporal" d="M1 1L7 4.5L1 8" width={8} height={9} />
        </defs>
        {clusters.map(({ cluster, at, depth }) => (
          <rect key={cluster.id} className={depth % 2 === 0 ? 'frame' : 'frame inner'} {...at} rx={10} />
        ))}
        {edges.map(({ edge, path, label, quiet }) => {
          const touches = chosen.has(edge.from) || chosen.has(edge.to)
          if (quiet && !touches) return null
          const dim = chosen.size > 0 && !touches
          const names = ['edge', edge.kind, edge.kind === 'data' ? edge.role : '', dim ? 'dim' : '']
            .filter(Boolean)
            .join(' ')
          return (
            <g key={`${edge.from} ${edge.to} ${edge.kind} ${edge.role}`} className={names}>
              <path
                d={path}
                markerEnd={`url(#head-${edge.kind})`}
                {...(edge.both && { markerStart: `url(#head-${edge.kind})` })}
              />
              {label && (
                <text className="fact" x={label.x + label.width / 2} y={label.y + 11} textAnchor="middle">
                  {edge.label}
                </text>
              )}
            </g>
          )
        })}
        {far && <Outlines nodes={placed.nodes} markOf={far} />}
      </svg>
    </ViewportPortal>
  )
})

interface HeadProps {
  readonly name: string
  readonly d: string
  readonly width: number
  readonly height: number
}

function Head({ name, d, width, height }: HeadProps) {
  return (
    <marker
      id={`head-${name}`}
      markerUnits="userSpaceOnUse"
      markerWidth={width}
      markerHeight={height}
      refX={width}
      refY={height / 2}
      orient="auto-start-reverse"
    >
      <path className={`head ${name}`} d={d} />
    </marker>
  )
}
