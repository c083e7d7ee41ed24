/**
 * `npm run bench [name…]`: runs each bench/*.bench.mjs in the order of its name, in a process of its own: calls its default export with the
 * milliseconds of the baseline and prints the lines that it returns. Figures mean little without the machine, so the machine and a baseline come
 * first.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { ensureInstalled } from './ensure-installed.mjs'
import { root } from './workspace.mjs'

const [first, own, given] = process.argv.slice(2)
if (first === '--one') await run(own, Number(given))
else runAll(process.argv.slice(2))

/** What a bench compiles and leaves in memory is not to be the next one's. */
function runAll(wanted) {
  ensureInstalled()
  console.log(`${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown processor'}, Node ${process.version}`)
  const reference = baseline()
  console.log(`baseline: ${reference.toFixed(1)} ms to sort a million pseudo-random doubles`)
  const files = readdirSync(join(root, 'bench'))
    .filter((file) => file.endsWith('.bench.mjs'))
    .filter((file) => wanted.length === 0 || wanted.some((name) => file.includes(name)))
    .sort()
  for (const file of files) {
    console.log(`\n${file.replace('.bench.mjs', '')}`)
    const script = [fileURLToPath(import.meta.url), '--one', file, String(reference)]
    const { status } = spawnSync(process.execPath, [...process.execArgv, ...script], { stdio: 'inherit' })
    if (status !== 0) process.exitCode = 1
  }
}

async function run(file, reference) {
  const { default: bench } = await import(pathToFileURL(join(root, 'bench', file)).href)
  for (const line of await bench({ baseline: reference })) console.log(`  ${line}`)
}

/** Median milliseconds of five sorts, the same numbers on every machine. */
function baseline() {
  const times = Array.from({ length: 5 }, () => {
    let state = 1
    const values = Float64Array.from({ length: 1_000_000 }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return state
    })
    const start = performance.now()
    values.sort()
    return performance.now() - start
  })
  return times.sort((a, b) => a - b)[2]
}
