import { readFileSync, writeFileSync } from 'node:fs'
import { basename, isAbsolute, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { isShardloomError, ShardloomError } from 'shardloom'
import { inferenceReport } from './inference/report.js'
import { examples } from './own-rows.js'
import { pageOf, type Report } from './page.js'
import { asOwn, type Section } from './section.js'
import { leaveOut } from './serving/leave-out.js'
import { Simulations, servingReport } from './serving/report.js'
import { joined, type Kind, kinds, readTable } from './tables.js'
import { bestOfTables } from './training/best-of-table.js'
import { trainingReport } from './training/report.js'

/**
 * `npm run accuracy`: holds the simulator against published measurements, or against the rows of a file. `--out` writes the page of
 * the docs.
 */
const help = `Usage: npm run accuracy -- [options]

Holds the simulator against measurements, and prints the error of each row.

  --rows FILE      rows of your own, JSON or CSV; without it those in the folder $SHARDLOOM_REFERENCE
  --only SECTION   ${kinds.join(', ')}
  --leave-out      serving: also with constants from other groups
  --json           data in place of a page
  --out FILE       where it goes in place of standard output
  --help           this text

A row of training in ${examples.training.name}:

${examples.training.text}

All fields, and rows of serving and of static batches: apps/docs/reference/accuracy.md, "Rows of your own".`

/** The files of published measurements, and what the file is called that one of them was taken from. */
const published = ['measured-training.json', 'measured-serving.csv', 'measured-inference.json']
const originals: Readonly<Record<string, string>> = { 'measured-serving.csv': 'silicon_sample.csv' }

try {
  const values = argumentsOf(process.argv.slice(2))
  if (values.help) console.log(help)
  else await tell(values)
} catch (cause) {
  if (!isShardloomError(cause)) throw cause
  console.error(`error[${cause.code}] ${cause.message}${cause.help ? `\nhelp: ${cause.help}` : ''}`)
  process.exitCode = 1
}

function argumentsOf(args: string[]) {
  try {
    const { values } = parseArgs({
      args,
      options: {
        rows: { type: 'string' },
        json: { type: 'boolean' },
        only: { type: 'string' },
        'leave-out': { type: 'boolean' },
        out: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    })
    return values
  } catch (cause) {
    // One sentence of what is wrong; what follows it is about arguments that begin with a dash.
    const [reason = ''] = (cause instanceof Error ? cause.message : String(cause)).split('. ')
    throw new ShardloomError('USAGE', `${reason}.`, { help: 'Try `npm run accuracy -- --help`.' })
  }
}

async function tell(values: ReturnType<typeof argumentsOf>): Promise<void> {
  const folder = process.env['SHARDLOOM_REFERENCE']
  const known = folder ? published.map((name) => join(folder, 'reference', name)) : []
  const paths = values.rows ? [values.rows] : known
  const own = paths.some((path) => !known.some((each) => resolve(each) === resolve(path))) ? values.rows : undefined
  if (paths.length === 0)
    throw new ShardloomError('ROWS', 'There are no rows to hold the simulator against.', {
      help: 'Give them with `--rows file.json`, or the folder of reference files in SHARDLOOM_REFERENCE; `--help` shows a row.',
    })
  const report = await reportOf(paths, values, own)
  const text = values.json ? JSON.stringify(report) : pageOf(report, own).trimEnd()
  if (!values.json) for (const warning of report.warnings ?? []) console.error(`warning ${warning}`)
  const { out } = values
  if (out === undefined) console.log(text)
  else orFileError('write', out, () => writeFileSync(out, `${text}\n`))
}

/** What is done with a file, or why it cannot be. */
function orFileError<Result>(verb: string, path: string, act: () => Result): Result {
  try {
    return act()
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
    const reasons: Readonly<Record<string, string>> = {
      ENOENT: 'it does not exist',
      EISDIR: 'it is a folder',
      EACCES: 'permission denied',
    }
    throw new ShardloomError('FILE', `Cannot ${verb} ${path}: ${reasons[code] ?? (code || String(cause))}.`, {
      subject: path,
      help: `${isAbsolute(path) ? 'Is the path right?' : `The path is taken from ${process.cwd()}.`} \`--help\` shows a file that works.`,
      cause,
    })
  }
}

async function reportOf(
  paths: readonly string[],
  values: Pick<ReturnType<typeof argumentsOf>, 'only' | 'leave-out'>,
  own: string | undefined,
): Promise<Report> {
  const { training, serving, inference, warnings } = joined(
    paths.map((path) =>
      readTable(
        orFileError('read', path, () => readFileSync(path, 'utf8')),
        own === undefined ? (originals[basename(path)] ?? path) : path,
      ),
    ),
  )
  const asked = kindsOf(values.only)
  const wants = (kind: Kind, rows: readonly unknown[]) => asked.includes(kind) && rows.length > 0
  const simulations = new Simulations()
  const told = own === undefined ? (section: Section) => section : asOwn
  return {
    schema: 'shardloom.accuracy/2',
    ...(warnings.length > 0 && { warnings }),
    ...(wants('training', training) && {
      training: told(await trainingReport(training, progress('training', training.length))),
      strategies: await bestOfTables(training, progress('strategies')),
    }),
    ...(wants('serving', serving) && {
      serving: told(await servingReport(serving, simulations, progress('serving', serving.length))),
      ...(values['leave-out'] && { leftOut: await leaveOut(serving, simulations, progress('left out')) }),
    }),
    ...(wants('inference', inference) && {
      inference: told(await inferenceReport(inference, progress('inference', inference.length))),
    }),
  }
}

function kindsOf(only: string | undefined): readonly Kind[] {
  if (only === undefined) return kinds
  const asked = kinds.filter((kind) => kind === only)
  if (asked.length > 0) return asked
  throw new ShardloomError('ROWS', `There is no section \`${only}\`.`, {
    subject: '--only',
    help: `Use ${kinds.join(', ')}.`,
  })
}

/** Tells a terminal how far a section is. */
function progress(section: string, rows?: number): (done: number) => void {
  if (!process.stderr.isTTY) return () => {}
  return (done) => {
    process.stderr.write(`\r\u001b[K${section}: ${done}${rows === undefined ? '' : ` of ${rows} rows`}`)
    if (done === rows) process.stderr.write('\r\u001b[K')
  }
}
