/** Gives a canvas the pixels of the screen for a size in CSS pixels, and a context in which one unit is one CSS pixel. */
export function fitCanvas(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D | null {
  const density = devicePixelRatio || 1
  const [across, down] = [Math.round(width * density), Math.round(height * density)]
  if (canvas.width !== across) canvas.width = across
  if (canvas.height !== down) canvas.height = down
  const context = canvas.getContext('2d', { alpha: false })
  context?.setTransform(density, 0, 0, density, 0, 0)
  return context
}
