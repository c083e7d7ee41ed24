import { argumentError, checkProgram, type OperatorTable, type Pipeline, type Program } from '@shardloom/core'
import { readSchedule, type TimedSchedule, timeSchedule } from '@shardloom/schedules'
import { readableLimits } from '../tokens.js'
import { checkView, createView, type View, type ViewOptions } from '../view.js'
import { drawLanes } from './draw-lanes.js'
import { drawGraph, drawPlaced } from './graph.js'
import { lanesOf } from './lanes.js'
import { checkSvgOptions, type Drawing, page, type SvgOptions, svgOptions } from './page.js'
import { moved, text } from './pen.js'
import type { PlacedView } from './place-view.js'
import { scheduleChart } from './schedule-chart.js'
import { drawStages, stagesOf } from './stages.js'
import { drawTimeline } from './timeline.js'

/** How a graph is drawn. */
export interface GraphSvgOptions extends SvgOptions {
  /** Which way it runs; default operators down, everything coarser to the right. */
  readonly direction?: View['direction']
}

/**
 * The program as SVG. Beyond 150 nodes or 300 edges, or the limit given, a coarser picture is drawn, and says so. Stages of a pipeline
 * stand side by side over their schedule, ranks that do the same as lanes with a bar for each collective; all else is laid out by
 * Graphviz, whose WebAssembly is loaded for it. Throws what {@link createView} throws.
 */
export async function toSvg(
  program: Program,
  operators: OperatorTable,
  options: ViewOptions & GraphSvgOptions = {},
): Promise<string> {
  checkProgram(program, operators)
  const drawn: Record<string, unknown> = {}
  const asked: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(options)) {
    if (value !== undefined) (key in svgOptions || key === 'direction' ? drawn : asked)[key] = value
  }
  checkSvgOptions(drawn, graphOptions)
  const view = createView(program, operators, { limit: readableLimits.svg, ...asked })
  return page(await draw(view, drawn, program.pipeline), drawn)
}

/** A view as SVG, without the schedule below its stages. Throws `ARGUMENT` for what is no view. */
export async function viewSvg(view: View, options: GraphSvgOptions = {}): Promise<string> {
  checkView(view)
  checkSvgOptions(options, graphOptions)
  return page(await draw(view, options, undefined), options)
}

/** A view as SVG with the places given, in pixels, such as those of a screen. Throws `ARGUMENT` for what is no view or has no places. */
export function placedSvg(view: View, placed: PlacedView, options: SvgOptions = {}): string {
  checkView(view)
  if (
    !placed?.bounds ||
    !Array.isArray(placed.nodes) ||
    !Array.isArray(placed.edges) ||
    !Array.isArray(placed.clusters)
  )
    throw argumentError('second', placed, 'a placed view', 'Give what `placeView(view)` resolves to.')
  checkSvgOptions(options)
  return page(drawPlaced(view, placed), options)
}

const graphOptions = { direction: 'down|right' } as const

async function draw(given: View, { direction }: GraphSvgOptions, pipeline: Pipeline | undefined): Promise<Drawing> {
  const view = direction && direction !== given.direction ? { ...given, direction } : given
  const columns = view.direction === 'right' ? stagesOf(view) : undefined
  if (columns) return withSchedule(drawStages(view, columns), pipeline)
  const lanes = lanesOf(view)
  return lanes ? drawLanes(view, lanes) : drawGraph(view)
}

/** More slices than this in a row would be a strip without labels, and say nothing. */
const mostSlices = 200

/** Puts the schedule of a pipeline below its stages, each action as long as its parts. */
function withSchedule(drawing: Drawing, pipeline: Pipeline | undefined): Drawing {
  const timed = pipeline && scheduleOf(pipeline)
  if (!timed || timed.schedule.orders.some(({ length }) => length > mostSlices)) return drawing
  const chart = scheduleChart([timed])
  const strip = drawTimeline({ ...chart, unit: 'units' }, Math.max(drawing.width, 720) + 48)
  const top = drawing.height + 44
  const head = text({ x: 0, y: top - 16 }, `schedule ${pipeline.schedule}`, 'name')
  const fact = text({ x: 150, y: top - 16 }, 'F, I and W take one unit each, sends none', 'fact')
  return {
    ...drawing,
    width: Math.max(drawing.width, strip.width),
    height: top + strip.height,
    body: `${drawing.body}\n${head}${fact}\n${moved(strip.body, { x: 0, y: top })}`,
    legend: [...drawing.legend, ...strip.legend],
  }
}

/** The schedule that a pipeline's actions are, with costs of one unit; undefined where they are in program order. */
function scheduleOf({ actions }: Pipeline): TimedSchedule | undefined {
  return actions.length > 0 && actions.every(Boolean) ? timeSchedule(readSchedule(actions.join('\n'))) : undefined
}
