import { checkProgram, type OperatorTable, type Program } from '@shardloom/core'
import { readableLimits } from '../tokens.js'
import { createView, type View, type ViewOptions } from '../view.js'
import { drawGraph } from './graph.js'
import { drawLanes, lanesOf } from './lanes.js'
import { page, type SvgOptions } from './page.js'
import { drawStages, stagesOf } from './stages.js'

export async function toSvg(
  program: Program,
  operators: OperatorTable,
  options: ViewOptions & SvgOptions = {},
): Promise<string> {
  checkProgram(program, operators)
  const { theme, title, alt, prefix, ...asked } = options
  const view = createView(program, operators, { limit: readableLimits.svg, ...asked })
  return viewSvg(view, {
    ...(theme && { theme }),
    ...(title !== undefined && { title }),
    ...(alt !== undefined && { alt }),
    ...(prefix !== undefined && { prefix }),
  })
}

export async function viewSvg(view: View, options: SvgOptions = {}): Promise<string> {
  const columns = stagesOf(view)
  if (columns) return page(drawStages(view, columns), options)
  const lanes = lanesOf(view)
  return page(lanes ? await drawLanes(view, lanes) : await drawGraph(view), options)
}
