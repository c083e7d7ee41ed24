import { type PointerEvent, useEffect, useRef } from 'react'
import { fitCanvas } from '../canvas.js'
import type { TimelineData } from './data.js'
import type { Layout } from './layout.js'
import { drawOverview, drawWindow, heldAt, overviewHeight } from './overview-strip.js'
import type { Paints } from './paint.js'
import type { View } from './view.js'

/** What an overview is told and tells. */
export interface OverviewProps {
  readonly panels: readonly TimelineData[]
  readonly layout: Layout
  readonly view: View
  readonly width: number
  readonly tools: { readonly paints: Paints } | null
  readonly onChange: (next: (view: View) => View) => void
}

/** All of the time in a strip, with a window whose sides are handles. */
export function Overview({ panels, layout, view, width, tools, onChange }: OverviewProps) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const whole = useRef<{ readonly of: readonly unknown[]; readonly picture: HTMLCanvasElement }>(undefined)
  const held = useRef<{ part: ReturnType<typeof heldAt>; x: number }>(undefined)
  useEffect(() => {
    if (!canvas.current || !tools || width === 0) return
    const of = [panels, layout, width, tools]
    // The strip itself is drawn once; a frame copies it and puts the window over it.
    if (!whole.current?.of.every((each, at) => each === of[at])) {
      const picture = document.createElement('canvas')
      const context = fitCanvas(picture, width, overviewHeight)
      if (context) drawOverview(context, panels, layout, width, tools.paints)
      whole.current = { of, picture }
    }
    const context = fitCanvas(canvas.current, width, overviewHeight)
    if (!context || !whole.current) return
    context.drawImage(whole.current.picture, 0, 0, width, overviewHeight)
    drawWindow(context, view, layout, width, tools.paints)
  })
  const placeOf = (event: PointerEvent) => event.clientX - event.currentTarget.getBoundingClientRect().left
  const timeOf = (pixels: number) => (pixels / Math.max(1, width - layout.left - layout.right)) * layout.end
  return (
    // The keys and the tree do the same for who cannot point.
    <div className="timeline-overview" aria-hidden="true">
      <canvas
        ref={canvas}
        onPointerDown={(event) => {
          const x = placeOf(event)
          const part = heldAt(x, view, layout, width)
          event.currentTarget.setPointerCapture(event.pointerId)
          held.current = { part: part === 'outside' ? 'window' : part, x }
          if (part !== 'outside') return
          const middle = timeOf(x - layout.left)
          onChange((known) => {
            const half = (known.to - known.from) / 2
            return { ...known, from: middle - half, to: middle + half }
          })
        }}
        onPointerMove={(event) => {
          const x = placeOf(event)
          const hold = held.current
          event.currentTarget.style.cursor =
            (hold?.part ?? heldAt(x, view, layout, width)) === 'window' ? 'grab' : 'ew-resize'
          if (!hold) return
          const by = timeOf(x - hold.x)
          held.current = { ...hold, x }
          onChange((known) => {
            const from = hold.part === 'to' ? known.from : known.from + by
            const to = hold.part === 'from' ? known.to : known.to + by
            return { ...known, from: Math.min(from, to), to: Math.max(from, to) }
          })
        }}
        onPointerUp={() => {
          held.current = undefined
        }}
        onDoubleClick={() => onChange((known) => ({ ...known, from: 0, to: layout.end }))}
      />
    </div>
  )
}
