/** `npm run size`: how big core is, against its budget. Raising a budget takes a line in DESIGN.md. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import ts from 'typescript'
import { root } from './workspace.mjs'

const budget = { lines: 2_880, bytes: 20_800 }

const source = join(root, 'packages', 'core', 'src')
const { exports } = JSON.parse(readFileSync(join(root, 'packages', 'core', 'package.json'), 'utf8'))
const [main, ...further] = await Promise.all(
  Object.entries(exports).map(([name, { default: file }]) => entry(name, file)),
)
report('code lines behind @shardloom/core', main.lines, budget.lines)
report('bytes of @shardloom/core, minified and gzipped', main.bytes, budget.bytes)
for (const { name, lines, bytes } of further) {
  console.log(`     ${name}, loaded when asked for: ${lines} further code lines, ${bytes} further bytes`)
}
if (main.lines > budget.lines)
  for (const { file, lines } of main.files) console.log(`     ${String(lines).padStart(5)} ${file}`)

/** What one entry point loads; a further one is counted beyond the main one. */
async function entry(name, file) {
  const start = join(source, file.replace('./dist/', '').replace(/\.js$/, '.ts'))
  const files = await loaded([start])
  const rest = name === '.' ? files : difference(files, await loaded([join(source, 'index.ts')]))
  const bytes = await gzipped(name === '.' ? [start] : [join(source, 'index.ts'), start])
  return {
    name,
    files: rest.sort((a, b) => b.lines - a.lines),
    lines: rest.reduce((sum, each) => sum + each.lines, 0),
    bytes: name === '.' ? bytes : bytes - (await gzipped([join(source, 'index.ts')])),
  }
}

function difference(files, others) {
  return files.filter(({ file }) => !others.some((other) => other.file === file))
}

/** The files that TypeScript reads for these, types included. */
async function loaded(starts) {
  const program = ts.createProgram(starts, {
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
  })
  return program
    .getSourceFiles()
    .filter(({ fileName }) => fileName.startsWith(source) && !typesOnly(fileName, starts))
    .map(({ fileName, text }) => ({ file: fileName.slice(source.length + 1), lines: codeLines(text) }))
}

/** The main entry names types of the verifier without loading it. */
function typesOnly(file, starts) {
  return /\/(verify(-\w+)?|finding)\.ts$/.test(file) && !starts.some((start) => start.endsWith('/verify.ts'))
}

async function gzipped(starts) {
  const contents = starts.map((start) => `export * from ${JSON.stringify(start)}`).join('\n')
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: source },
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    target: 'es2022',
  })
  return gzipSync(outputFiles[0].contents, { level: 9 }).length
}

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
