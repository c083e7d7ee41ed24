import { placedSvg, placeView, viewSvg } from 'shardloom/svg'
import { placeGraph } from '../graph/place-graph.js'
import { serve } from './serve.js'

serve({
  place: ({ view, room }) => placeGraph(view, room, placeView),
  draw: ({ view, placed, theme }) => {
    if (!placed) return viewSvg(view, { theme })
    // What shows only where one of its ends is selected is left out.
    return placedSvg(view, { ...placed, edges: placed.edges.filter(({ quiet }) => !quiet) }, { theme })
  },
})
