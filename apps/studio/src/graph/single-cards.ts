import { cardSize } from 'shardloom/charts'
import type { GraphView } from '../worker/protocol.js'
import type { PlaceView } from './blocks.js'
import { placeGraph } from './place-graph.js'
import type { Placed, Room } from './placed.js'

/** A part of a picture that needs Graphviz. */
class NotSingle extends Error {}

const placeCard: PlaceView = async ({ nodes, clusters }) => {
  const [node] = nodes
  if (!node || nodes.length > 1 || clusters.length > 0) throw new NotSingle()
  const at = { x: 0, y: 0, ...cardSize(node) }
  return { bounds: at, clusters: [], nodes: [{ node, at }], edges: [] }
}

/** Gives a view places without Graphviz; null where some cell of it holds more than one card, or a frame. */
export async function placeSingleCards(view: GraphView, room: Room): Promise<Placed | null> {
  try {
    return await placeGraph(view, room, placeCard)
  } catch (error) {
    if (error instanceof NotSingle) return null
    throw error
  }
}
