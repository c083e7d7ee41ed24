/** `npm run size`: how big core is, against its budget. Raising a budget takes a line in DESIGN.md. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import ts from 'typescript'
import { root } from './workspace.mjs'

const budget = { lines: 2_000, bytes: 15_000 }

const source = join(root, 'packages', 'core', 'src')
const files = readdirSync(source, { recursive: true })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => ({ file, lines: codeLines(readFileSync(join(source, file), 'utf8')) }))
  .sort((a, b) => b.lines - a.lines)
const lines = files.reduce((sum, file) => sum + file.lines, 0)
const { outputFiles } = await build({
  entryPoints: [join(source, 'index.ts')],
  bundle: true,
  minify: true,
  write: false,
  format: 'esm',
  target: 'es2022',
})
const bytes = gzipSync(outputFiles[0].contents, { level: 9 }).length

report('code lines of packages/core/src', lines, budget.lines)
if (lines > budget.lines) for (const { file, lines } of files) console.log(`     ${String(lines).padStart(5)} ${file}`)
report('bytes of @shardloom/core, minified and gzipped', bytes, budget.bytes)

function report(what, value, limit) {
  const ok = value <= limit
  console.log(`${ok ? 'ok  ' : 'OVER'} ${value} of at most ${limit} ${what}`)
  if (!ok) process.exitCode = 1
}

/** Lines that hold at least one token: blank lines and comments do not count. */
function codeLines(text) {
  const file = ts.createSourceFile('file.ts', text, ts.ScriptTarget.Latest, true)
  const occupied = new Set()
  const visit = (node) => {
    if (ts.isJSDoc(node) || node.kind === ts.SyntaxKind.EndOfFileToken) return
    const children = node.getChildren(file)
    if (children.length > 0) return children.forEach(visit)
    if (node.getWidth(file) === 0) return
    const first = file.getLineAndCharacterOfPosition(node.getStart(file)).line
    const last = file.getLineAndCharacterOfPosition(node.getEnd()).line
    for (let line = first; line <= last; line++) occupied.add(line)
  }
  visit(file)
  return occupied.size
}
