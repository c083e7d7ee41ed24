import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { isShardloomError } from 'shardloom'
import { report } from './report.js'
import { readRows } from './row.js'
import { reportText } from './text.js'

/**
 * `npm run accuracy`: holds the simulator against published measurements, or against the rows of a file. `--out` writes the page of
 * the docs.
 */
const { values } = parseArgs({
  options: {
    rows: { type: 'string' },
    json: { type: 'boolean' },
    only: { type: 'string' },
    out: { type: 'string' },
  },
})
const folder = process.env['SHARDLOOM_REFERENCE']
const path = values.rows ?? (folder ? join(folder, 'reference', 'measured-training.json') : undefined)
try {
  if (path === undefined) {
    console.error('Give rows with `--rows file.json`, or the folder of reference files in SHARDLOOM_REFERENCE.')
    process.exitCode = 2
  } else {
    const all = readRows(readFileSync(path, 'utf8'), path)
    const rows = all.filter(({ source }) => values.only === undefined || source.includes(values.only))
    const isShown = process.stderr.isTTY
    const result = await report(rows, (done) => isShown && process.stderr.write(`\r${done} of ${rows.length} rows`))
    if (isShown) process.stderr.write('\r\u001b[K')
    const text = values.json ? JSON.stringify(result) : reportText(result)
    if (values.out === undefined) console.log(text)
    else writeFileSync(values.out, `${text}\n`)
  }
} catch (cause) {
  if (!isShardloomError(cause)) throw cause
  console.error(`error[${cause.code}] ${cause.message}${cause.help ? `\nhelp: ${cause.help}` : ''}`)
  process.exitCode = 1
}
