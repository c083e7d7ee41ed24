import { useSyncExternalStore } from 'react'

const narrow = '(max-width: 899px)'

/** Whether the window has no room for panes beside the views. */
export const useNarrow = (): boolean =>
  useSyncExternalStore(
    (listener) => {
      const query = matchMedia(narrow)
      query.addEventListener('change', listener)
      return () => query.removeEventListener('change', listener)
    },
    () => matchMedia(narrow).matches,
  )
