import { useCallback } from 'react'
import { useStudio } from './studio.js'

/** The selected node of the plan, which is one in all views, and what selects another or none. */
export function useSelection(): readonly [node: string | undefined, select: (node: string | undefined) => void] {
  const { state, dispatch } = useStudio()
  const { selection } = state
  const select = useCallback(
    (node: string | undefined) => {
      // None is one that is not there: the state of a link holds no undefined.
      if (node !== selection) dispatch({ type: 'look', change: { selection: node as string } })
    },
    [dispatch, selection],
  )
  return [selection, select]
}
