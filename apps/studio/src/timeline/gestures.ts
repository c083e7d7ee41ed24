/** What a person does over a canvas of time. Places are in pixels from its corner. */
export interface Gestures {
  /** Whether there is more above or below than is seen: then a wheel scrolls, and zooms with Ctrl. */
  readonly scrolls: () => boolean
  /** Wheel or pinch: looks at `factor` times as much, around a place. */
  readonly zoom: (factor: number, x: number) => void
  readonly pan: (across: number, down: number) => void
  /** A press and drag with Shift: a span from one place to another; `done` when it ends. */
  readonly span: (from: number, to: number) => void
  readonly hover: (place: { readonly x: number; readonly y: number } | undefined) => void
  readonly press: (x: number, y: number) => void
  readonly open: (x: number, y: number) => void
}

/** Pixels that a press may move and still be none but a press. */
const still = 4

/** Listens to wheel, mouse, pen and fingers on an element. Returns what stops that. */
export function listen(element: HTMLElement, gestures: Gestures): () => void {
  const pointers = new Map<number, { x: number; y: number }>()
  let begun: { x: number; y: number; span: boolean; moved: boolean } | undefined
  const placeOf = ({ clientX, clientY }: MouseEvent) => {
    const { left, top } = element.getBoundingClientRect()
    return { x: clientX - left, y: clientY - top }
  }
  const wheel = (event: WheelEvent) => {
    event.preventDefault()
    const { x } = placeOf(event)
    // Lines and pages are some 16 and 400 pixels.
    const unit = [1, 16, 400][event.deltaMode] ?? 1
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) gestures.pan(event.deltaX * unit, 0)
    else if (event.shiftKey || (gestures.scrolls() && !event.ctrlKey && !event.metaKey))
      gestures.pan(0, event.deltaY * unit)
    else gestures.zoom(Math.exp(event.deltaY * unit * (event.ctrlKey ? 0.01 : 0.0015)), x)
  }
  const down = (event: PointerEvent) => {
    if (event.button !== 0) return
    element.setPointerCapture(event.pointerId)
    const place = placeOf(event)
    pointers.set(event.pointerId, place)
    begun = { ...place, span: event.shiftKey, moved: pointers.size > 1 }
  }
  const move = (event: PointerEvent) => {
    const place = placeOf(event)
    const before = pointers.get(event.pointerId)
    if (!before || !begun) return gestures.hover(place)
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1]
    pointers.set(event.pointerId, place)
    if (other) {
      const [was, is] = [before, place].map(({ x }) => Math.max(12, Math.abs(x - other.x))) as [number, number]
      gestures.zoom(was / is, (place.x + other.x) / 2)
      gestures.pan((before.x - place.x) / 2, (before.y - place.y) / 2)
      return
    }
    if (!begun.moved && Math.hypot(place.x - begun.x, place.y - begun.y) < still) return
    begun.moved = true
    if (begun.span) gestures.span(begun.x, place.x)
    else gestures.pan(before.x - place.x, before.y - place.y)
  }
  const up = (event: PointerEvent) => {
    pointers.delete(event.pointerId)
    if (begun && event.type === 'pointerup') {
      if (!begun.moved) gestures.press(begun.x, begun.y)
      else if (begun.span) gestures.span(begun.x, placeOf(event).x)
    }
    if (pointers.size === 0) begun = undefined
  }
  const leave = () => gestures.hover(undefined)
  const open = (event: MouseEvent) => {
    const { x, y } = placeOf(event)
    gestures.open(x, y)
  }
  element.addEventListener('wheel', wheel, { passive: false })
  element.addEventListener('pointerdown', down)
  element.addEventListener('pointermove', move)
  element.addEventListener('pointerup', up)
  element.addEventListener('pointercancel', up)
  element.addEventListener('pointerleave', leave)
  element.addEventListener('dblclick', open)
  return () => {
    element.removeEventListener('wheel', wheel)
    element.removeEventListener('pointerdown', down)
    element.removeEventListener('pointermove', move)
    element.removeEventListener('pointerup', up)
    element.removeEventListener('pointercancel', up)
    element.removeEventListener('pointerleave', leave)
    element.removeEventListener('dblclick', open)
  }
}
