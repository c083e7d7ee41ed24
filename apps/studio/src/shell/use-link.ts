import { type Dispatch, useEffect, useRef, useState } from 'react'
import { readFragment, writeFragment } from '../state/fragment.js'
import type { Action } from '../state/history.js'
import type { StudioState } from '../state/studio-state.js'
import type { Failure } from '../worker/protocol.js'

/** Milliseconds of quiet after which a change goes into the address. */
const quiet = 200

/** Why plans that are each taken have no link. */
export const tooLong: Failure = {
  code: 'LINK',
  message: 'The plans of this page are together too long for a link: its address holds none of them.',
  help: 'Put plans away with ✕ at the top, or save each with Export.',
}

/**
 * Keeps the address and the state in step: a link that is opened becomes the state, or says why it cannot. Returns whether the link that the
 * page came with has been read: until then nothing is planned that would be dropped at once.
 */
export function useLink(
  state: StudioState,
  dispatch: Dispatch<Action>,
  onFailure: (failure: Failure | undefined) => void,
): boolean {
  const [opened, setOpened] = useState(() => location.hash.length <= 1)
  const written = useRef<string>('')
  const read = useRef(false)
  /** The state beside which a link was refused: until it changes, the address stays as it was given. */
  const beside = useRef<StudioState>(undefined)
  const latest = useRef(state)
  latest.current = state
  useEffect(() => {
    const open = async () => {
      const fragment = location.hash.slice(1)
      if (fragment !== '' && fragment !== written.current) {
        try {
          dispatch({ type: 'open', state: await readFragment(fragment) })
          onFailure(undefined)
        } catch (error) {
          beside.current = latest.current
          const why = error instanceof Error ? error.message : String(error)
          onFailure({
            code: 'LINK',
            message: `This link holds no plan: ${why}.`,
            help: 'Copy the whole link once more. What was open before stays open.',
          })
        }
      }
      read.current = true
      setOpened(true)
    }
    void open()
    addEventListener('hashchange', open)
    return () => removeEventListener('hashchange', open)
  }, [dispatch, onFailure])
  useEffect(() => {
    const timer = setTimeout(async () => {
      if (!read.current || state === beside.current) return
      const fragment = await writeFragment(state)
      if (fragment === undefined && written.current !== '') onFailure(tooLong)
      written.current = fragment ?? ''
      if (location.hash.slice(1) !== written.current)
        window.history.replaceState(null, '', fragment ? `#${fragment}` : location.pathname + location.search)
    }, quiet)
    return () => clearTimeout(timer)
  }, [state, onFailure])
  return opened
}
