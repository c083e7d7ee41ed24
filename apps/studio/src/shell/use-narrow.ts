import { useMedia } from './use-media.js'

/** Whether the window has no room for panes beside the views. */
export const useNarrow = (): boolean => useMedia('(max-width: 899px)')
