import { placeView, viewSvg } from 'shardloom/svg'
import { serve } from './serve.js'

serve({
  place: ({ view }) => placeView(view),
  draw: ({ view, theme }) => viewSvg(view, { theme }),
})
