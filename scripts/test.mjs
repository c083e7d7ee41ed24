/**
 * `npm test`: installs and builds what is missing, runs every vitest test and prints, as the last line,
 * `N passed, N failed` (with `, N skipped` when there are any). Arguments go on to vitest.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureInstalled } from './ensure-installed.mjs'
import { runTool } from './workspace.mjs'

ensureInstalled()
const folder = mkdtempSync(join(tmpdir(), 'shardloom-test-'))
const report = join(folder, 'report.json')
const args = ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
const status = runTool('vitest/vitest.mjs', [...args, ...process.argv.slice(2)])
const { passed, failed, skipped } = count(report)
rmSync(folder, { recursive: true })

console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
process.exitCode = status !== 0 ? status : failed > 0 ? 1 : 0

/** A run that broke without a failing test (a crashed worker, a file that does not load, no test at all) counts as failed. */
function count(file) {
  let results
  try {
    results = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return { passed: 0, failed: 1, skipped: 0 }
  }
  const unloaded = results.testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
  ).length
  const failed = results.numFailedTests + unloaded
  const broken = failed === 0 && (status !== 0 || results.numPassedTests === 0)
  return {
    passed: results.numPassedTests,
    failed: broken ? 1 : failed,
    skipped: results.numPendingTests + results.numTodoTests,
  }
}
