import {
  createView,
  levels,
  type Plan,
  readableLimits,
  ShardloomError,
  toDot,
  toJsonText,
  toMermaid,
  type ViewOptions,
} from 'shardloom'
import { z } from 'zod'
import { phasesOf, planSource, specInput } from '../spec-input.js'
import { defineTool } from '../tool.js'
import { rankInput } from './plan.js'

interface Format {
  /** How files of it end, the usual one first. */
  readonly extensions: readonly string[]
  /** Beyond this a coarser picture is drawn, which says so. */
  readonly limit: NonNullable<ViewOptions['limit']>
  readonly text: (plan: Plan, options: ViewOptions) => string
}

/** What can be written; a further format is one entry more. */
const formats = {
  mermaid: {
    extensions: ['.mmd', '.mermaid'],
    limit: readableLimits.mermaid,
    text: ({ program, operators }, options) => toMermaid(program, operators, options),
  },
  dot: {
    extensions: ['.dot', '.gv'],
    limit: readableLimits.dot,
    text: ({ program, operators }, options) => toDot(program, operators, options),
  },
  view: {
    extensions: ['.json'],
    limit: readableLimits.dot,
    text: ({ program, operators }, options) =>
      `${JSON.stringify({ schema: 'shardloom.view/1', ...createView(program, operators, options) }, undefined, 2)}\n`,
  },
  program: {
    extensions: ['.json'],
    limit: readableLimits.dot,
    text: ({ program }) => toJsonText(program),
  },
} as const satisfies Record<string, Format>

const names = Object.keys(formats) as [keyof typeof formats, ...(keyof typeof formats)[]]
const patterns = z.array(z.string().max(200)).max(20).optional()

/** `export`: the plan as a picture or as data. */
export const exportTool = defineTool({
  name: 'export',
  title: 'Export a plan',
  description:
    'The plan as a Mermaid or Graphviz picture (`mermaid`, `dot`), as its nodes and edges (`view`), or as the whole program that can be read back (`program`). The text comes in the result, or goes to `out` below the root. Large pictures are folded, which `notice` says. Example: {"spec": {"model": "llama-3.1-8b", "phase": "prefill", "batch": 4, "parallel": {"tp": 2}}, "format": "mermaid", "level": "module"}',
  units: '`characters` of the whole text. Facts in pictures carry their units.',
  narrow: 'Choose a coarser `level` (phase, stage, layer, module), narrow `where`, unroll less, or write to `out`.',
  writes: true,
  input: {
    ...specInput,
    format: z.enum(names).describe('what to write'),
    level: z.enum(levels).optional().describe('how fine the picture is; default operator'),
    unroll: z
      .array(z.enum(['layer', 'microbatch', 'decode_step', 'chunk', 'rank']))
      .optional()
      .describe('axes drawn one by one; default none'),
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
    out: z
      .string()
      .min(1)
      .max(1000)
      .optional()
      .describe('path of a new file below the root; default: the text comes in the result'),
    overwrite: z.boolean().optional().describe('whether `out` may replace a file'),
  },
  output: {
    format: z.string(),
    notice: z.string().describe('what is drawn instead of what was asked for; empty when nothing'),
    characters: z.number(),
    out: z.string().optional().describe('the file that was written, relative to the root'),
    text: z.string().optional(),
    warnings: z.array(z.string()),
  },
  run: async ({ format, part, out, overwrite = false, spec, file, level, unroll, where, rank }, context) => {
    const plan = partOf(phasesOf(await planSource({ spec, file }, context)), part)
    const { limit, text: write, extensions }: Format = formats[format]
    const fields = Object.entries(where ?? {}).filter(([, values]) => values !== undefined)
    const options: ViewOptions = {
      limit,
      ...(level !== undefined && { level }),
      ...(unroll !== undefined && { unroll }),
      ...(rank !== undefined && { rank }),
      ...(where !== undefined && { where: Object.fromEntries(fields) }),
    }
    if (format === 'program') refusePicture({ level, unroll, where, rank })
    const text = write(plan, options)
    const notice = format === 'program' ? '' : createView(plan.program, plan.operators, options).notice
    const document = { schema: 'shardloom.export/1', format, notice, characters: text.length, warnings: plan.warnings }
    if (out === undefined) return { ...document, text }
    return { ...document, out: await context.files.write(out, text, { extensions, overwrite }) }
  },
})

/** The program is written whole: what chooses a part of a picture would change nothing. */
function refusePicture(options: Readonly<Record<string, unknown>>): void {
  const subject = Object.keys(options).find((name) => options[name] !== undefined)
  if (subject === undefined) return
  throw new ShardloomError('ARGUMENTS', `\`${subject}\` is of pictures; the format is program.`, {
    subject,
    help: 'Leave it out, or use the format view.',
  })
}

function partOf(phases: readonly Plan[], part: string | undefined): Plan {
  const found =
    phases.find(({ program }) => program.phase === part) ??
    (phases.length === 1 && part === undefined ? phases[0] : undefined)
  if (found) return found
  const planned = phases.map(({ program }) => program.phase)
  throw new ShardloomError(
    'ARGUMENTS',
    `${part ?? 'Serving'} is not one graph: planned are ${planned.join(' and ')}.`,
    {
      subject: 'part',
      help: `Give \`part\` as ${planned.join(' or ')}.`,
    },
  )
}
