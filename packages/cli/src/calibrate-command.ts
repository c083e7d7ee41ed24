import { dirname, resolve } from 'node:path'
import type { Command } from 'commander'
import {
  type CalibrationSummary,
  calibrationOfSpecsWork,
  clusterOf,
  decimal,
  formatCounted,
  formatDifference,
  type LoadedSpec,
  loadSpec,
  type MeasuredSpec,
  nearest,
  readPlacedRecords,
  ShardloomError,
  specFields,
  type TableRecord,
} from 'shardloom'
import { calibrationLines, meanOf, shortNumber } from './calibrate-lines.js'
import { type Call, type Io, locate } from './io.js'
import { printJson, printLines, printWarnings, withProgress } from './output.js'
import { readTextFile } from './read-file.js'
import { naming } from './report-error.js'
import { type Flags, loadFrom } from './spec-flags.js'
import { singleLine } from './style.js'
import { wrapped } from './table.js'
import { checkWritable, writeWhole } from './write-file.js'

/** `shardloom calibrate`: the constants of an accelerator, from steps that were measured on it. */
export function addCalibrate(program: Command, { io }: Call): void {
  program
    .command('calibrate <measurements>')
    .description('Fit the constants of an accelerator to measured steps, a JSON list or a CSV.')
    .option('--out <path>', 'write a file of constants for `simulate --efficiency`')
    .option('--json', 'print one JSON document (shardloom.calibrate/1)')
    .addHelpText(
      'after',
      '\nEach measurement has `seconds`, and a `spec` (a path or an object) or the flags\nof one as columns.\n' +
        '\nExample:\n  shardloom calibrate measured.csv --out my-h100.json',
    )
    .action(async (path: string, flags: Flags) => {
      const records = readPlacedRecords(await readTextFile(io, locate(io, path), path), path)
      if (records.length === 0) throw noMeasurements(path)
      if (typeof flags.out === 'string') await checkWritable(io, flags.out)
      const rowAt = (index: number) => `Measurement ${index + 1} of ${path} (line ${records[index]?.line})`
      const known = new Map<string, Promise<LoadedSpec>>()
      const measured: MeasuredSpec[] = []
      const rows = new Map<string, number[]>()
      for (const [index, { record }] of records.entries())
        measured.push(
          await naming(rowAt(index), async () => {
            const { seconds: _, ...rest } = record
            const seconds = secondsOf(record, path)
            const key = JSON.stringify(rest)
            const loaded = known.get(key) ?? specOf(io, rest, path)
            known.set(key, loaded)
            const row = `${key} ${seconds}`
            rows.set(row, [...(rows.get(row) ?? []), index + 1])
            clusterOf(await loaded)
            return { loaded: await loaded, seconds, name: rowAt(index) }
          }),
        )
      const summary = await withProgress(io, calibrationOfSpecsWork(measured))
      const text = `${JSON.stringify(summary.file, null, 2)}\n`
      if (typeof flags.out === 'string')
        await writeWhole(io, flags.out, async (stream) => {
          stream.write(text)
        })
      const warnings = [...repetitions([...rows.values()], path), ...doubtsOf(summary, path)]
      if (flags.json === true && flags.out !== '-') return printJson(io, { ...summary, warnings })
      printWarnings(io, warnings)
      if (flags.out === '-') return
      printLines(io, (style) => [
        ...calibrationLines(summary, style),
        ...(typeof flags.out === 'string'
          ? wrapped(`written to ${singleLine(flags.out)}, for \`shardloom simulate --efficiency\``, 0)
          : ['nothing was saved: --out FILE writes the constants for `simulate --efficiency`']),
      ])
    })
}

/** The spec of a measurement: a path or an object in `spec`, or its fields as flags. */
async function specOf(io: Io, { spec, ...fields }: TableRecord, path: string): Promise<LoadedSpec> {
  const names = Object.keys(fields)
  for (const [index, name] of names.entries()) {
    if (!columns.includes(camel(name))) throw unknownColumn(name, path)
    const other = names.slice(0, index).find((each) => camel(each) === camel(name))
    if (other !== undefined) throw sameColumn(other, name, path)
  }
  const beside = (name: string) => resolve(dirname(locate(io, path)), name)
  if (typeof spec === 'object' && spec !== null)
    return loadSpec(spec, { readText: (name) => readTextFile(io, beside(name), name) })
  const flags = Object.fromEntries(Object.entries(fields).map(([name, value]) => [camel(name), flagValue(value)]))
  return loadFrom(io, typeof spec === 'string' ? beside(spec) : undefined, { ...flags, command: 'calibrate' })
}

const flagValue = (value: unknown) => (typeof value === 'number' ? String(value) : value)
const camel = (flag: string) =>
  flag.replace(/^--/, '').replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())

/** The columns that a measurement may have beside `seconds` and `spec`. */
const columns = ['order', ...specFields().map(({ flag }) => camel(flag))]

function unknownColumn(name: string, path: string): ShardloomError {
  const flags = ['seconds', 'spec', 'order', ...specFields().map(({ flag }) => flag)]
  // A field of the spec by its path, such as `options.zero`, has a flag of its last word.
  const last = name.slice(name.lastIndexOf('.') + 1)
  const own = specFields().find(({ path }) => path.join('.') === name)?.flag
  const near = own ?? nearest(name, flags) ?? nearest(last, flags) ?? flags.find((flag) => begins(last, flag))
  return new ShardloomError('CALIBRATE', `There is no flag of the column \`${name}\`.`, {
    subject: path,
    help: near
      ? `Did you mean \`${near}\`?`
      : 'Columns are `seconds`, `spec`, and the flags of `simulate`, which its --help lists.',
  })
}

function sameColumn(one: string, other: string, path: string): ShardloomError {
  const message = `The columns \`${one}\` and \`${other}\` are one flag.`
  return new ShardloomError('CALIBRATE', message, { subject: path, help: 'Leave one of the two out.' })
}

function noMeasurements(path: string): ShardloomError {
  return new ShardloomError('CALIBRATE', `${path} holds no measurements.`, {
    subject: path,
    help: 'Give each a line, below one that names the columns, or an object in a JSON list.',
  })
}

/** Rows that are the same to the last digit: more often a slip than a second measurement. */
function repetitions(rows: readonly (readonly number[])[], path: string): string[] {
  const repeated = rows.filter(({ length }) => length > 1)
  return repeated.map(
    (numbers) =>
      `measurements ${numbers.join(', ')} of ${path} are the same: each counts, as if it had been measured again`,
  )
}

/** Whether one is the beginning of the other, of more than the two letters of an axis: `sequence` for `seq`. */
const begins = (name: string, flag: string) =>
  Math.min(name.length, flag.length) > 2 && (name.startsWith(flag) || flag.startsWith(name))

/** Seconds of a step: from what starting a single kernel takes to some days. */
const plausible = { least: 1e-6, most: 1e6 } as const

/** The seconds of a measurement. Throws `CALIBRATE` with what stands there instead. */
function secondsOf(record: TableRecord, path: string): number {
  const given = record['seconds']
  const seconds = typeof given === 'string' ? decimal(given) : given
  if (typeof seconds === 'number' && seconds >= plausible.least && seconds <= plausible.most) return seconds
  const found = `its columns are ${Object.keys(record).join(', ') || 'empty'}`
  const what = given === undefined ? `No \`seconds\` are given; ${found}.` : `\`seconds\` is ${JSON.stringify(given)}.`
  throw new ShardloomError('CALIBRATE', what, {
    subject: path,
    help: 'Give each measurement the seconds of one step, a number such as 0.125, above 0: from 1e-6, a kernel or less, to 1e6.',
  })
}

/** An error of prediction that remains, and a factor by which a constant moves, from which on a fit is doubted. */
const doubted = { error: 0.1, mean: 0.05, factor: 2 } as const

/** How many times as long or as short as predicted a measurement is of something else: no accelerator sustains a twentieth of another's share. */
const implausible = 20

/** Measurements that no constants of an accelerator explain, in words that say how far off they are. */
function elsewhere({ before, steps }: CalibrationSummary, path: string): string[] {
  const far = before.flatMap((error, index) => {
    const factor = 1 / (1 + error)
    if (factor < implausible && factor > 1 / implausible) return []
    const size = factor > 1 ? `${shortNumber(factor)} times as long` : `${shortNumber(1 / factor)} times as short`
    return [`measurement ${index + 1} (${steps[index]?.measured} s) is ${size} as predicted`]
  })
  const listed = far.length > 3 ? `${far.slice(0, 3).join(', ')}, and ${far.length - 3} more` : far.join(', ')
  return far.length === 0
    ? []
    : [
        `${listed} before the fit, which no accelerator's constants explain: are \`seconds\` of ${path} seconds, not milliseconds, of one step, and is the spec what ran?`,
      ]
}

/** Fewer different steps than constants to fit: as few equations leave some of the constants to where they started. */
function tooFew({ fit }: CalibrationSummary['file'], path: string): string[] {
  if (fit === undefined || fit.steps >= fit.constants) return []
  const steps = formatCounted(fit.steps, 'step', 'different steps')
  return [
    `${path} has ${steps} for ${formatCounted(fit.constants, 'constant')}: with fewer steps than constants some stay near their values before, and may be wrong for other steps. Measure ${fit.constants} or more that differ in model, degrees or sizes`,
  ]
}

/** What speaks against a fit: few or unexplained measurements, constants far from where they started, and that nothing comes of it. */
function doubtsOf(summary: CalibrationSummary, path: string): string[] {
  const { before: first, after, start, file } = summary
  const rows = after.flatMap((error, index) =>
    Math.abs(error) > doubted.error ? [`${index + 1} (${formatDifference(error)})`] : [],
  )
  const moved = Object.entries(start).flatMap(([name, before]) => {
    const value = Object.entries(file.values).find(([key]) => key === name)?.[1] ?? before
    const factor = value / before
    return Math.max(factor, 1 / factor) > doubted.factor
      ? [`${name} (${shortNumber(before)} to ${shortNumber(value)})`]
      : []
  })
  return [
    ...elsewhere(summary, path),
    ...tooFew(file, path),
    ...(meanOf(after) >= meanOf(first) && meanOf(first) > doubted.mean
      ? [
          `the fit is no nearer to the measurements of ${path} than the constants before it: do they contradict each other?`,
        ]
      : []),
    ...(rows.length > 0
      ? [
          `the constants do not explain measurement ${rows.join(', ')} of ${path}: is the spec what ran, and are the links those of the cluster?`,
        ]
      : []),
    ...(moved.length > 0
      ? [`the fit moves ${moved.join(', ')} by more than ${doubted.factor} times: is the spec what ran?`]
      : []),
  ]
}
