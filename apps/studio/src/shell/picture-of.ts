import { graphRequest } from '../graph/graph-request.js'
import type { DrawnGraph } from '../graph/placed.js'
import type { SearchRun } from '../search/search-run.js'
import type { StudioState } from '../state/studio-state.js'
import type { GraphRequest, PlanSource, StepPicture } from '../worker/protocol.js'

/** What a view is saved as: a graph, as it is drawn where it is on the screen, or what a step or several are drawn as. */
export type Picture = { readonly view: 'graph'; readonly graph: GraphRequest | DrawnGraph } | StepPicture

/** What is looked at, in full. */
interface Looked {
  readonly state: StudioState
  readonly source: PlanSource | undefined
  /** The graph on the screen. */
  readonly drawn: DrawnGraph | undefined
  /** The search of the page. */
  readonly run: SearchRun | undefined
}

/** The picture of the view that is looked at; a string says why it has none. */
export function pictureOf({ state, source, drawn, run }: Looked): Picture | string {
  const { view, variants, pool, graph } = state
  if (view === 'learn') return 'The list of pages is no picture.'
  if (view === 'search') {
    const front = run?.found?.front
    return front ? { view, front: front.picture } : 'No front of two metrics has been searched.'
  }
  if (view === 'compare') return variants.length > 1 ? { view, variants, pool } : 'There is one plan so far.'
  if (!source) return 'There is no plan.'
  return view === 'graph' ? { view, graph: drawn ?? graphRequest(source, graph) } : { view, ...source }
}
