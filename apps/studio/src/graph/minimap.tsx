import { MiniMap, useStore, useViewport } from '@xyflow/react'
import { type RefObject, useEffect } from 'react'
import type { GraphNode } from './flow-nodes.jsx'
import type { Rect, Room } from './placed.js'

/** All of a picture in small, while some of it is out of sight: what fits is never covered. */
export function Small({ bounds, room }: { readonly bounds: Rect; readonly room: Room }) {
  const { x, y, zoom } = useViewport()
  const [left, top] = [bounds.x * zoom + x, bounds.y * zoom + y]
  const fits =
    left >= -2 &&
    top >= -2 &&
    left + bounds.width * zoom <= room.width + 2 &&
    top + bounds.height * zoom <= room.height + 2
  if (fits) return null
  return (
    <MiniMap<GraphNode>
      pannable
      zoomable
      style={{ width: 116, height: 84 }}
      ariaLabel="Overview of the graph"
      nodeClassName={({ type, data }) => (type === 'card' && 'node' in data ? `mini ${data.node.kind}` : 'mini none')}
    />
  )
}

/** Below this zoom, names are specks, and shapes are drawn without them. */
const unreadable = 0.3

/** Marks a pane whose names cannot be read. */
export function Far({ pane }: { readonly pane: RefObject<HTMLElement | null> }) {
  const far = useStore(({ transform: [, , zoom] }) => zoom < unreadable)
  useEffect(() => {
    pane.current?.classList.toggle('far', far)
  }, [pane, far])
  return null
}
