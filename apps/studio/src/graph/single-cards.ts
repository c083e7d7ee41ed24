import { cardSize } from 'shardloom/charts'
import type { GraphView } from '../worker/protocol.js'
import type { PlaceView } from './blocks.js'
import { placeGraph } from './place-graph.js'
import type { Placed, Room } from './placed.js'

/** Gives a view places without Graphviz; null where some cell of it holds more than one card, or a frame. */
export async function placeSingleCards(view: GraphView, room: Room): Promise<Placed | null> {
  let isSimple = true
  const place: PlaceView = async ({ nodes, clusters }) => {
    const [node] = nodes
    if (!node || nodes.length > 1 || clusters.length > 0) {
      isSimple = false
      return { bounds: nowhere, clusters: [], nodes: [], edges: [] }
    }
    const at = { x: 0, y: 0, ...cardSize(node) }
    return { bounds: at, clusters: [], nodes: [{ node, at }], edges: [] }
  }
  const placed = await placeGraph(view, room, place)
  return isSimple ? placed : null
}

const nowhere = { x: 0, y: 0, width: 0, height: 0 }
