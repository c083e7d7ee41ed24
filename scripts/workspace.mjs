import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's root folder. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Every package under packages/, sorted: `{ folder, manifest }`, the folder relative to the root. */
export function workspacePackages() {
  return readdirSync(join(root, 'packages'))
    .sort()
    .map((name) => join('packages', name))
    .filter((folder) => existsSync(join(root, folder, 'package.json')))
    .map((folder) => ({ folder, manifest: JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) }))
}

/** The packages that go to the registry. */
export function publishablePackages() {
  return workspacePackages().filter(({ manifest }) => !manifest.private)
}

/** Every entry point that a manifest exports, at its source: whoever uses it needs no build. */
export function sourceEntries() {
  return workspacePackages().flatMap(({ folder, manifest: { name, exports = {} } }) =>
    Object.entries(exports).map(([subpath, { default: file }]) => ({
      specifier: `${name}${subpath.slice(1)}`,
      file: join(root, folder, file.replace('./dist/', 'src/').replace(/\.js$/, '.ts')),
    })),
  )
}

/** Runs a JavaScript tool of node_modules with this Node (no shell, no npx) and returns its exit code. */
export function runTool(tool, args, options = {}) {
  const result = spawnSync(process.execPath, [join(root, 'node_modules', tool), ...args], {
    cwd: root,
    stdio: 'inherit',
    ...options,
    env: { ...process.env, TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1', ...options.env },
  })
  if (result.error) throw result.error
  return result.status ?? 1
}

/** Packs everything that we publish into a folder; returns the tarballs by the names of the packages. */
export function packAll(folder) {
  const workspaces = publishablePackages().map(({ manifest }) => `--workspace=${manifest.name}`)
  const args = ['pack', '--json', '--loglevel=error', '--pack-destination', folder, ...workspaces]
  // Set when npm runs the script; npm's own file keeps us on the npm that the user called.
  const own = process.env.npm_execpath
  const { status, stdout, error } = spawnSync(own ? process.execPath : 'npm', own ? [own, ...args] : args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    shell: !own && process.platform === 'win32',
  })
  if (error) throw error
  if (status !== 0) process.exit(status ?? 1)
  const packed = Object.values(JSON.parse(stdout))
  return Object.fromEntries(packed.map(({ name, filename }) => [name, join(folder, filename)]))
}
