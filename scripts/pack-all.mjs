/**
 * `npm run pack:all -- <folder>`: installs and builds what is missing, then packs every package that we publish into the
 * folder, for projects outside of this clone. Prints the tarballs.
 */
import { mkdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { ensureInstalled } from './ensure-installed.mjs'
import { packAll } from './workspace.mjs'

const [given, ...more] = process.argv.slice(2)
if (given === undefined || more.length > 0) {
  console.error('Name one folder for the tarballs, such as `npm run pack:all -- ../tarballs`.')
  process.exit(2)
}
// npm runs scripts in the root; what was typed is meant from where it was typed.
const folder = resolve(process.env.INIT_CWD ?? '.', given)
mkdirSync(folder, { recursive: true })
ensureInstalled()

for (const tarball of Object.values(packAll(folder))) console.log(tarball)
