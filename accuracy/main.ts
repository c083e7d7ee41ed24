import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { isShardloomError, ShardloomError } from 'shardloom'
import { inferenceReport } from './inference/report.js'
import { pageOf, type Report } from './page.js'
import { leaveOut } from './serving/leave-out.js'
import { Simulations, servingReport } from './serving/report.js'
import { joined, type Kind, kinds, readTable } from './tables.js'
import { bestOfTables } from './training/best-of-table.js'
import { trainingReport } from './training/report.js'

/**
 * `npm run accuracy`: holds the simulator against published measurements, or against the rows of a file. `--out` writes the page of
 * the docs.
 */
const { values } = parseArgs({
  options: {
    rows: { type: 'string' },
    json: { type: 'boolean' },
    only: { type: 'string' },
    'leave-out': { type: 'boolean' },
    out: { type: 'string' },
  },
})

/** The files of published measurements. */
const published = ['measured-training.json', 'measured-serving.csv', 'measured-inference.json']

try {
  const folder = process.env['SHARDLOOM_REFERENCE']
  const paths = values.rows ? [values.rows] : folder ? published.map((name) => join(folder, 'reference', name)) : []
  if (paths.length === 0)
    throw new ShardloomError('ROWS', 'There are no rows to hold the simulator against.', {
      help: 'Give them with `--rows file.json`, or the folder of reference files in SHARDLOOM_REFERENCE.',
    })
  const report = await reportOf(paths)
  const text = values.json ? JSON.stringify(report) : pageOf(report).trimEnd()
  if (values.out === undefined) console.log(text)
  else writeFileSync(values.out, `${text}\n`)
} catch (cause) {
  if (!isShardloomError(cause)) throw cause
  console.error(`error[${cause.code}] ${cause.message}${cause.help ? `\nhelp: ${cause.help}` : ''}`)
  process.exitCode = 1
}

async function reportOf(paths: readonly string[]): Promise<Report> {
  const { training, serving, inference } = joined(paths.map((path) => readTable(readFileSync(path, 'utf8'), path)))
  const asked = kindsOf(values.only)
  const wants = (kind: Kind, rows: readonly unknown[]) => asked.includes(kind) && rows.length > 0
  const simulations = new Simulations()
  return {
    schema: 'shardloom.accuracy/2',
    ...(wants('training', training) && {
      training: await trainingReport(training, progress('training', training.length)),
      strategies: await bestOfTables(training, progress('strategies')),
    }),
    ...(wants('serving', serving) && {
      serving: await servingReport(serving, simulations, progress('serving', serving.length)),
      ...(values['leave-out'] && { leftOut: await leaveOut(serving, simulations, progress('left out')) }),
    }),
    ...(wants('inference', inference) && {
      inference: await inferenceReport(inference, progress('inference', inference.length)),
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
