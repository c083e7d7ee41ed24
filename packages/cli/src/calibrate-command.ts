import { dirname, resolve } from 'node:path'
import type { Command } from 'commander'
import {
  type CalibrationSummary,
  calibrateSpecs,
  type LoadedSpec,
  loadSpec,
  readRecords,
  ShardloomError,
  type TableRecord,
} from 'shardloom'
import { type Finish, printJson, printLines } from './output.js'
import { readTextFile } from './read-file.js'
import { type Flags, loadFrom } from './spec-flags.js'
import { table } from './table.js'
import { writeWhole } from './write-file.js'

/** `shardloom calibrate`: the constants of an accelerator, from steps that were measured on it. */
export function addCalibrate(program: Command, _finish: Finish): void {
  program
    .command('calibrate <measurements>')
    .description('Fit the constants of an accelerator to measured steps, a JSON list or a CSV.')
    .option('--out <path>', 'write a file of constants for `simulate --efficiency`')
    .option('--json', 'print one JSON document (shardloom.calibrate/1)')
    .addHelpText(
      'after',
      '\nEach measurement has `seconds`, and a `spec` (a path or an object) or the flags of one as columns.\n' +
        '\nExample:\n  shardloom calibrate measured.csv --out my-h100.json',
    )
    .action(async (path: string, flags: Flags) => {
      const records = readRecords(await readTextFile(path), path)
      const measured = []
      for (const [index, record] of records.entries()) {
        const seconds = Number(record['seconds'])
        if (!(seconds > 0)) throw noSeconds(path, index)
        measured.push({ loaded: await specOf(record, path), seconds })
      }
      const summary = calibrateSpecs(measured)
      const text = `${JSON.stringify(summary.file, null, 2)}\n`
      if (typeof flags.out === 'string')
        await writeWhole(flags.out, async (stream) => {
          stream.write(text)
        })
      if (flags.out === '-') return
      if (flags.json === true) return printJson(summary)
      printLines((style) => [
        style.bold(`${summary.file.accelerator}, fitted to ${summary.measurements} measured steps`),
        '',
        ...table(
          [
            { header: 'constant', align: 'left' },
            { header: 'before', align: 'right' },
            { header: 'fitted', align: 'right' },
            { header: 'settled by them', align: 'right' },
          ],
          Object.entries(summary.start).map(([name, value]) => constantCells(name, value, summary)),
          style,
        ),
        '',
        `mean error ${meanText(summary.before)} before, ${meanText(summary.after)} after`,
      ])
    })
}

function constantCells(name: string, before: number, { file, settled }: CalibrationSummary): string[] {
  const after = Object.entries(file.values).find(([key]) => key === name)?.[1] ?? before
  const share = Object.entries(settled).find(([key]) => key === name)?.[1] ?? 0
  return [name, shortNumber(before), shortNumber(after), `${(100 * share).toFixed(0)} %`]
}

const shortNumber = (value: number) => String(Number(value.toPrecision(3)))

function meanText(errors: readonly number[]): string {
  return `${((100 * errors.reduce((sum, each) => sum + Math.abs(each), 0)) / errors.length).toFixed(1)} %`
}

/** The spec of a measurement: a path or an object in `spec`, or its fields as flags. */
async function specOf({ seconds: _, spec, ...fields }: TableRecord, path: string): Promise<LoadedSpec> {
  const locate = (name: string) => resolve(dirname(path), name)
  if (typeof spec === 'object' && spec !== null)
    return loadSpec(spec, { readText: (name) => readTextFile(locate(name), name) })
  const flags = Object.fromEntries(Object.entries(fields).map(([name, value]) => [camel(name), flagValue(value)]))
  return loadFrom(typeof spec === 'string' ? locate(spec) : undefined, { ...flags, command: 'calibrate' })
}

const flagValue = (value: unknown) => (typeof value === 'number' ? String(value) : value)
const camel = (flag: string) =>
  flag.replace(/^--/, '').replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())

function noSeconds(path: string, index: number): ShardloomError {
  return new ShardloomError('CALIBRATE', `Measurement ${index + 1} of ${path} has no \`seconds\` above 0.`, {
    subject: path,
    help: 'Give each measurement the seconds of one step.',
  })
}
