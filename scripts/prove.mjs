/**
 * `npm run prove`: plans small models, runs them on virtual ranks in float64 and holds every tensor against one device;
 * spoils their communication to see that it is noticed. Prints a line per test file and ends with the counts and, as the
 * last line, what was proven. Arguments go on to vitest.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureInstalled } from './ensure-installed.mjs'
import { addUp, countLines, verdict } from './proof-summary.mjs'
import { root, runTool } from './workspace.mjs'

ensureInstalled()
const start = performance.now()
const folder = mkdtempSync(join(tmpdir(), 'shardloom-proof-'))
const tallies = join(folder, 'tally.jsonl')
const outcome = join(folder, 'outcome.json')
const chosen = process.argv.slice(2)
const reporter = `--reporter=${join(root, 'scripts', 'proof-reporter.mjs')}`
const args = ['run', '--maxWorkers=100%', reporter, 'test/proof/', 'packages/testing/', ...chosen]
const status = runTool('vitest/vitest.mjs', args, { env: { SHARDLOOM_TALLY: tallies, SHARDLOOM_PROOF: outcome } })
const total = addUp(linesOf(tallies).map((text) => JSON.parse(text)))
const { passed, failed } = JSON.parse(linesOf(outcome)[0] ?? '{"passed":0,"failed":0}')
rmSync(folder, { recursive: true })

const { exitCode, sentence } = verdict(total, { status, passed, failed }, chosen.length > 0)
const seconds = ((performance.now() - start) / 1000).toFixed(0)
console.log(['', ...countLines(total), `${'seconds'.padEnd(24)}${seconds}`, '', sentence].join('\n'))
process.exitCode = exitCode

function linesOf(path) {
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : []
}
