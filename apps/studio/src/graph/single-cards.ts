import type { GraphView } from '../worker/protocol.js'
import type { PlaceView } from './compose.js'
import { placeGraph } from './place-graph.js'
import type { Placed, Room } from './placed.js'

/** A part of a picture that needs Graphviz. */
class NotSingle extends Error {}

const refuse: PlaceView = () => Promise.reject(new NotSingle())

/** Gives a view places without Graphviz; null where some cell of it holds more than one card, or a frame. */
export async function placeSingleCards(view: GraphView, room: Room): Promise<Placed | null> {
  try {
    return await placeGraph(view, room, refuse)
  } catch (error) {
    if (error instanceof NotSingle) return null
    throw error
  }
}
