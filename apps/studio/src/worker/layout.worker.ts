import { placeView, viewSvg } from 'shardloom/svg'
import { placeGraph } from '../graph/place-graph.js'
import { serve } from './serve.js'

serve({
  place: ({ view, room }) => placeGraph(view, room, placeView),
  draw: ({ view, theme }) => viewSvg(view, { theme }),
})
