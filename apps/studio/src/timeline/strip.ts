import { slicePaint, stripFills } from 'shardloom/charts'
import type { TimelineData } from './data.js'
import type { Across } from './draw-row.js'
import { heights } from './layout.js'
import type { Theme } from './paint.js'
import { type Slices, spentUntil } from './slices.js'

/** In how many steps the height of a column says how much of it is filled. */
const levels = 7
/** Every so many pixels a line, where forward is computed again. */
const hatching = 5

/** Pixels of one row, into which columns are written before they are put on a canvas at once. */
export interface StripBrush {
  /** By the numbers of `stripFills`, and of the lines over what is computed again. */
  readonly colours: Uint32Array
  readonly line: number
  readonly canvas: HTMLCanvasElement
  readonly context: CanvasRenderingContext2D
  image: ImageData
}

/** Makes the brush of a theme. */
export function stripBrush(document: Document, theme: Theme): StripBrush {
  const canvas = document.createElement('canvas')
  const context = canvas.getContext('2d')
  if (!context) throw new Error('internal error: a canvas without two dimensions')
  const colours = stripFills.map((fill) => numberOf(slicePaint(theme, fill === 'again' ? 'F' : fill).fill))
  const line = numberOf(theme.sliceText.F)
  return { colours: Uint32Array.from(colours), line, canvas, context, image: new ImageData(1, heights.row) }
}

/** `#RRGGBB` as a pixel: red is the first byte in memory. */
function numberOf(colour: string): number {
  const bytes = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16))
  return new Uint32Array(Uint8Array.of(...bytes, 255).buffer)[0] ?? 0
}

/**
 * Columns of one pixel in the colour of what fills most of each, as high as the share that is filled. `add` returns the first of the
 * finest slices that ends behind the column; call `end` when all columns are there.
 */
export function stripOf(data: TimelineData, row: number, { zero, perTick, from, to }: Across, brush: StripBrush) {
  const slices = data.grains[0] as Slices // the finest is there
  const width = Math.ceil(to) - Math.floor(from) + 2
  const left = Math.floor(from)
  if (brush.image.width < width) {
    brush.image = new ImageData(width, heights.row)
    brush.canvas.width = width
    brush.canvas.height = heights.row
  }
  const { image, colours, line } = brush
  const pixels = new Uint32Array(image.data.buffer)
  const before = new Float64Array(stripFills.length)
  const until = new Float64Array(stripFills.length)
  const again = stripFills.indexOf('again')
  let [known, hint] = [Number.NEGATIVE_INFINITY, -1]
  let [first, next] = [-1, left]
  const add = (column: number): number => {
    if (column < next || column - left >= image.width) return hint
    if (first < 0) {
      pixels.fill(0)
      first = column
    }
    if (known === column) before.set(until)
    else spentUntil(slices, data.sums, row, (column - zero) / perTick, before)
    hint = spentUntil(slices, data.sums, row, (column + 1 - zero) / perTick, until, hint)
    known = column + 1
    next = column + 1
    let [sum, main, most] = [0, -1, 0]
    for (let fill = 0; fill < until.length; fill++) {
      const share = ((until[fill] as number) - (before[fill] as number)) * perTick
      sum += share
      if (share > most) [main, most] = [fill, share]
    }
    if (sum <= 0.005) return hint
    const level = Math.max(1, Math.round(Math.min(1, sum) * levels))
    const colour = colours[main] as number
    for (let y = heights.row - (heights.row * level) / levels; y < heights.row; y++)
      pixels[y * image.width + column - left] = main === again && (column + y) % hatching === 0 ? line : colour
    return hint
  }
  /** Puts the columns on a canvas, at the height of the row. */
  const end = (context: CanvasRenderingContext2D, y: number) => {
    if (first < 0) return
    const [at, size] = [first - left, next - first]
    brush.context.putImageData(image, 0, 0, at, 0, size, heights.row)
    context.imageSmoothingEnabled = false
    context.drawImage(brush.canvas, at, 0, size, heights.row, first, y, size, heights.row)
  }
  return { add, end }
}
