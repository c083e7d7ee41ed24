import type { GraphState } from '../state/studio-state.js'
import type { GraphRequest } from '../worker/protocol.js'

/** What is asked of the plan for the graph on the screen. */
export function graphRequest(text: string, { level, toggled, unroll, rank }: GraphState): GraphRequest {
  return { text, level, toggled, unroll, ...(rank !== undefined && { rank }) }
}
