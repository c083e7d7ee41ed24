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
