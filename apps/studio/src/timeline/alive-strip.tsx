import { useEffect, useRef } from 'react'
import { formatBytes } from 'shardloom'
import { fitCanvas } from '../canvas.js'
import type { MemoryRank } from '../memory/data.js'
import { stepsOf } from '../memory/draw.js'
import type { Layout } from './layout.js'
import { fonts, type Theme } from './paint.js'
import type { View } from './view.js'

interface AliveStripProps {
  readonly rank: MemoryRank
  /** Seconds of the step. */
  readonly end: number
  readonly layout: Layout
  readonly view: View
  readonly width: number
  readonly theme: Theme
}

/** The height of the strip, and what of it is above and below the steps, in pixels. */
const sizes = { height: 52, above: 8, below: 6 } as const

/** The activations that a rank keeps, in steps, below the axis of its timeline. */
export function AliveStrip({ rank, end, layout, view, width, theme }: AliveStripProps) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const bytes = rank.bands.find(({ band }) => band === 'activations')?.bytes
  const most = bytes?.reduce((peak, each) => Math.max(peak, each), 0) ?? 0
  useEffect(() => {
    const context = canvas.current && width > 0 && fitCanvas(canvas.current, width, sizes.height)
    if (!context || !bytes) return
    const [left, right, bottom] = [layout.left, width - layout.right, sizes.height - sizes.below]
    const yOf = (value: number) => bottom - (value / most) * (bottom - sizes.above)
    context.fillStyle = theme.page
    context.fillRect(0, 0, width, sizes.height)
    context.fillStyle = theme.rule
    context.fillRect(left, bottom, right - left, 1)
    context.save()
    context.beginPath()
    context.rect(left, 0, right - left, sizes.height)
    context.clip()
    context.fillStyle = theme.bands.activations
    context.beginPath()
    for (const { x, until, at } of stepsOf(rank.seconds, bytes, end, view, left, right))
      context.rect(x, yOf(bytes[at] ?? 0), until - x, bottom - yOf(bytes[at] ?? 0))
    context.fill()
    context.restore()
    context.textAlign = 'left'
    context.textBaseline = 'middle'
    context.font = fonts.plain
    context.fillStyle = theme.ink
    context.fillText(rank.name, 12, 18, left - 16)
    context.font = fonts.fact
    context.fillStyle = theme.secondary
    context.fillText('activations', 12, 34, left - 16)
    context.fillText(formatBytes(most), right + 10, sizes.above + 6)
  }, [bytes, most, rank, end, layout, view, width, theme])
  if (!bytes || most === 0) return null
  return (
    <canvas
      ref={canvas}
      className="timeline-alive"
      style={{ height: sizes.height }}
      role="img"
      aria-label={`Activations that ${rank.name} keeps over the step, at most ${formatBytes(most)}`}
    />
  )
}
