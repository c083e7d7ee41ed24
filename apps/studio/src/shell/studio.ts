import { createContext, type Dispatch, type RefObject, useContext } from 'react'
import type { DrawnGraph } from '../graph/placed.js'
import type { Action, History } from '../state/history.js'
import type { StudioState, Variant } from '../state/studio-state.js'
import type { Catalogue, Failure, GraphView, Inspected, Planned, PlanSource } from '../worker/protocol.js'
import type { JobState } from './use-job.js'

/** What all parts of the page share. */
export interface Studio {
  readonly state: StudioState
  readonly variant: Variant
  readonly history: History
  readonly dispatch: Dispatch<Action>
  readonly catalogue?: Catalogue
  /** The plan of the text; what is drawn follows `text` of the last one that could be planned. */
  readonly planned: JobState<Planned>
  /** The text of the last plan that there is. */
  readonly text?: string
  /** The plan that is looked at, of that text. */
  readonly source?: PlanSource
  /** Why the text cannot be planned. */
  readonly failure?: Failure
  /** Whether that is of the text before: the one at hand is still worked on. */
  readonly failureOld: boolean
  /** The graph on the screen. */
  readonly graph: JobState<GraphView>
  /** The graph as it is drawn, where it is on the screen; its view keeps it. */
  readonly onScreen: RefObject<DrawnGraph | undefined>
  /** What is selected. */
  readonly inspected: JobState<Inspected | null>
  /** The schedules that the timeline of the plan is compared with, while this page is open. */
  readonly schedules: readonly string[]
  readonly compareSchedules: (names: readonly string[]) => void
  readonly theme: 'light' | 'dark'
}

export const StudioContext = createContext<Studio | undefined>(undefined)

/** What all parts of the page share. */
export function useStudio(): Studio {
  const studio = useContext(StudioContext)
  if (!studio) throw new Error('internal error: outside of the studio')
  return studio
}
