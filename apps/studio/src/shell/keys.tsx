import { useEffect, useRef } from 'react'
import { viewNames } from '../state/studio-state.js'
import { useStudio } from './studio.js'

const keys = [
  [`1 – ${viewNames.length}`, 'views'],
  ['/', 'search by name'],
  ['W A S D', 'move, by the place of the keys'],
  ['+ −', 'closer, farther'],
  ['↑ ↓', 'scroll timelines of more rows than fit'],
  ['← → ↑ ↓', 'other moments and ranks of the memory, where Enter selects what runs'],
  ['0', 'fit all'],
  ['Enter', 'open or close the selected card'],
  ['Backspace', 'close the card around the selection'],
  ['G', 'light up the group of the selected communication'],
  ['C', 'light up a critical path of the timeline'],
  ['Esc', 'select nothing'],
  ['Ctrl Enter', 'search, from any field of its question'],
  ['Ctrl Z', 'undo; with Shift redo'],
  ['?', 'these keys'],
] as const satisfies readonly (readonly [string, string])[]

/** Keys that work wherever nobody types, and the list of them, with a button that opens it. */
export function Keys() {
  const { dispatch } = useStudio()
  const list = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.defaultPrevented || isTyping(event.target)) return
      if ((event.ctrlKey || event.metaKey) && event.code === 'KeyZ') {
        event.preventDefault()
        return dispatch({ type: event.shiftKey ? 'redo' : 'undo' })
      }
      if (event.ctrlKey || event.metaKey || event.altKey) return
      const view = viewNames[Number(event.key) - 1]
      if (view) dispatch({ type: 'look', change: { view } })
      else if (event.key === '?') list.current?.showModal()
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [dispatch])
  return (
    <>
      <button
        type="button"
        className="quiet"
        aria-label="Keys"
        title="Keys (?)"
        onClick={() => list.current?.showModal()}
      >
        ?
      </button>
      <dialog ref={list} className="keys" aria-labelledby="keys-title">
        <h2 id="keys-title">Keys</h2>
        <dl>
          {keys.map(([key, does]) => (
            <div key={key}>
              <dt>
                <kbd>{key}</kbd>
              </dt>
              <dd>{does}</dd>
            </div>
          ))}
        </dl>
        <form method="dialog">
          <button type="submit">Close</button>
        </form>
      </dialog>
    </>
  )
}

/** What takes letters for itself. */
const writable =
  'input:not([type=radio], [type=checkbox], [type=range]), textarea, select, [contenteditable], dialog[open]'

/** Whether keys go into text, or choose in a list. */
export function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest(writable) !== null
}
