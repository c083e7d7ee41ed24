import { ticksOf, tickText } from 'shardloom/charts'
import { fonts, type Paints } from './paint.js'

type Theme = Paints['theme']

/** Draws the line under a picture of time, with its marks and their numbers, in the units of `span`. */
export function drawTicks(
  context: CanvasRenderingContext2D,
  { from, to }: { readonly from: number; readonly to: number },
  { left, right, bottom }: { readonly left: number; readonly right: number; readonly bottom: number },
  theme: Theme,
): void {
  context.fillStyle = theme.rule
  context.fillRect(left, bottom, right - left, 1)
  context.font = fonts.fact
  context.textAlign = 'center'
  context.textBaseline = 'middle'
  context.fillStyle = theme.secondary
  for (const tick of ticksOf(to, Math.max(3, Math.floor((right - left) / 100)), from)) {
    const x = left + ((tick - from) / (to - from)) * (right - left)
    context.fillRect(x - 0.5, bottom, 1, 4)
    context.fillText(tickText(tick), x, bottom + 13)
  }
}
