import { themes } from 'shardloom'
import { fitCanvas } from '../src/canvas.js'
import { draw, type Scene } from '../src/timeline/draw.js'
import { layoutOf } from '../src/timeline/layout.js'
import { fonts, measurer, paintsOf } from '../src/timeline/paint.js'
import { fitted, inside, moved, zoomed } from '../src/timeline/view.js'
import { manyEvents } from './many-events.js'

/**
 * Milliseconds in which frames of a timeline of so many slices are drawn, pixels included, ascending: half of them zoom in by 60 %
 * in steps, from all to some hundred slices, and half pan.
 */
export function timeFrames(events: number, frames: number): number[] {
  const panels = [manyEvents(events)]
  const canvas = document.body.appendChild(document.createElement('canvas'))
  const [width, height] = [1280, 640]
  const context = fitCanvas(canvas, width, height)
  if (!context) return []
  const layout = layoutOf(panels, (label) => label.length * 7)
  const paints = paintsOf(context, themes.light, devicePixelRatio)
  const widthOf = measurer(context, fonts.plain)
  const times: number[] = []
  let view = fitted(layout.end)
  for (let frame = 0; frame < frames; frame++) {
    // Every ten frames a step closer, between them to the side.
    view = frame % 10 === 0 ? zoomed(view, 0.4, layout.end * 0.6, layout.end) : moved(view, 0.03)
    view = inside(view, layout.end, 0)
    const scene: Scene = {
      panels,
      layout,
      view,
      width,
      height,
      path: frame % 3 === 0 ? 'lit' : 'line',
      selected: undefined,
      ids: [],
      hovered: undefined,
      flows: [],
      span: undefined,
    }
    const start = performance.now()
    draw(context, scene, paints, widthOf)
    context.getImageData(0, 0, 1, 1)
    times.push(performance.now() - start)
  }
  return times.sort((a, b) => a - b)
}
