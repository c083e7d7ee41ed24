/**
 * Makes a fresh clone ready: installs when node_modules is missing or older than the lockfile, then builds every package
 * (turbo rebuilds only what changed). It runs before anything is installed, so it uses Node alone.
 */
import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { root, runTool } from './workspace.mjs'

const lockfile = join(root, 'package-lock.json')
/** npm's own record of what it installed. */
const installed = join(root, 'node_modules', '.package-lock.json')

function needsInstall() {
  return !existsSync(installed) || statSync(installed).mtimeMs < statSync(lockfile).mtimeMs
}

function installArguments() {
  // The lockfile names the native builds of turbo, biome, rollup and esbuild for Linux; elsewhere npm must choose its own.
  if (process.platform !== 'linux') return ['install', '--no-package-lock']
  return existsSync(installed) ? ['install'] : ['ci']
}

function npm(...words) {
  const args = [...words, '--loglevel=error']
  // Set when npm runs this script; npm's own file keeps us on the npm that the user called.
  const own = process.env.npm_execpath
  const result = own
    ? spawnSync(process.execPath, [own, ...args], { cwd: root, stdio: ['ignore', 2, 2] })
    : spawnSync('npm', args, { cwd: root, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' })
  if (result.error) throw result.error
  if (result.status !== 0) process.exit(result.status ?? 1)
}

function install() {
  const args = [...installArguments(), '--no-audit', '--no-fund']
  console.error(`Installing dependencies: npm ${args[0]}, which takes a minute or two`)
  npm(...args, '--progress')
  const now = new Date()
  utimesSync(installed, now, now)
}

/** Installs and builds what is missing; ends the process with the tool's exit code when either fails. */
export function ensureInstalled() {
  if (needsInstall()) install()
  if (!existsSync(join(root, 'packages', 'cli', 'dist', 'main.js')))
    console.error('Building the packages, which takes a minute or two on two cores the first time')
  const args = ['run', 'build', '--filter=./packages/*', '--output-logs=errors-only', '--ui=stream']
  const log = join(mkdtempSync(join(tmpdir(), 'shardloom-build-')), 'log')
  const file = openSync(log, 'w')
  const status = runTool('turbo/bin/turbo', args, { stdio: ['ignore', file, file] })
  closeSync(file)
  if (status !== 0) process.stderr.write(readFileSync(log))
  rmSync(dirname(log), { recursive: true })
  if (status !== 0) process.exit(status)
  // npm links a command only when its file is there, and on a fresh clone the build makes it after the installation.
  if (!existsSync(join(root, 'node_modules', '.bin', 'shardloom'))) npm('rebuild', '@shardloom/cli', '--ignore-scripts')
}

if (process.argv[1] === import.meta.filename) ensureInstalled()
