/**
 * `npm run pack:all -- <folder>`: installs and builds what is missing, then packs every package that we publish into the
 * folder, for projects outside of this clone. Prints the tarballs.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ensureInstalled } from './ensure-installed.mjs'
import { publishablePackages, root } from './workspace.mjs'

const [given, ...more] = process.argv.slice(2)
if (given === undefined || more.length > 0) {
  console.error('Name one folder for the tarballs, such as `npm run pack:all -- ../tarballs`.')
  process.exit(2)
}
// npm runs scripts in the root; what was typed is meant from where it was typed.
const folder = resolve(process.env.INIT_CWD ?? '.', given)
mkdirSync(folder, { recursive: true })
ensureInstalled()

const workspaces = publishablePackages().map(({ manifest }) => `--workspace=${manifest.name}`)
const args = ['pack', '--json', '--loglevel=error', '--pack-destination', folder, ...workspaces]
const own = process.env.npm_execpath
const { status, stdout, error } = spawnSync(own ? process.execPath : 'npm', own ? [own, ...args] : args, {
  cwd: root,
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'inherit'],
  shell: !own && process.platform === 'win32',
})
if (error) throw error
if (status !== 0) process.exit(status ?? 1)
for (const { filename } of Object.values(JSON.parse(stdout))) console.log(join(folder, filename))
