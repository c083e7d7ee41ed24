import { useReactFlow, useViewport } from '@xyflow/react'
import { memo, type PointerEvent } from 'react'
import type { Mark } from './flow-nodes.jsx'
import type { Placed, PlacedNode, Rect, Room } from './placed.js'
import { type Kind, outline } from './shape.jsx'

interface OutlinesProps {
  readonly nodes: readonly PlacedNode[]
  /** How each node stands out. */
  readonly markOf: (node: PlacedNode['node']) => Mark
}

/** All nodes without what they say, one path for each kind and mark: what is drawn where names are specks. */
export const Outlines = memo(function Outlines({ nodes, markOf }: OutlinesProps) {
  const paths = new Map<string, string>()
  for (const { node, at } of nodes) {
    const kind: Kind = node.outside ? 'compute' : node.kind
    const names = ['shape', node.outside ? 'outside' : kind, markOf(node)].filter(Boolean).join(' ')
    paths.set(names, (paths.get(names) ?? '') + outline(kind, at))
  }
  return [...paths].map(([names, d]) => <path key={names} className={names} d={d} />)
})

interface SmallProps {
  readonly placed: Placed
  readonly room: Room
}

/** Pixels of the overview. */
const overview = { width: 116, height: 84 }

/** All of a picture in small, while some of it is out of sight: what fits is never covered. A click or a drag shows what is there. */
export function Small({ placed, room }: SmallProps) {
  const flow = useReactFlow()
  const { x, y, zoom } = useViewport()
  const { bounds } = placed
  const [left, top] = [bounds.x * zoom + x, bounds.y * zoom + y]
  const fits =
    left >= -2 &&
    top >= -2 &&
    left + bounds.width * zoom <= room.width + 2 &&
    top + bounds.height * zoom <= room.height + 2
  if (fits) return null
  const scale = Math.min(overview.width / bounds.width, overview.height / bounds.height)
  const [width, height] = [bounds.width * scale, bounds.height * scale]
  const seen = {
    left: Math.max(0, (-left / zoom) * scale),
    top: Math.max(0, (-top / zoom) * scale),
    right: Math.max(0, width - ((room.width - left) / zoom) * scale),
    bottom: Math.max(0, height - ((room.height - top) / zoom) * scale),
  }
  const show = ({ currentTarget, clientX, clientY, buttons }: PointerEvent) => {
    if (buttons !== 1) return
    const at = currentTarget.getBoundingClientRect()
    void flow.setCenter(bounds.x + (clientX - at.x) / scale, bounds.y + (clientY - at.y) / scale, { zoom })
  }
  return (
    <div
      className="small nowheel"
      role="img"
      aria-label="Overview of the graph"
      style={{ width, height }}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId)
        show(event)
      }}
      onPointerMove={show}
    >
      <Picture placed={placed} width={width} height={height} />
      <div className="seen" style={seen} />
    </div>
  )
}

const Picture = memo(function Picture({ placed, width, height }: { readonly placed: Placed } & Omit<Rect, 'x' | 'y'>) {
  const { x, y, width: across, height: down } = placed.bounds
  return (
    <svg width={width} height={height} viewBox={`${x} ${y} ${across} ${down}`} aria-hidden="true">
      <Outlines nodes={placed.nodes} markOf={unmarked} />
    </svg>
  )
})

const unmarked = () => '' as const
