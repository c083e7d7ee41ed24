/**
 * Adds to package-lock.json the native builds for other platforms that npm left out. npm asks the registry for each of
 * them; where a mirror holds the builds of one platform alone, it drops the others without a word, and `npm ci` then
 * refuses the lockfile everywhere. Run this after a change of dependencies; a test says when it is needed.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './workspace.mjs'

const path = join(root, 'package-lock.json')

/** The optional dependencies without an entry: `{ parent, name, version }`, the parent a key of the lockfile. */
export function missingOptional(packages) {
  return Object.entries(packages).flatMap(([parent, { optionalDependencies = {} }]) =>
    Object.entries(optionalDependencies)
      .filter(([name]) => !resolvable(packages, parent, name))
      .map(([name, version]) => ({ parent, name, version })),
  )
}

/** Whether Node's lookup, from the parent's folder upwards, meets an entry. */
function resolvable(packages, parent, name) {
  for (let folder = parent; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('node_modules/') - 1))) {
    if (packages[`${folder}${folder === '' ? '' : '/'}node_modules/${name}`]) return true
    if (folder === '') return false
  }
}

/** What npm would read from the manifest of a native build: these packages are named after their platform. */
function platform(name) {
  const words = name.split(/[/-]/)
  const os = words.find((word) => /^(android|darwin|freebsd|linux|openbsd|openharmony|win32|windows)$/.test(word))
  const cpu = words.find((word) => /^(64|x64|ia32|arm|arm64|loong64|ppc64|riscv64|s390x)$/.test(word))
  const libc = words.find((word) => /^(musl|musleabihf|gnu|gnueabihf)$/.test(word))
  if (!os || !cpu) throw new Error(`cannot tell the platform of ${name} from its name`)
  return {
    cpu: [cpu === '64' ? 'x64' : cpu],
    libc: os === 'linux' && libc ? [libc.startsWith('musl') ? 'musl' : 'glibc'] : undefined,
    os: [os === 'windows' ? 'win32' : os],
  }
}

function complete() {
  const lockfile = JSON.parse(readFileSync(path, 'utf8'))
  const missing = missingOptional(lockfile.packages)
  for (const { parent, name, version } of missing) {
    const beside = parent.slice(0, parent.lastIndexOf('node_modules/') + 'node_modules/'.length)
    const { cpu, libc, os } = platform(name)
    const dev = lockfile.packages[parent].dev && { dev: true }
    lockfile.packages[beside + name] = { version, cpu, ...dev, ...(libc && { libc }), optional: true, os }
  }
  const { '': top, ...others } = lockfile.packages
  const sorted = Object.keys(others).sort((a, b) => a.localeCompare(b, 'en'))
  lockfile.packages = { '': top, ...Object.fromEntries(sorted.map((key) => [key, others[key]])) }
  writeFileSync(path, `${JSON.stringify(lockfile, null, 2)}\n`)
  console.log(`added ${missing.length} entries`)
}

if (process.argv[1] === import.meta.filename) complete()
