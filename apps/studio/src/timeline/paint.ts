import { measures, type themes } from 'shardloom'
import { type SliceKind, slicePaint } from 'shardloom/charts'
import { sliceKinds } from './slices.js'
import { type StripBrush, stripBrush } from './strip.js'

/** The colours of one theme: those of the exporters' diagrams. */
export type Theme = (typeof themes)['light']

/** Colours and patterns of a canvas, by number where rows need them thousands of times. */
export interface Paints {
  readonly theme: Theme
  /** By the numbers of {@link sliceKinds}; B is drawn as I above W. */
  readonly fill: readonly string[]
  readonly stroke: readonly string[]
  readonly text: readonly string[]
  readonly brush: StripBrush
  readonly idle: CanvasPattern | string
  readonly again: CanvasPattern | string
  readonly over: CanvasPattern | string
}

/** Fonts of canvases. */
export const fonts = {
  name: `600 ${measures.name}px ${measures.text}`,
  plain: `12px ${measures.text}`,
  fact: `${measures.fact}px ${measures.text}`,
} as const

/** Makes the paints of a theme for a screen with `density` device pixels per pixel. */
export function paintsOf(context: CanvasRenderingContext2D, theme: Theme, density: number): Paints {
  const paints = sliceKinds.map((kind: SliceKind) => slicePaint(theme, kind === 'B' ? 'I' : kind))
  return {
    theme,
    fill: paints.map(({ fill }) => fill),
    stroke: paints.map(({ stroke }) => stroke),
    text: paints.map(({ text }) => text),
    brush: stripBrush(context.canvas.ownerDocument, theme),
    idle: hatched(context, theme.rule, 6, density),
    again: hatched(context, theme.sliceText.F, 5, density),
    over: hatched(context, theme.ink, 7, density),
  }
}

/** Lines from bottom left to top right, `distance` pixels apart along the x axis. */
function hatched(context: CanvasRenderingContext2D, colour: string, distance: number, density: number) {
  const size = Math.max(4, Math.round(distance * 1.4 * density))
  const tile = context.canvas.ownerDocument.createElement('canvas')
  tile.width = size
  tile.height = size
  const pen = tile.getContext('2d')
  if (!pen) return colour
  pen.strokeStyle = colour
  pen.lineWidth = density
  pen.beginPath()
  for (const shift of [-size, 0, size]) {
    pen.moveTo(shift - 1, size + 1)
    pen.lineTo(shift + size + 1, -1)
  }
  pen.stroke()
  const pattern = context.createPattern(tile, 'repeat')
  pattern?.setTransform(new DOMMatrix([1 / density, 0, 0, 1 / density, 0, 0]))
  return pattern ?? colour
}

/** Widths of texts, each measured once. */
export function measurer(context: CanvasRenderingContext2D, font: string): (text: string) => number {
  const known = new Map<string, number>()
  return (text) => {
    const found = known.get(text)
    if (found !== undefined) return found
    const before = context.font
    context.font = font
    const { width } = context.measureText(text)
    context.font = before
    known.set(text, width)
    return width
  }
}
