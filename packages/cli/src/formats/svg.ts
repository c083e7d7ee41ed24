import { Option } from 'commander'
import { createView, formatCount, readableLimits, simulateLoaded } from 'shardloom'
import { UsageError } from '../report-error.js'
import { type Flags, loadFrom, phaseFlags } from '../spec-flags.js'
import { type ExportFormat, type FormatCall, onePlan } from './format.js'
import { partOption } from './options.js'
import { viewFlags, viewOptions } from './pictures.js'

const viewOption = new Option(
  '--view <view>',
  'svg: the graph, a simulated step, or its memory (default: dag)',
).choices(['dag', 'timeline', 'memory'])
const themeOption = new Option('--theme <theme>', 'of pictures (default: auto, as readers prefer)').choices([
  'light',
  'dark',
  'auto',
])
const titleOption = new Option('--title <text>', 'what stands at the top')
const whatIfOption = new Option('--what-if', 'html: also simulate with one change at a time')

type Theme = 'light' | 'dark' | 'auto'

/** The flags that say how pictures look; each cast names what made the value. */
const lookOf = ({ theme, title }: Flags) => ({
  ...(theme !== undefined && { theme: theme as Theme }), // one of its choices
  ...(title !== undefined && { title: String(title) }),
})

/** A picture as SVG: the graph, or a simulated step over time, or its memory. */
export const svg: ExportFormat = {
  title: 'SVG',
  extensions: ['svg'],
  options: [...viewFlags, viewOption, themeOption, titleOption],
  help: `
With --view timeline or memory, svg simulates one step on the cluster of the
spec; --rank then chooses among the ranks that are run.`,
  make: async (call) => {
    const { flags } = call
    const { view = 'dag' } = flags
    // Graphviz is loaded for this alone.
    const { memorySvg, timelineSvg, toSvg } = await import('shardloom/svg')
    if (view === 'dag') {
      const plan = await onePlan(call)
      const options = viewOptions(flags)
      const { notice } = createView(plan.program, plan.operators, { limit: readableLimits.svg, ...options })
      return { warnings: plan.warnings, notice, chunks: [await toSvg(plan, { ...options, ...lookOf(flags) })] }
    }
    refuseOfGraphs(flags, String(view))
    const simulation = await simulated(call)
    const ranks = ranksOf(flags, simulation.timeline.ranks)
    const options = { ...lookOf(flags), ...(ranks && { ranks }) }
    const text = view === 'timeline' ? timelineSvg(simulation, options) : memorySvg(simulation, options)
    return { warnings: simulation.timed.warnings, notice: '', chunks: [text] }
  },
}

/** A plan and its simulation as one page. */
export const html: ExportFormat = {
  title: 'HTML',
  extensions: ['html', 'htm'],
  options: [partOption, themeOption, titleOption, whatIfOption],
  help: `
html is a report of the plan and one simulated step, in one file without
scripts: figures, pictures, communication, and what limits the step.`,
  make: async (call) => {
    const { flags } = call
    const simulation = await simulated(call)
    const { htmlReport } = await import('shardloom/svg')
    const text = await htmlReport(simulation, { ...lookOf(flags), whatIf: flags.whatIf === true })
    return { warnings: simulation.timed.warnings, notice: '', chunks: [text] }
  },
}

/** The step of a spec in time; of serving there is a step for each phase only. */
async function simulated({ io, specPath, flags }: FormatCall) {
  const loaded = await loadFrom(io, specPath, flags)
  if (loaded.spec.phase === 'serving')
    throw new UsageError(
      'Serving is no single step.',
      `Choose a phase: ${phaseFlags}. \`shardloom simulate\` serves a load.`,
    )
  if (flags.part !== undefined && flags.part !== loaded.spec.phase)
    throw new UsageError(`--part ${flags.part} is not planned: the phase is ${loaded.spec.phase}.`, 'Leave --part out.')
  return simulateLoaded(loaded)
}

/** Throws `USAGE` for flags that choose what of a graph is drawn. */
function refuseOfGraphs(flags: Flags, view: string): void {
  for (const name of ['level', 'unroll', 'where', 'limit', 'ranks'] as const)
    if (flags[name] !== undefined)
      throw new UsageError(
        `--${name} is of graphs; the view is ${view}.`,
        `Leave --${name} out, or use \`--view dag\`.`,
      )
}

/** The one rank that is asked for, if it was run: others are like one of those. */
function ranksOf({ rank }: Flags, run: readonly number[]): readonly number[] | undefined {
  if (rank === undefined) return undefined
  const asked = Number(rank)
  if (run.includes(asked)) return [asked]
  const list = run.slice(0, 8).join(', ')
  throw new UsageError(
    `Rank ${formatCount(asked)} is not run by itself: it does the same as one of ${list}${run.length > 8 ? ', …' : ''}.`,
    'Choose one of those, or leave --rank out.',
  )
}
