/**
 * `npm run bench [name…]`: imports each bench/*.bench.mjs in the order of its name, calls its default export with the milliseconds of
 * the baseline and prints the lines that it returns. Figures mean little without the machine, so the machine and a baseline come first.
 */
import { readdirSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ensureInstalled } from './ensure-installed.mjs'
import { root } from './workspace.mjs'

ensureInstalled()
console.log(`${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown processor'}, Node ${process.version}`)
const reference = baseline()
console.log(`baseline: ${reference.toFixed(1)} ms to sort a million pseudo-random doubles`)

const wanted = process.argv.slice(2)
const files = readdirSync(join(root, 'bench'))
  .filter((file) => file.endsWith('.bench.mjs'))
  .filter((file) => wanted.length === 0 || wanted.some((name) => file.includes(name)))
  .sort()
for (const file of files) {
  console.log(`\n${file.replace('.bench.mjs', '')}`)
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
