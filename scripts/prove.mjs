/**
 * `npm run prove`: plans small models, runs them on virtual ranks in float64 and holds every tensor against one device;
 * spoils their communication to see that it is noticed. Ends with what was proven. Arguments go on to vitest.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureInstalled } from './ensure-installed.mjs'
import { runTool } from './workspace.mjs'

ensureInstalled()
const start = performance.now()
const folder = mkdtempSync(join(tmpdir(), 'shardloom-proof-'))
const file = join(folder, 'tally.jsonl')
process.env.SHARDLOOM_TALLY = file
const report = join(folder, 'report.json')
const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
const status = runTool('vitest/vitest.mjs', [
  'run',
  '--maxWorkers=100%',
  ...reporters,
  'test/proof',
  'packages/testing',
  ...process.argv.slice(2),
])
const total = sum(entriesOf(file))
const passed = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')).numPassedTests : 0
rmSync(folder, { recursive: true })

const { specs, tensors, executed, mutations, worst } = total
const communication = /^(all-reduce|all-gather|reduce-scatter|all-to-all|broadcast|send|recv)$/
const kinds = Object.entries(executed).sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
const collectives = kinds.filter(([kind]) => communication.test(kind))
const operators = kinds.filter(([kind]) => !communication.test(kind))
const number = (value) => value.toLocaleString('en-US')
const listed = (list) => list.map(([kind, count]) => `${kind} ${number(count)}`)
const all = (list) => list.reduce((count, [, each]) => count + each, 0)

console.log()
line('specs proven', number(specs))
line('tensors compared', number(tensors))
line('largest relative error', `${worst.toExponential(1)} (at most 1.0e-9)`)
line('operators executed', `${number(all(operators))}, of ${operators.length} kinds`)
wrapped(listed(operators))
line('collectives executed', number(all(collectives)))
wrapped(listed(collectives))
line('mutations made', number(mutations.made))
line('  caught by running', `${number(mutations.interpreter)} (the others change no number)`)
line('  caught by verifying', number(mutations.verifier))
line('seconds', ((performance.now() - start) / 1000).toFixed(0))

// A part of the suite, chosen by arguments, proves only that part.
const part = process.argv.length > 2
const complete = specs > 0 && mutations.made > 0 && mutations.verifier === mutations.made
const ok = status === 0 && passed > 0 && (complete || part)
console.log(!ok ? 'NOT PROVEN: see the failures above' : part ? 'proven, as far as chosen' : 'proven')
process.exitCode = ok ? 0 : status || 1

function entriesOf(path) {
  try {
    return readFileSync(path, 'utf8')
      .trim()
      .split('\n')
      .map((text) => JSON.parse(text))
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
    return []
  }
}

function sum(entries) {
  const total = {
    specs: 0,
    tensors: 0,
    worst: 0,
    executed: {},
    mutations: { made: 0, interpreter: 0, verifier: 0 },
  }
  for (const { specs = 0, tensors = 0, worst = 0, executed = {}, mutations = {} } of entries) {
    total.specs += specs
    total.tensors += tensors
    total.worst = Math.max(total.worst, worst)
    for (const [kind, count] of Object.entries(executed)) total.executed[kind] = (total.executed[kind] ?? 0) + count
    for (const [field, count] of Object.entries(mutations)) total.mutations[field] += count
  }
  return total
}

function line(name, value) {
  console.log(`${name.padEnd(24)}${value}`)
}

/** Words of a list below each other, no line longer than 80 columns. */
function wrapped(words) {
  let row = ''
  for (const word of words) {
    if (row && row.length + word.length + 2 > 76) {
      console.log(`    ${row},`)
      row = ''
    }
    row += row ? `, ${word}` : word
  }
  if (row) console.log(`    ${row}`)
}
