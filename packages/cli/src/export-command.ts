import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { type Command, InvalidArgumentError, Option } from 'commander'
import {
  createView,
  type Level,
  levels,
  type Plan,
  readableLimits,
  type ServingPlan,
  toJsonText,
  toMermaid,
  type UnrollAxis,
  type ViewOptions,
  writeDot,
} from 'shardloom'
import type { Call, Io } from './io.js'
import { printJson, printWarnings } from './output.js'
import { parseRank, rankOption } from './rank-option.js'
import { UsageError } from './report-error.js'
import { parseShard, type Shard } from './shard-option.js'
import { addSpecFlags, type Flags, loadFrom, planFrom } from './spec-flags.js'
import { singleLine, styleOf } from './style.js'
import { writeWhole } from './write-file.js'

/** How each format becomes text, in chunks. */
const formats = {
  json: ({ program, operators }, options, asked) => {
    if (!asked) return [toJsonText(program)]
    const whole = { nodes: Number.POSITIVE_INFINITY, edges: Number.POSITIVE_INFINITY }
    const view = createView(program, operators, { limit: whole, ...options })
    return [`${JSON.stringify({ schema: 'shardloom.view/1', ...view }, undefined, 2)}\n`]
  },
  dot: ({ program, operators }, options) => {
    const chunks: string[] = []
    writeDot(createView(program, operators, { limit: readableLimits.dot, ...options }), (chunk) => chunks.push(chunk))
    return chunks
  },
  mermaid: ({ program, operators }, options) => [toMermaid(program, operators, options)],
} as const satisfies Record<string, (plan: Plan, options: ViewOptions, asked: boolean) => readonly string[]>

type Format = keyof typeof formats

type Where = NonNullable<ViewOptions['where']>

/** The fields of a selector that a flag can give. */
const whereFields = [
  'segment',
  'module',
  'operator',
  'name',
  'body',
  'layers',
  'role',
] as const satisfies readonly (keyof Where)[]

const unrollAxes: readonly UnrollAxis[] = ['layer', 'microbatch', 'decode_step', 'chunk', 'rank']

/** `shardloom export`: the plan as a file that other tools read. */
export function addExport(program: Command, { io }: Call): void {
  const command = program
    .command('export [spec]')
    .description('Write the plan of a spec as JSON, Graphviz DOT, Mermaid or Chakra traces.')
    .addOption(
      new Option('--format <format>', 'what to write').choices([...Object.keys(formats), 'chakra']).default('json'),
    )
    .option('--out <path>', 'where to; - is standard output; chakra: what names of files begin with', '-')
    .addOption(new Option('--level <level>', 'how fine the picture is (default: operator)').choices([...levels]))
    .addOption(new Option('--unroll <axes>', `any of ${unrollAxes.join(',')}`).argParser(parseUnroll))
    .addOption(new Option('--where <field=value,...>', 'which operators are drawn').argParser(parseWhere))
    .addOption(new Option('--part <phase>', 'of serving, which phase is written').choices(['prefill', 'decode']))
    .addOption(rankOption().default(undefined, '0, or all stages of a pipeline'))
    .addOption(
      new Option('--ranks <a..b>', 'the ranks that --unroll rank draws, or chakra writes, both included').argParser(
        parseRanks,
      ),
    )
    .addOption(new Option('--shard <i/n>', 'chakra: part i of n of the ranks, from 0').argParser(parseShard))
    .option('--memory-nodes', 'chakra: write memory nodes; without, they become dependencies')
    .option('--schedule-as-data', 'chakra: order of the schedule among data dependencies too')
    .addOption(new Option('--limit <nodes>', 'nodes beyond which a coarser picture is drawn').argParser(parseLimit))
    .option('--json', 'print one JSON document (shardloom.export/1) about what was written')
    .addHelpText(
      'after',
      `
--where takes the fields of a selector:
${whereFields.join(', ')}.
A field may come twice, for either of its values, and so may the option;
* in a value stands for any characters.

With --level, --unroll or --where, json is the picture (shardloom.view/1);
without, it is the whole program (shardloom.program/1).

Of chakra, --out NAME writes NAME.<rank>.et for each rank, and with rank 0
the communicators, NAME.groups.json.

Example:
  shardloom export --model llama-3.1-8b --tp 2 --dp 2 --batch 8 --format mermaid`,
    )
    .action(async (specPath: string | undefined, flags: Flags) => {
      checkOf(flags)
      if (flags.format === 'chakra') return exportChakra(io, specPath, flags)
      if (flags.ranks !== undefined && !viewOptions(flags).unroll?.includes('rank')) {
        throw new UsageError('--ranks chooses among ranks that are not drawn one by one.', 'Add `--unroll rank`.')
      }
      const format = flags.format as Format // commander refuses any other choice
      const planned = partOf(await planFrom(io, specPath, flags), flags.part)
      printWarnings(io, planned.warnings)
      const asked = flags.level !== undefined || flags.unroll !== undefined || flags.where !== undefined
      const options = viewOptions(flags)
      const chunks = formats[format](planned, options, asked)
      const notice = format === 'json' ? '' : noticeOf(planned, options, format)
      const out = String(flags.out)
      if (flags.json === true && out === '-') return printExport(io, { format, notice, text: chunks.join('') })
      await writeWhole(io, out, (stream) => writeChunks(stream, chunks))
      if (flags.json === true) return printExport(io, { format, notice, out })
      const style = styleOf(io.stderr, io.env)
      if (notice) io.stderr.write(style.encode(`${style.dim('note:')} ${singleLine(notice)}\n`))
    })
  addSpecFlags(command)
}

/** Flags that only some formats have, as typed. */
const pictureFlags = { level: '--level', unroll: '--unroll', where: '--where', limit: '--limit', rank: '--rank' }
const traceFlags = { shard: '--shard', memoryNodes: '--memory-nodes', scheduleAsData: '--schedule-as-data' }

/** Throws `USAGE` for a flag that would change nothing. */
function checkOf(flags: Flags): void {
  const isTrace = flags.format === 'chakra'
  const others = isTrace ? pictureFlags : traceFlags
  for (const [name, flag] of Object.entries(others)) {
    if (flags[name] === undefined) continue
    const of = isTrace ? 'pictures' : 'Chakra traces'
    throw new UsageError(`${flag} is of ${of}; the format is ${flags.format}.`, `Leave ${flag} out.`)
  }
}

async function exportChakra(io: Io, specPath: string | undefined, flags: Flags): Promise<void> {
  const loaded = await loadFrom(io, specPath, flags)
  if (loaded.spec.phase === 'serving')
    throw new UsageError('Serving is two programs.', 'Choose one: `--phase prefill` or `--phase decode`.')
  const { writeChakra, chakraLine } = await import('./export-chakra.js')
  const out = String(flags.out)
  const { plan, ...report } = await writeChakra(io, loaded, {
    out,
    ranks: flags.ranks as [number, number] | undefined, // parseRanks
    shard: flags.shard as Shard | undefined, // parseShard
    memory: flags.memoryNodes === true,
    scheduleAsData: flags.scheduleAsData === true,
  })
  printWarnings(io, plan.warnings)
  if (flags.json === true) return printExport(io, { format: 'chakra', notice: '', out, ...report })
  const style = styleOf(io.stderr, io.env)
  io.stderr.write(style.encode(`${style.dim('note:')} ${singleLine(chakraLine(report, out))}\n`))
}

/** What is drawn: of serving one phase. */
function partOf(planned: Plan | ServingPlan, part: unknown): Plan {
  if ('program' in planned) {
    if (part === undefined || part === planned.program.phase) return planned
    throw new UsageError(`--part ${part} is not planned: the phase is ${planned.program.phase}.`, 'Leave --part out.')
  }
  if (part !== undefined) return part === 'prefill' ? planned.prefill : planned.decode
  throw new UsageError(
    'Serving is two graphs, which share no node.',
    'Choose one: `--part prefill` or `--part decode`.',
  )
}

/** The checked flags as options of a picture; each cast names what made the value. */
function viewOptions(flags: Flags): ViewOptions {
  const limit = flags.limit as number | undefined // parseLimit
  return {
    ...(flags.rank !== undefined && { rank: flags.rank as number }), // parseRank
    ...(flags.level !== undefined && { level: flags.level as Level }), // one of its choices
    ...(flags.unroll !== undefined && { unroll: flags.unroll as UnrollAxis[] }), // parseUnroll
    ...(flags.where !== undefined && { where: flags.where as WhereFields }), // parseWhere
    ...(flags.ranks !== undefined && { ranks: flags.ranks as [number, number] }), // parseRanks
    ...(limit !== undefined && { limit: { nodes: limit, edges: 2 * limit } }),
  }
}

async function writeChunks(stream: Writable, chunks: readonly string[]): Promise<void> {
  for (const chunk of chunks) if (!stream.write(chunk)) await once(stream, 'drain')
}

/** What is drawn instead of what was asked for, where that would be too large; the picture says it too. */
function noticeOf({ program, operators }: Plan, options: ViewOptions, format: 'dot' | 'mermaid'): string {
  return createView(program, operators, { limit: readableLimits[format], ...options }).notice
}

/** Where the output went or, when it would go to standard output itself, the output as a text inside the document. */
type ExportReport = { readonly format: Format | 'chakra'; readonly notice: string } & (
  | { readonly out: string }
  | { readonly text: string }
)

function printExport(io: Io, report: ExportReport): void {
  printJson(io, { schema: 'shardloom.export/1', ...report })
}

function parseUnroll(text: string): UnrollAxis[] {
  return text.split(',').map((name) => {
    const axis = unrollAxes.find((each) => each === name.trim())
    if (axis) return axis
    throw new InvalidArgumentError(`Allowed are ${unrollAxes.join(', ')}, joined by commas.`)
  })
}

type WhereFields = Partial<Record<(typeof whereFields)[number], readonly string[]>>

/** `module=moe,layers=0`, added to what earlier options said. */
function parseWhere(text: string, before: WhereFields = {}): WhereFields {
  const where = { ...before }
  for (const part of text.split(',')) {
    const [name = '', ...rest] = part.split('=')
    const field = whereFields.find((each) => each === name.trim())
    const value = rest.join('=').trim()
    if (!field || !value)
      throw new InvalidArgumentError(`Write FIELD=VALUE, joined by commas; fields are ${whereFields.join(', ')}.`)
    where[field] = [...(where[field] ?? []), value]
  }
  return where
}

function parseRanks(text: string): [number, number] {
  const [first = '', last = '', ...rest] = text.split('..')
  const ranks: [number, number] = [parseRank(first), parseRank(last || first)]
  if (rest.length === 0 && ranks[0] <= ranks[1]) return ranks
  throw new InvalidArgumentError('Write two ranks such as 0..3, the smaller first.')
}

function parseLimit(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('A limit is a whole number of at least 1.')
}
