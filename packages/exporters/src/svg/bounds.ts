import type { Rect } from './pen.js'

/** The rectangle around everything that is added. */
export class Bounds {
  #left = Number.POSITIVE_INFINITY
  #top = Number.POSITIVE_INFINITY
  #right = Number.NEGATIVE_INFINITY
  #bottom = Number.NEGATIVE_INFINITY

  add({ x, y, width, height }: Rect): void {
    this.#left = Math.min(this.#left, x)
    this.#top = Math.min(this.#top, y)
    this.#right = Math.max(this.#right, x + width)
    this.#bottom = Math.max(this.#bottom, y + height)
  }

  get x(): number {
    return Number.isFinite(this.#left) ? this.#left : 0
  }

  get y(): number {
    return Number.isFinite(this.#top) ? this.#top : 0
  }

  get width(): number {
    return Math.max(0, this.#right - this.#left)
  }

  get height(): number {
    return Math.max(0, this.#bottom - this.#top)
  }
}
