import { useSyncExternalStore } from 'react'

/** Whether the window is as a media query says. */
export const useMedia = (words: string): boolean =>
  useSyncExternalStore(
    (listener) => {
      const query = matchMedia(words)
      query.addEventListener('change', listener)
      return () => query.removeEventListener('change', listener)
    },
    () => matchMedia(words).matches,
  )

/** Whether fingers point, which hover nowhere, and there is hardly a keyboard. */
export const useTouch = (): boolean => useMedia('(hover: none)')
