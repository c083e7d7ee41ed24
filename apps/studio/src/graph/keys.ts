/** What keys of the graph do. */
export interface Moves {
  readonly move: (x: number, y: number) => void
  readonly zoom: (closer: boolean) => void
  readonly fit: () => void
  readonly open: () => boolean
  readonly close: () => boolean
  readonly group: () => void
  readonly nothing: () => void
}

/** Does what a key is for; letters by their place on the keyboard. Returns whether it was for the graph. */
export function graphKey({ code, key, target }: KeyboardEvent, moves: Moves): boolean {
  const far = 90
  const onButton = target instanceof Element && target.closest('button, summary, a') !== null
  switch (code) {
    case 'KeyW':
      moves.move(0, far)
      return true
    case 'KeyS':
      moves.move(0, -far)
      return true
    case 'KeyA':
      moves.move(far, 0)
      return true
    case 'KeyD':
      moves.move(-far, 0)
      return true
    case 'KeyG':
      moves.group()
      return true
  }
  if (key === '0') moves.fit()
  else if (key === '+' || key === '-') moves.zoom(key === '+')
  else if (key === 'Escape') moves.nothing()
  else if (key === 'Enter' && !onButton) return moves.open()
  else if (key === 'Backspace') return moves.close()
  else return false
  return true
}
