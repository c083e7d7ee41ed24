/**
 * `npm run check:pack`: packs everything that we publish, installs the tarballs together in an empty folder outside the
 * repository and runs there every example of the READMEs and of the documentation site. CONTRIBUTING.md says how an
 * example is marked.
 */
import { execFile, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve, sep } from 'node:path'
import { transform } from 'esbuild'
import ts from 'typescript'
import { outputDifference, readExamples } from './examples.mjs'
import { packAll, publishablePackages, root } from './workspace.mjs'

const packages = publishablePackages()
const folder = mkdtempSync(join(tmpdir(), 'shardloom-pack-'))
try {
  const tarballs = installTarballs()
  standInForNpx()
  checkOutsideStrategy()
  checkNewStrategy(tarballs)
  await runAll()
} finally {
  rmSync(folder, { recursive: true, force: true })
}

function installTarballs() {
  const tarballs = Object.values(packAll(folder))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
  // What the strategy of the guide is tested and built with, which stands below this folder.
  const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const tools = ['typescript', 'vitest'].map((name) => `${name}@${devDependencies[name]}`)
  install(folder, ...tarballs, ...tools)
  console.log(`installed ${tarballs.length} tarballs: ${packages.map(({ manifest }) => manifest.name).join(', ')}`)
  return tarballs
}

/**
 * Examples say `npx shardloom`, as users do. Starting npm takes longer than most of them, so here a command of that name does what npx does
 * with a package that is installed: it runs what the nearest node_modules links. Once npx itself does.
 */
function standInForNpx() {
  const version = problemOf(() => npm(folder, 'exec', 'shardloom', '--', '--version'))
  report('npx finds the command', version)
  mkdirSync(join(folder, 'bin'))
  writeFileSync(
    join(folder, 'bin', 'npx'),
    [
      '#!/bin/sh',
      'place=$PWD',
      'until [ -x "$place/node_modules/.bin/$1" ] || [ "$place" = / ]; do place=$(dirname "$place"); done',
      'name=$1',
      'shift',
      'exec "$place/node_modules/.bin/$name" "$@"',
      '',
    ].join('\n'),
    { mode: 0o755 },
  )
}

/** A strategy written outside the workspace, installed beside the tarballs and used through published entry points alone. */
function checkOutsideStrategy() {
  const fixture = join(root, 'test', 'fixtures', 'outside-strategy')
  const [{ filename }] = Object.values(JSON.parse(npm(fixture, 'pack', '--json', '--pack-destination', folder)))
  install(folder, `./${filename}`)
  writeFileSync(join(folder, 'check.mjs'), readFileSync(join(fixture, 'check.mjs')))
  const result = spawnSync(process.execPath, ['check.mjs'], { cwd: folder, encoding: 'utf8', env: npmEnvironment() })
  report('a strategy from outside', result.status === 0 ? undefined : result.stdout + result.stderr)
}

/**
 * A strategy fresh from the generator, installed as its own manifest asks, with our tarballs for our packages: its tests pass.
 * The guide builds and proves it.
 */
function checkNewStrategy(tarballs) {
  const place = join(folder, 'new', 'vocab-parallel')
  mkdirSync(dirname(place))
  npm(folder, 'create', '@shardloom/strategy', 'new/vocab-parallel', '--', '--axis', 'vp')
  install(place, '--save-dev', ...tarballs)
  report(
    'the tests of a new strategy',
    problemOf(() => npm(place, 'test')),
  )
}

/**
 * The pages side by side, as many as there are processors, those with most examples first, so that none runs on alone; the examples of a
 * page one after the other.
 */
async function runAll() {
  const order = documents().map((document) => {
    return { document, ...readExamples(readFileSync(join(root, document), 'utf8')) }
  })
  const waiting = [...order].sort((a, b) => b.examples.length - a.examples.length)
  const outcomes = new Map()
  const work = async () => {
    for (let page = waiting.shift(); page !== undefined; page = waiting.shift())
      outcomes.set(page, await runDocument(page))
  }
  await Promise.all(Array.from({ length: availableParallelism() }, work))
  const all = order.map((page) => outcomes.get(page))
  for (const [what, problem] of all.flatMap(({ results }) => results)) report(what, problem)
  const typed = all.flatMap((each) => each.typed)
  if (typed.length > 0) report('types of the ts examples', typeErrors(typed))
  console.log(`${all.reduce((sum, { results }) => sum + results.length, 0)} examples run`)
}

/** What came of each example of a page, and the files to type-check. */
async function runDocument({ document, files, examples }) {
  const typed = []
  const results = []
  const place = join(folder, 'examples', document)
  mkdirSync(place, { recursive: true })
  const blocks = [...files, ...examples].sort((a, b) => a.line - b.line)
  for (const block of blocks) {
    const target = resolve(place, block.path ?? block.folder)
    if (target !== place && !target.startsWith(place + sep))
      throw new Error(`${document}:${block.line}: ${target} is outside the example's folder`)
    if (block.path) {
      mkdirSync(dirname(target), { recursive: true })
      writeFileSync(target, block.text)
      continue
    }
    if (block.language === 'ts') typed.push(join(target, `example-${block.line}.ts`))
    results.push([`${document}:${block.line}`, await runExample(target, block)])
  }
  return { typed, results }
}

/** The root README, every package's README and the pages of the documentation site. */
function documents() {
  const pages = existsSync(join(root, 'apps', 'docs')) ? markdownBelow(join('apps', 'docs')) : []
  const readmes = packages.map(({ folder }) => join(folder, 'README.md'))
  return ['README.md', ...readmes, ...pages].filter((file) => existsSync(join(root, file)))
}

function markdownBelow(start) {
  return readdirSync(join(root, start), { withFileTypes: true })
    .filter(({ name }) => !name.startsWith('.') && !['node_modules', 'dist', 'generated'].includes(name))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(start, entry.name)
      return entry.isDirectory() ? markdownBelow(path) : entry.name.endsWith('.md') ? [path] : []
    })
}

/** Why the example fails, or undefined. */
async function runExample(place, { language, line, text, exitCode, output }) {
  const { command, args } = await prepare(place, `example-${line}`, language, text)
  const result = await run(command, args, {
    cwd: place,
    encoding: 'utf8',
    timeout: 120_000,
    maxBuffer: 1 << 28,
    env: {
      ...npmEnvironment(),
      PATH: [join(folder, 'bin'), join(folder, 'node_modules', '.bin'), process.env.PATH].join(delimiter),
      NO_COLOR: '1',
      FORCE_COLOR: undefined,
      COLUMNS: '80',
      npm_config_loglevel: 'error',
    },
  })
  const { status, printed } = result
  if (typeof status !== 'number') return String(status)
  if (status !== exitCode) return `exit code ${status} instead of ${exitCode}\n${printed}`
  return output === undefined ? undefined : outputDifference(output, printed)
}

/** What a program printed and its exit code, or why it has none. */
function run(command, args, options) {
  return new Promise((settle) => {
    const child = execFile(command, args, options, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === 'number' ? error.code : error
      settle({ status, printed: stdout + stderr })
    })
    child.stdin.end()
  })
}

async function prepare(place, name, language, text) {
  if (language === 'sh') return { command: 'sh', args: ['-euc', text] }
  const script = join(place, `${name}.mjs`)
  if (language === 'ts') writeFileSync(join(place, `${name}.ts`), text)
  const code =
    language === 'ts' ? (await transform(text, { loader: 'ts', format: 'esm', target: 'node20' })).code : text
  writeFileSync(script, code)
  return { command: process.execPath, args: [script] }
}

/** Type-checks against the installed declarations, as a user's strict project on Node would. */
function typeErrors(files) {
  const program = ts.createProgram(files, {
    noEmit: true,
    strict: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: ['node'],
    typeRoots: [join(root, 'node_modules', '@types')],
  })
  const diagnostics = ts.getPreEmitDiagnostics(program)
  const host = { getCanonicalFileName: (file) => file, getCurrentDirectory: () => folder, getNewLine: () => '\n' }
  return diagnostics.length === 0 ? undefined : ts.formatDiagnostics(diagnostics, host)
}

function report(what, problem) {
  console.log(`${problem === undefined ? 'ok  ' : 'FAIL'} ${what}`)
  if (problem === undefined) return
  console.log(problem.trimEnd().replace(/^/gm, '     '))
  process.exitCode = 1
}

function problemOf(action) {
  try {
    action()
    return undefined
  } catch (error) {
    return error.message
  }
}

function install(cwd, ...what) {
  npm(cwd, 'install', '--no-audit', '--no-fund', '--loglevel=error', '--prefer-offline', ...what)
}

function npm(cwd, ...args) {
  const path = process.env.npm_execpath
  const [command, rest] = path ? [process.execPath, [path, ...args]] : ['npm', args]
  const result = spawnSync(command, rest, {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    env: npmEnvironment(),
  })
  if (result.error) throw result.error
  if (result.status !== 0) throw new Error(`npm ${args[0]} failed:\n${result.stdout}`)
  return result.stdout
}

/** Inside `npm run`, npm would take this repository for the one to install into. */
function npmEnvironment() {
  const ours = ['npm_config_local_prefix', 'npm_config_workspace', 'npm_config_workspaces', 'npm_package_json']
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.includes(name.toLowerCase())))
}
