import type { GraphState } from '../state/studio-state.js'
import type { GraphRequest, PlanSource } from '../worker/protocol.js'

/** What is asked of the plan for the graph on the screen. */
export function graphRequest(source: PlanSource, { level, toggled, unroll, rank }: GraphState): GraphRequest {
  return { ...source, level, toggled, unroll, ...(rank !== undefined && { rank }) }
}
