/**
 * Makes a fresh clone ready: installs when node_modules is missing or older than the lockfile, then builds every package
 * (turbo rebuilds only what changed). It runs before anything is installed, so it uses Node alone.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
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

function install() {
  const args = [...installArguments(), '--no-audit', '--no-fund', '--loglevel=error']
  console.error(`Installing dependencies: npm ${args[0]}`)
  // Set when npm runs this script; npm's own file keeps us on the npm that the user called.
  const npm = process.env.npm_execpath
  const result = npm
    ? spawnSync(process.execPath, [npm, ...args], { cwd: root, stdio: ['ignore', 2, 2] })
    : spawnSync('npm', args, { cwd: root, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' })
  if (result.error) throw result.error
  if (result.status !== 0) process.exit(result.status ?? 1)
  const now = new Date()
  utimesSync(installed, now, now)
}

/** Installs and builds what is missing; ends the process with the tool's exit code when either fails. */
export function ensureInstalled() {
  if (needsInstall()) install()
  const args = ['run', 'build', '--filter=./packages/*', '--output-logs=errors-only', '--ui=stream']
  const status = runTool('turbo/bin/turbo', args, { stdio: ['ignore', 2, 2] })
  if (status !== 0) process.exit(status)
}

if (process.argv[1] === import.meta.filename) ensureInstalled()
