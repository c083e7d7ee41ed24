import { basename } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { formatCount, formatCounted, nearest, ShardloomError } from 'shardloom'
import {
  checkTransfers,
  drawText,
  type EqualCosts,
  makeSchedule,
  mergeBackwards,
  readTransferLists,
  resolveScheduleName,
  type Schedule,
  scheduleNames,
  sendsAndReceives,
  summariseSchedule,
  type TimedSchedule,
  type TransferLists,
  timeSchedule,
  writeSchedule,
  writeTransferLists,
} from 'shardloom/schedules'
import { type Call, type Io, locate } from './io.js'
import { printJson, printLines, printWarnings } from './output.js'
import { readStandardInput, readTextFile } from './read-file.js'
import { UsageError } from './report-error.js'
import type { Flags } from './spec-flags.js'
import { type Style, styleOf } from './style.js'
import { pairs, table, terminalWidth, wrapped } from './table.js'
import { writeWhole } from './write-file.js'

/** How each format becomes text. */
const formats = {
  text: (timed) => drawText(timed, { width: terminalWidth }),
  csv: ({ schedule }, transfers) => (transfers ? writeTransferLists(transfers) : writeSchedule(schedule)),
  svg: async (timed) => (await import('shardloom/svg')).scheduleSvg([timed]),
} as const satisfies Record<
  string,
  (timed: TimedSchedule, transfers: TransferLists | undefined) => string | Promise<string>
>

type Format = keyof typeof formats

/** The flags that say which schedule is made; a file says all of it by itself. */
const making = ['name', 'pp', 'microbatches', 'virtual', 'group', 'merge']

/** The most (stage, microbatch) pairs that are printed: some 60 MB of text. */
const mostPairs = 2 ** 19

/** `shardloom schedule`: in which order pipeline ranks work, as CSV, text or SVG, with its times. */
export function addSchedule(program: Command, { io }: Call): void {
  program
    .command('schedule')
    .description('Print a pipeline schedule: what each rank runs, in which order.')
    .option('--name <name>', `one of ${scheduleNames().join(', ')}; other usual spellings too`)
    .option('--file <csv>', "a schedule of your own instead, in PyTorch's form; - is standard input")
    .addOption(wholeNumber('--pp <ranks>', 'how many pipeline ranks there are'))
    .addOption(wholeNumber('--microbatches <m>', 'how many microbatches a step has'))
    .addOption(wholeNumber('--virtual <v>', 'chunks per rank, where a schedule leaves it open (default: 2)'))
    .addOption(wholeNumber('--group <g>', 'microbatches that an interleaved rank takes through one chunk in turn'))
    .addOption(new Option('--format <format>', 'what to print (default: text)').choices(Object.keys(formats)))
    .option('--out <path>', 'where to; - is standard output', '-')
    .option('--stats', 'also makespan, idle time and activations in flight')
    .addOption(
      new Option('--costs <F,I,W>', 'what an action of one stage costs (default: 1,1,1)').argParser(parseCosts),
    )
    .addOption(cost('--overlap-cost <c>', 'what an overlapped pair costs (default: the sum of its parts)'))
    .addOption(cost('--send-cost <s>', 'what it costs to send a result to another rank (default: 0)'))
    .option('--merge', 'make B of each I that its own W follows at once, as PyTorch does before it runs')
    .option('--comms', 'add the sends and receives to the actions')
    .option('--json', 'print one JSON document (shardloom.schedule/1)')
    .addHelpText(
      'after',
      `
F is a forward, I an input gradient, W a weight gradient, B both gradients.

Example:
  shardloom schedule --name zb-h1 --pp 8 --microbatches 24 --stats`,
    )
    .action(async (flags: Flags) => {
      const { schedule, given, warnings } = await scheduleFrom(io, flags)
      const costs = costsOf(flags)
      const transfers = flags.comms === true ? (given ?? sendsAndReceives(schedule, timesGiven(flags))) : undefined
      const format = formatOf(flags)
      const out = String(flags.out)
      printWarnings(io, warnings)
      const timed = timeSchedule(schedule, costs)
      const text = () => formats[format](timed, transfers)
      const write = () => writeWhole(io, out, async (stream) => void stream.write(await text()))
      if (flags.json === true) {
        const summary = summariseSchedule(schedule, costs, transfers)
        if (out !== '-') await write()
        if (flags.format === undefined && out === '-') return printJson(io, summary)
        return printJson(io, { ...summary, format, ...(out === '-' ? { text: await text() } : { out }) })
      }
      await write()
      if (flags.stats !== true) return
      if (out !== '-') return printLines(io, (style) => statsLines(timed, costs, style))
      if (format === 'text') return printLines(io, (style) => ['', ...statsLines(timed, costs, style)])
      // What another program reads stays clean: the figures go beside it.
      const style = styleOf(io.stderr, io.env)
      io.stderr.write(style.encode(`${statsLines(timed, costs, style).join('\n')}\n`))
    })
}

interface Given {
  readonly schedule: Schedule
  /** The sends and receives that a file holds. */
  readonly given?: TransferLists
  readonly warnings: readonly string[]
}

async function scheduleFrom(io: Io, flags: Flags): Promise<Given> {
  if (flags.file !== undefined) return readGiven(io, String(flags.file), flags)
  const names = `one of ${scheduleNames().join(', ')}`
  if (flags.name === undefined) throw new UsageError('There is no schedule to print.', `Use --name with ${names}.`)
  const name = String(flags.name)
  const own = resolveScheduleName(name)
  if (own === undefined) {
    const near = nearest(name.replace(/[\s_-]/g, ''), scheduleNames())
    throw new ShardloomError('UNKNOWN_SCHEDULE', `There is no schedule \`${name.slice(0, 40)}\`.`, {
      subject: 'name',
      help: near ? `Did you mean ${near}? It is ${names}.` : `Use ${names}.`,
    })
  }
  const missing = ['pp', 'microbatches'].filter((flag) => flags[flag] === undefined)
  if (missing.length > 0) {
    const flagged = missing.map((flag) => `--${flag}`).join(' and ')
    throw new UsageError(`${own} needs ${flagged}.`, `Such as \`--name ${own} --pp 4 --microbatches 8\`.`)
  }
  const virtual = flags.virtual as number | undefined // wholeNumber
  const group = flags.group as number | undefined // wholeNumber
  const made = makeSchedule(own, {
    ranks: Number(flags.pp),
    microbatches: Number(flags.microbatches),
    ...(virtual !== undefined && { virtual }),
    ...(group !== undefined && { group }),
  })
  const pairs = made.stageRanks.length * made.microbatches
  if (pairs > mostPairs) {
    const most = Math.floor(mostPairs / made.stageRanks.length)
    throw new ShardloomError(
      'BAD_SCHEDULE_SIZE',
      `${own} of ${formatCounted(made.stageRanks.length, 'stage')} and ${formatCounted(made.microbatches, 'microbatch', 'microbatches')} has ` +
        `${formatCount(pairs)} pairs of the two; at most ${formatCount(mostPairs)} are printed.`,
      {
        subject: 'microbatches',
        help: `Use at most ${formatCounted(most, 'microbatch', 'microbatches')}: a schedule repeats itself.`,
      },
    )
  }
  return { schedule: flags.merge === true ? mergeBackwards(made) : made, warnings: [] }
}

/** A schedule of the user's; sends and receives in it are kept, and a hang of theirs is a warning. */
async function readGiven(io: Io, path: string, flags: Flags): Promise<Given> {
  const excess = making.find((flag) => flags[flag] !== undefined)
  if (excess !== undefined) throw new UsageError(`--file says all that --${excess} says.`, 'Leave one of them out.')
  const text = path === '-' ? await readStandardInput(io) : await readTextFile(io, locate(io, path), path)
  const name = path === '-' ? 'custom' : basename(path).replace(/\.csv$/i, '')
  const lists = readTransferLists(text, { name })
  const { schedule } = lists
  const holdsTransfers = lists.lists.some((list, rank) => list.length > (schedule.orders[rank]?.length ?? 0))
  if (!holdsTransfers) return { schedule, warnings: [] }
  const { ok, problems } = checkTransfers(lists, 'in-order')
  const warnings = ok ? [] : [`its sends and receives hang on one in-order stream per rank: ${problems[0]?.message}`]
  return { schedule, given: lists, warnings }
}

function formatOf(flags: Flags): Format {
  const format = flags.format as Format | undefined // commander refuses any other choice
  if (flags.comms !== true || flags.json === true) return format ?? (flags.comms === true ? 'csv' : 'text')
  if (format === 'text' || format === 'svg') {
    throw new UsageError(
      `--comms adds sends and receives, which ${format} does not draw.`,
      'Use --format csv or --json.',
    )
  }
  return 'csv'
}

function costsOf(flags: Flags): EqualCosts {
  const [F, I, W] = (flags.costs ?? [1, 1, 1]) as [number, number, number] // parseCosts
  const overlap = flags.overlapCost as number | undefined // parseCost
  const send = flags.sendCost as number | undefined // parseCost
  return { F, I, W, ...(overlap !== undefined && { overlap }), ...(send !== undefined && { send }) }
}

/** The costs when the user gave any: sends then follow the times, else PyTorch's rounds. */
function timesGiven(flags: Flags): EqualCosts | undefined {
  return [flags.costs, flags.overlapCost, flags.sendCost].some((each) => each !== undefined)
    ? costsOf(flags)
    : undefined
}

/** The figures for people, within 80 columns. */
function statsLines(timed: TimedSchedule, costs: EqualCosts, style: Style) {
  const { schedule, makespan, comparableMakespan, idle, peakInFlight } = timed
  const parts = Object.entries(costs).map(([name, each]) => `${name} ${each}`)
  const total = idle.global.reduce((sum, each) => sum + each, 0)
  const share = makespan > 0 ? (100 * total) / (makespan * schedule.ranks) : 0
  const columns = (['rank', 'idle', 'in its own span', 'until I', 'until W', 'half at each'] as const).map(
    (header) => ({
      header,
      align: 'right' as const,
    }),
  )
  const rows = idle.global.map((each, rank) =>
    [each, idle.ownSpan[rank], peakInFlight.untilI[rank], peakInFlight.untilW[rank], peakInFlight.half[rank]].map(
      (value) => figure(value ?? 0),
    ),
  )
  return [
    ...pairs([
      ['makespan', `${figure(makespan)} (costs: ${parts.join(', ')})`],
      ['costs', `of one stage on one microbatch; ${stagesText(schedule)}`],
      [
        'comparable',
        `${figure(comparableMakespan)}, the makespan if the costs were those of a whole rank's share of the model`,
      ],
      ['idle', `${share.toFixed(1)} % of all ranks' time`],
    ]),
    '',
    ...table(
      columns,
      rows.map((row, rank) => [String(rank), ...row]),
      style,
    ),
    ...wrapped(
      'The last three columns are the most activations of one stage on one microbatch that are held at once, until I, ' +
        'until W, or half of each freed by I and half by W.',
      2,
    ).map(style.dim),
  ]
}

/** How many stages a rank holds: what the unit of the costs follows from. */
function stagesText({ stageRanks, ranks, directions, virtual }: Schedule): string {
  const stages = stageRanks.length
  const each = stages === virtual * ranks ? 'a rank' : 'the fullest rank'
  return `${each} holds ${virtual} of ${stages}${directions === 2 ? ', each for half of the microbatches' : ''}`
}

function figure(value: number): string {
  return Number.isInteger(value) ? formatCount(value) : String(Number(value.toPrecision(6)))
}

function wholeNumber(flags: string, description: string): Option {
  return new Option(flags, description).argParser((text: string) => {
    if (/^\d{1,15}$/.test(text)) return Number(text)
    throw new InvalidArgumentError('Give a whole number.')
  })
}

function cost(flags: string, description: string): Option {
  return new Option(flags, description).argParser(parseCost)
}

function parseCost(text: string): number {
  if (/^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) && Number.isFinite(Number(text))) return Number(text)
  throw new InvalidArgumentError('A cost is a number from 0 on, in any unit of time.')
}

function parseCosts(text: string): number[] {
  const costs = text.split(',').map((each) => parseCost(each.trim()))
  if (costs.length === 3) return costs
  throw new InvalidArgumentError('Write three numbers such as 2,2,1: a forward, an input and a weight gradient.')
}
