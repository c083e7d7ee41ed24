/**
 * Pictures as SVG, each a file that needs nothing else, and a report as one page of HTML. An entry point of its own: layouts of general
 * graphs load Graphviz as WebAssembly, when the first of them is drawn.
 */
import { argumentError, checkOptions } from '@shardloom/core'
import type { UnrollAxis, ViewOptions } from '@shardloom/exporters'
import {
  type GraphSvgOptions,
  toSvg as graphPicture,
  type MemorySvgOptions,
  memorySvg as memoryPicture,
  type SvgOptions,
  type SvgTheme,
  type TimelineSvgOptions,
  timelineSvg as timelinePicture,
  timelinesSvg as timelinesPicture,
} from '@shardloom/exporters/svg'
import type { Compared } from './compare.js'
import { checkPlan, type Plan } from './plan.js'
import { drawnProgram, type Simulation } from './simulate-plan.js'
import { memoryOf } from './step-figures.js'

export {
  type ParetoAxis,
  type ParetoPicture,
  type ParetoPoint,
  type ParetoSvgOptions,
  type PlacedView,
  paretoSvg,
  placedSvg,
  placeView,
  type ScheduleSvgOptions,
  scheduleSvg,
  viewSvg,
} from '@shardloom/exporters/svg'
export { htmlReport, type ReportOptions } from './report.js'
export type { GraphSvgOptions, MemorySvgOptions, SvgOptions, SvgTheme, TimelineSvgOptions }

/** The graph of a plan as SVG: at most 150 nodes and 300 edges unless the limit says otherwise, else a coarser level that says so. */
export async function toSvg(plan: Plan, options: ViewOptions & GraphSvgOptions = {}): Promise<string> {
  checkPlan(plan)
  return graphPicture(plan.program, plan.operators, options)
}

/** A simulated step as SVG: ranks and streams on one axis of time. */
export function timelineSvg(simulation: Simulation, options: TimelineSvgOptions = {}): string {
  checkSimulation(simulation)
  return timelinePicture(simulation.timeline, drawnProgram(simulation), options)
}

/** Simulated steps above each other on one axis of time, each with its name. */
export function timelinesSvg(list: readonly Compared[], options: Omit<TimelineSvgOptions, 'ranks'> = {}): string {
  const steps = list.map(({ name, simulation }) => {
    checkSimulation(simulation)
    return { name, timeline: simulation.timeline, program: drawnProgram(simulation) }
  })
  return timelinesPicture(steps, options)
}

/** The memory of a simulated step as SVG, against what the device has. */
export function memorySvg(simulation: Simulation, options: MemorySvgOptions = {}): string {
  checkSimulation(simulation)
  const { memory, step } = simulation
  const { capacityBytes: limitBytes, reserveBytes } = memoryOf(simulation)
  return memoryPicture(memory, drawnProgram(simulation), step.seconds, { limitBytes, reserveBytes, ...options })
}

/** What one picture is of, and how it is drawn. */
export interface RenderOptions {
  /** The graph (`dag`), a simulated step (`timeline`), or its memory. Default `dag`. */
  readonly view?: 'dag' | 'timeline' | 'memory'
  /** Of a graph: how fine it is. Default `operator`. */
  readonly level?: ViewOptions['level']
  /** Of a graph: axes that are drawn iteration by iteration, or rank by rank. Default none. */
  readonly unroll?: readonly UnrollAxis[]
  /** Of a graph: the operators that are drawn. Default all. */
  readonly where?: ViewOptions['where']
  /** Of a graph: the rank whose numbers are shown. Default 0. */
  readonly rank?: number
  /** Of a graph: which way it runs. Default operators down, everything coarser to the right. */
  readonly direction?: GraphSvgOptions['direction']
  /** Default `auto`: light, and dark where the reader prefers it. */
  readonly theme?: SvgTheme
  readonly title?: string
  /** What readers are told who do not see the picture. Default what it is made of. */
  readonly alt?: string
  /** What ids and classes begin with; default made from the picture, so that different ones can stand in one page. */
  readonly prefix?: string
}

/**
 * One picture for a page: resolves to an SVG element that can stand inline in HTML or be a file by itself. The same input gives the
 * same bytes. It holds no script, no reference to anything outside of it, and no text that is not escaped; ids and classes begin with
 * a prefix. It has a `<title>` and a `<desc>`; each node is a `<g data-node="ID">` with the node's id in the view, to link it.
 *
 * `dag` takes a plan or a simulation; `timeline` and `memory` take a simulation. Throws `ARGUMENT` for anything else, `OPTION` for an
 * option of another view or a value that there is not, and what {@link toSvg} throws.
 */
export async function renderView(of: Plan | Simulation, options: RenderOptions = {}): Promise<string> {
  const { view = 'dag', level, unroll, where, rank, direction, ...drawn } = options
  const whole = {
    view: 'dag|timeline|memory',
    theme: 'light|dark|auto',
    title: 'string',
    alt: 'string',
    prefix: 'string',
  }
  if (view === 'dag') {
    const plan = isSimulation(of) ? of.plan : of
    const graph = Object.fromEntries(
      Object.entries({ level, unroll, where, rank, direction }).filter(([, value]) => value !== undefined),
    )
    return toSvg(plan, { ...drawn, ...graph })
  }
  checkOptions(options, whole)
  if (!isSimulation(of))
    throw argumentError('first', of, 'a simulation', `Give what \`simulateLoaded\` returns: a plan has no ${view}.`)
  return view === 'timeline' ? timelineSvg(of, drawn) : memorySvg(of, drawn)
}

const isSimulation = (of: Plan | Simulation): of is Simulation =>
  typeof of === 'object' && of !== null && 'timed' in of && 'machine' in of

/** Refuses what is no simulation, such as a plan: `ARGUMENT`. */
function checkSimulation(simulation: Simulation): void {
  if (!isSimulation(simulation))
    throw argumentError('first', simulation, 'a simulation', 'Give what `simulateLoaded` returns.')
}
