/** `npm start`: the plan's summary of a model that the project ships, and its diagrams under out/. */
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { ensureInstalled } from './ensure-installed.mjs'
import { root } from './workspace.mjs'

const exports = [
  ['json', 'out/plan.json'],
  ['dot', 'out/plan.dot'],
  ['mermaid', 'out/plan.mmd'],
  // Operators of training with all that backward and the optimizer need of each other are wider than a screen.
  ['svg', 'out/plan.svg', '--level', 'module'],
]

ensureInstalled()
mkdirSync(join(root, 'out'), { recursive: true })
const [spec = 'examples/llama-3.1-8b.yaml', ...options] = process.argv.slice(2)
shardloom('plan', spec, ...options)
for (const [format, path, ...level] of exports) {
  shardloom('export', spec, '--format', format, '--out', path, ...level, ...options)
}
console.log(`\nWrote ${exports.map(([, path]) => path).join(', ')}`)

function shardloom(...args) {
  const command = [join('packages', 'cli', 'dist', 'main.js'), ...args]
  const { status, error } = spawnSync(process.execPath, command, { cwd: root, stdio: 'inherit' })
  if (error) throw error
  if (status !== 0) process.exit(status ?? 1)
}
