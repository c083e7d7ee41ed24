import { basename } from 'node:path'
import {
  createView,
  type LoadedSpec,
  levels,
  type Plan,
  planLoaded,
  readableLimits,
  ShardloomError,
  simulateLoaded,
  specText,
  tableCsv,
  tableJson,
  tableNames,
  toDot,
  toJsonText,
  toMermaid,
  unrollAxes,
  type ViewOptions,
} from 'shardloom'
import { exportLaunch, type LauncherName } from 'shardloom/launch'
import { z } from 'zod'
import { phasesOf, planned } from './spec-input.js'
import { rankInput } from './tools/plan.js'

const patterns = z.array(z.string().max(200)).max(20).optional()

/** Arguments that only some formats have. */
export const formatOptions = {
  level: z.enum(levels).optional().describe('how fine a picture is; default operator'),
  unroll: z.array(z.enum(unrollAxes)).optional().describe('axes drawn one by one; default none'),
  where: z
    .strictObject({
      segment: patterns,
      module: patterns,
      operator: patterns,
      name: patterns,
      body: patterns,
      layers: patterns,
      role: patterns,
    })
    .optional()
    .describe('which operators are drawn, such as {"module": ["attention"], "layers": ["0"]}'),
  rank: rankInput,
  part: z.enum(['prefill', 'decode']).optional().describe('of the phase serving, which of its two plans'),
  view: z
    .enum(['dag', 'timeline', 'memory'])
    .optional()
    .describe('svg: the graph, or one simulated step in time or in memory; default dag'),
  table: z.enum(tableNames).optional().describe('table, csv: which; default nodes'),
}

type FormatOptions = z.output<z.ZodObject<typeof formatOptions>>

/** The name of such an argument. */
export type FormatOption = keyof FormatOptions

interface Made {
  readonly text: string
  readonly warnings: readonly string[]
  /** What is drawn instead of what was asked for. */
  readonly notice?: string
  /** What gets lost without harm, or is up to the user. */
  readonly notes?: readonly string[]
  /** Files that have to stand beside it. */
  readonly files?: readonly { readonly name: string; readonly text: string }[]
}

/** A format of `export`. */
export interface Format {
  /** How files of it end, the usual one first. */
  readonly extensions: readonly string[]
  /** The arguments that it has; others are refused. */
  readonly options: readonly FormatOption[]
  /** `out` is the path that was asked for. */
  readonly make: (loaded: LoadedSpec, options: FormatOptions, out: string | undefined) => Made | Promise<Made>
}

const ofGraphs = ['level', 'unroll', 'where', 'part'] as const

/** What can be written; a further format is one entry more. */
export const formats = {
  mermaid: picture(['.mmd', '.mermaid'], readableLimits.mermaid, ({ program, operators }, options) =>
    toMermaid(program, operators, options),
  ),
  dot: picture(['.dot', '.gv'], readableLimits.dot, ({ program, operators }, options) =>
    toDot(program, operators, options),
  ),
  svg: { extensions: ['.svg'], options: [...ofGraphs, 'rank', 'view'], make: drawSvg },
  view: picture(
    ['.json'],
    readableLimits.dot,
    ({ program, operators }, options) =>
      `${JSON.stringify({ schema: 'shardloom.view/1', ...createView(program, operators, options) }, undefined, 2)}\n`,
  ),
  program: {
    extensions: ['.json'],
    options: ['part'],
    make: (loaded, { part }) => {
      const { program, warnings } = onePlan(loaded, part)
      return { text: toJsonText(program), warnings }
    },
  },
  table: table(['.json'], tableJson),
  csv: table(['.csv'], tableCsv),
  spec: {
    extensions: ['.yaml', '.yml'],
    options: [],
    make: ({ spec, warnings = [] }) => ({ text: specText(spec), warnings }),
  },
  megatron: launcher('megatron', '.sh'),
  torchtitan: launcher('torchtitan', '.toml'),
  deepspeed: launcher('deepspeed', '.json'),
  vllm: launcher('vllm', '.sh'),
  sglang: launcher('sglang', '.sh'),
} as const satisfies Record<LauncherName, Format> & Record<string, Format>

/** Their names. */
export const formatNames = Object.keys(formats) as [keyof typeof formats, ...(keyof typeof formats)[]] // the keys of a literal

type Draw = (plan: Plan, options: ViewOptions) => string | Promise<string>
type Limit = NonNullable<ViewOptions['limit']>

function picture(extensions: readonly string[], limit: Limit, draw: Draw): Format {
  return {
    extensions,
    options: [...ofGraphs, 'rank'],
    make: (loaded, options) => drawn(loaded, options, limit, draw),
  }
}

/** A picture of the graph; beyond the limit a coarser one, whose notice says so. */
async function drawn(loaded: LoadedSpec, asked: FormatOptions, limit: Limit, draw: Draw): Promise<Made> {
  const { level, unroll, where, rank, part } = asked
  const plan = onePlan(loaded, part)
  const fields = Object.entries(where ?? {}).filter(([, values]) => values !== undefined)
  const options: ViewOptions = {
    limit,
    ...(level !== undefined && { level }),
    ...(unroll !== undefined && { unroll }),
    ...(rank !== undefined && { rank }),
    ...(where !== undefined && { where: Object.fromEntries(fields) }),
  }
  const { notice } = createView(plan.program, plan.operators, options)
  return { text: await draw(plan, options), notice, warnings: plan.warnings }
}

async function drawSvg(loaded: LoadedSpec, options: FormatOptions): Promise<Made> {
  const { view = 'dag', rank } = options
  const { memorySvg, timelineSvg, toSvg } = await import('shardloom/svg') // Graphviz is loaded for this alone
  if (view === 'dag') return drawn(loaded, options, readableLimits.svg, toSvg)
  const subject = ofGraphs.find((name) => options[name] !== undefined)
  if (subject !== undefined)
    throw argumentError(
      subject,
      `\`${subject}\` is of graphs; the view is ${view}.`,
      'Leave it out, or use the view dag.',
    )
  if (loaded.spec.phase === 'serving')
    throw argumentError(
      'view',
      `The view ${view} is of one step, and serving is many.`,
      'Choose the phase prefill or decode, without `options.serving`.',
    )
  const simulation = simulateLoaded(loaded)
  const run = simulation.timeline.ranks
  if (rank !== undefined && !run.includes(rank))
    throw argumentError(
      'rank',
      `Rank ${rank} is not run by itself: it does the same as one of ${run.slice(0, 8).join(', ')}${run.length > 8 ? ', …' : ''}.`,
      'Choose one of those, or leave `rank` out.',
    )
  const write = view === 'timeline' ? timelineSvg : memorySvg
  return {
    text: write(simulation, rank === undefined ? {} : { ranks: [rank] }),
    warnings: simulation.timed.warnings,
  }
}

function table(extensions: readonly string[], write: typeof tableCsv): Format {
  return {
    extensions,
    options: ['table', 'part', 'rank'],
    make: (loaded, { table: name, part, rank }) => {
      const { program, operators, warnings } = onePlan(loaded, part)
      const options = { ...(name !== undefined && { table: name }), ...(rank !== undefined && { rank }) }
      return { text: [...write(program, operators, options)].join(''), warnings }
    },
  }
}

function launcher(name: LauncherName, extension: string): Format {
  return {
    extensions: [extension],
    options: [],
    make: (loaded, _, out = `plan${extension}`) => {
      // Nobody is told how to start what cannot be planned.
      const warnings = phasesOf(planned(loaded)).flatMap((each) => each.warnings)
      const scheduleFile = `${basename(out, extension)}.schedule.csv`
      return { ...exportLaunch(loaded, name, { scheduleFile }), warnings: [...new Set(warnings)] }
    },
  }
}

/** The plan that a format of one graph writes; of serving one phase, which `part` chooses. */
function onePlan(loaded: LoadedSpec, part: FormatOptions['part']): Plan {
  if (loaded.spec.phase !== 'serving' && part === undefined) return planLoaded(loaded)
  const phases = phasesOf(planned(loaded))
  const found = phases.find(({ program }) => program.phase === part)
  if (found) return found
  const names = phases.map(({ program }) => program.phase)
  throw argumentError(
    'part',
    `${part ?? 'Serving'} is not one graph: planned are ${names.join(' and ')}.`,
    `Give \`part\` as ${names.join(' or ')}.`,
  )
}

function argumentError(subject: string, message: string, help: string): ShardloomError {
  return new ShardloomError('ARGUMENTS', message, { subject, help })
}
