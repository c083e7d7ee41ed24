import { type Command, InvalidArgumentError, Option } from 'commander'
import { formatCount, isShardloomError, type LoadedSpec } from 'shardloom'
import {
  askedOptions,
  type ChoiceValues,
  type Limit,
  readChoice,
  readLimit,
  readPoint,
  type SearchOptions,
  schedulesWith,
  usualSchedules,
  type Value,
} from 'shardloom/search'
import { UsageError } from '../report-error.js'
import { parseShard, type Shard } from '../shard-option.js'
import type { Flags } from '../spec-flags.js'
import { parseQueue, type QueueAddress } from './queue-address.js'
import { defaultWorkers, parseWorkers } from './workers-option.js'

/** The flags of `shardloom search` beside those of the spec, as their parsers leave them. */
export interface SearchFlags {
  readonly ranks?: number
  readonly objective?: string
  readonly limit?: readonly Limit[]
  readonly choose?: ChoiceValues
  readonly keep?: readonly string[]
  readonly top?: number
  readonly front?: readonly [string, string]
  readonly svg?: string
  readonly why?: WhyFlag
  readonly changes?: true
  readonly workers?: number
  readonly checkpoint?: string
  readonly shard?: Shard
  readonly out?: string
  readonly merge?: readonly string[]
  readonly queue?: QueueAddress
  readonly worker?: true
  readonly spec?: string
  readonly pick?: number
  readonly launcher?: string
  readonly csv?: true
  readonly json?: true
}

/** A point that is asked for, and how it was typed. */
export interface WhyFlag {
  readonly text: string
  readonly choices: Readonly<Record<string, Value>>
}

const options: readonly Option[] = [
  new Option('--ranks <n>', 'ranks of a candidate (default: of the cluster, or of the degrees)').argParser(parseCount),
  new Option('--objective <metric>', 'what is to be best (default: step-time, ttft, tpot or throughput, by the phase)'),
  new Option(
    '--limit <bound>',
    'what a metric must keep, such as tpot<=50ms (in serving the mean); repeatable',
  ).argParser(parseLimit),
  new Option(
    '--choose <name=values>',
    'the values of a choice, such as tp=1,2,4; repeatable; choices are listed below',
  ).argParser(parseChoice),
  new Option('--keep <names>', 'choices that stay as the spec has them, such as tp,pp').argParser(parseNames),
  new Option(
    '--top <n>',
    'how many of the best to find; up to four times as many are simulated (default: 5)',
  ).argParser(parseCount),
  new Option('--front <a,b>', 'also the candidates that nothing beats in both metrics').argParser(parseFront),
  new Option('--svg <path>', 'draw the front'),
  new Option('--why <choices>', 'one point, or the best that matches: tp=8,pp=4').argParser(parseWhy),
  new Option('--changes', 'the smallest changes of the spec that are better (not in serving)'),
  new Option('--workers <n>', `threads (default: ${defaultWorkers})`).argParser(parseWorkers),
  new Option('--checkpoint <path>', 'keep what is found in a file, and go on from it with the same release'),
  new Option('--shard <i/n>', 'one share of the work, for --merge').argParser(parseShard),
  new Option('--out <path>', 'where the answers of --shard go (default: standard output)'),
  new Option('--merge <paths...>', 'the answers of all shards, in place of a spec'),
  new Option('--queue <url>', 'have workers of a Redis queue do the work: redis://host:6379').argParser(parseQueue),
  new Option('--worker', 'work on what comes through --queue until stopped'),
  new Option('--spec <path>', 'write the spec of the best, or of the best change; - is standard output'),
  new Option('--launcher <name>', 'also print how a launcher is told of the best: megatron, torchtitan, …'),
  new Option(
    '--pick <n>',
    'the row of the table that --spec, --launcher and the command tell of (default: the best)',
  ).argParser(parseCount),
  new Option('--csv', 'print the best as CSV'),
  new Option('--json', 'print one JSON document (shardloom.search/1)'),
]

/** Adds the flags of a search to its command. */
export function addSearchFlags(command: Command): void {
  for (const option of options) command.addOption(option)
}

/** Flags that each do something else than search and print the best; what goes along with them. */
const modes: Readonly<Record<string, readonly string[]>> = {
  worker: ['queue', 'workers'],
  merge: ['spec', 'launcher', 'pick', 'csv', 'json', 'svg'],
  shard: ['ranks', 'objective', 'limit', 'choose', 'keep', 'top', 'front', 'workers', 'checkpoint', 'queue', 'out'],
  why: ['ranks', 'objective', 'limit', 'choose', 'keep', 'workers', 'spec', 'json'],
  changes: ['ranks', 'objective', 'limit', 'choose', 'keep', 'top', 'spec', 'json'],
}

/** Refuses flags that would have no effect beside others: `USAGE`. */
export function checkSearchFlags(flags: Flags, specPath: string | undefined): void {
  const set = options.map((option) => option.attributeName()).filter((name) => flags[name] !== undefined)
  const mode = Object.keys(modes).find((name) => set.includes(name))
  const beside = mode === undefined ? undefined : set.find((name) => name !== mode && !modes[mode]?.includes(name))
  if (mode !== undefined && beside !== undefined)
    throw new UsageError(`--${beside} has no effect with --${mode}.`, 'Leave one of both out.')
  const needs = { svg: 'front', out: 'shard', worker: 'queue' } as const
  for (const [name, other] of Object.entries(needs))
    if (set.includes(name) && !set.includes(other) && mode !== 'merge')
      throw new UsageError(`--${name} is of --${other}, which is not given.`, `Add --${other}, or leave --${name} out.`)
  if (flags['csv'] === true && flags['json'] === true)
    throw new UsageError('--csv and --json both say what is printed.', 'Leave one of both out.')
  if (set.includes('launcher') && (flags['csv'] === true || flags['spec'] === '-'))
    throw new UsageError(
      `--launcher adds to what is printed for people, and ${flags['csv'] === true ? '--csv' : '--spec -'} prints something else.`,
      'Leave one of both out, or use --json.',
    )
  if (set.includes('pick') && (flags['csv'] === true || flags['json'] === true))
    if (!set.includes('spec') && !set.includes('launcher'))
      throw new UsageError(
        `--pick says of which row a spec or a launcher's flags are told, and neither is asked for.`,
        'Add --spec PATH or --launcher NAME, or leave it out: all rows are printed.',
      )
  if ((mode === 'merge' || mode === 'worker') && specPath !== undefined)
    throw new UsageError(
      `A spec and --${mode} both say what is searched.`,
      mode === 'merge'
        ? 'Leave the spec out: the answers hold it.'
        : 'Leave the spec out: the queue says what to work on.',
    )
}

/** What a search is told; `why` narrows choices to one value each. */
export function searchOptionsOf(loaded: LoadedSpec, flags: SearchFlags, why: WhyFlag['choices'] = {}): SearchOptions {
  const { limit, choose = {}, keep = [], ...rest } = flags
  const both = keep.find((name) => Object.hasOwn(choose, name))
  if (both !== undefined)
    throw new UsageError(`--keep and --choose both say what \`${both}\` is.`, 'Leave one of both out.')
  const narrowed: Record<string, readonly Value[]> = Object.fromEntries(
    Object.entries(why).map(([name, value]) => [name, [value]]),
  )
  // A schedule of other chunks is no answer to so many.
  const isOpen = why['schedule'] === undefined && !keep.includes('schedule')
  if (loaded.spec.phase === 'training' && why['virtual'] !== undefined && isOpen) {
    const all = choose['schedule'] ?? usualSchedules
    narrowed['schedule'] = schedulesWith(all, Number(why['virtual']))
    if (narrowed['schedule'].length === 0)
      throw new UsageError(
        `No schedule of ${all.join(', ')} has ${why['virtual']} chunks on each rank.`,
        'Ask --why for a schedule too, or for as many as one of these has.',
      )
  }
  const kept = keep.filter((name) => !Object.hasOwn(why, name))
  return askedOptions(loaded, { ...rest, limits: limit, choose: { ...choose, ...narrowed }, keep: kept })
}

/** What a text says, or why it cannot be an argument. */
function argumentOf<Result>(read: () => Result): Result {
  try {
    return read()
  } catch (error) {
    if (!isShardloomError(error)) throw error
    throw new InvalidArgumentError([error.message, error.help ?? ''].join(' ').trim())
  }
}

/** A limit, added to those before it. */
function parseLimit(text: string, before: readonly Limit[] = []): readonly Limit[] {
  return [...before, argumentOf(() => readLimit(text))]
}

/** The values of a choice, added to those before it. */
function parseChoice(text: string, before: ChoiceValues = {}): ChoiceValues {
  const [name, values] = argumentOf(() => readChoice(text))
  if (Object.hasOwn(before, name)) throw new InvalidArgumentError(`The values of ${name} are given twice.`)
  return { ...before, [name]: values }
}

/** The largest count that is read. */
const mostCount = 999_999_999

function parseCount(text: string): number {
  const count = /^\d+$/.test(text) ? Number(text) : 0
  if (count >= 1 && count <= mostCount) return count
  throw new InvalidArgumentError(`Give a whole number, 1 to ${formatCount(mostCount)}.`)
}

function parseNames(text: string, before: readonly string[] = []): readonly string[] {
  const names = text.split(',').map((name) => name.trim())
  if (names.every((name) => /^[\w.]+$/.test(name))) return [...before, ...names]
  throw new InvalidArgumentError('Write the names of choices: tp,pp.')
}

function parseFront(text: string): readonly [string, string] {
  const [x, y, ...more] = text.split(',').map((name) => name.trim().replace(/^-/, ''))
  if (x && y && more.length === 0 && x !== y) return [x, y]
  throw new InvalidArgumentError('Name two different metrics: step-time,peak-memory.')
}

function parseWhy(text: string): WhyFlag {
  return { text, choices: argumentOf(() => readPoint(text)) }
}
