import { fitZoom, margins, type Placed, type Rect, type Room, readableZoom } from './placed.js'

/** What of a picture is seen: how far it is moved, in pixels of the screen, and its scale. */
export interface Viewport {
  readonly x: number
  readonly y: number
  readonly zoom: number
}

/** Shows all of a picture, as long as names can be read; of a larger one the beginning. */
export function fitted({ bounds, start }: Placed, room: Room): Viewport {
  const zoom = Math.min(1.15, Math.max(fitZoom(bounds, room), readableZoom))
  const { side, top, bottom } = margins
  const [across, down] = [room.width - 2 * side, room.height - top - bottom]
  const fitsAcross = bounds.width * zoom <= across + 1
  // Of what is wider than the room the place where one begins is seen, with what is around it.
  const left = Math.min(start.x, Math.max(bounds.x, start.x - (across / zoom - start.width) / 2))
  const x = fitsAcross ? side + (across - bounds.width * zoom) / 2 - bounds.x * zoom : side - left * zoom
  const fitsDown = bounds.height * zoom <= down + 1
  const above = Math.max(bounds.y, start.y - 48)
  const y = fitsDown ? top + (down - bounds.height * zoom) / 2 - bounds.y * zoom : top - above * zoom
  return { x, y, zoom }
}

/** Whether all of a rectangle is seen. */
export function isSeen(at: Rect, viewport: Viewport, room: Room): boolean {
  const { x, y } = broughtIn(at, viewport, room)
  return x === viewport.x && y === viewport.y
}

/** Moved so that a rectangle that is not seen as a whole stands in the middle; of a larger one, its beginning is seen. */
export function broughtIn(at: Rect, { x, y, zoom }: Viewport, room: Room): Viewport {
  const along = (now: number, from: number, size: number, length: number, margin: number) => {
    if (now + from >= margin && now + from + size <= length - margin) return now
    return Math.max((length - size) / 2, margin) - from
  }
  return {
    x: along(x, at.x * zoom, at.width * zoom, room.width, margins.side / 2),
    y: along(y, at.y * zoom, at.height * zoom, room.height, margins.top / 2),
    zoom,
  }
}
