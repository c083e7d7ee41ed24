import { heights } from './layout.js'
import { moved, type View, zoomed } from './view.js'

/** What a key does to a view, by its place on the keyboard: W and S zoom, A and D pan, 0 shows all. Undefined: nothing. */
export function viewAfterKey(code: string, view: View, end: number): View | undefined {
  const middle = (view.from + view.to) / 2
  switch (code) {
    case 'KeyW':
      return zoomed(view, 0.7, middle, end)
    case 'KeyS':
      return zoomed(view, 1 / 0.7, middle, end)
    case 'KeyA':
      return moved(view, -0.2)
    case 'KeyD':
      return moved(view, 0.2)
    case 'Digit0':
    case 'Numpad0':
      return { ...view, from: 0, to: end }
    default:
      return undefined
  }
}

/** How many pixels a key scrolls the rows, of which `room` are seen. Undefined: none of its business. */
export function scrollAfterKey(key: string, room: number): number | undefined {
  switch (key) {
    case 'ArrowDown':
      return heights.step
    case 'ArrowUp':
      return -heights.step
    case 'PageDown':
      return room - heights.step
    case 'PageUp':
      return heights.step - room
    default:
      return undefined
  }
}
