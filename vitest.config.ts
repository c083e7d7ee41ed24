import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

const root = import.meta.dirname

/** Every entry point that a manifest exports, at its source: tests need no build of the packages that they import. */
function sourceAliases() {
  return readdirSync(join(root, 'packages')).flatMap((folder) => {
    const { name, exports = {} } = JSON.parse(readFileSync(join(root, 'packages', folder, 'package.json'), 'utf8'))
    return Object.entries<{ default: string }>(exports).map(([subpath, { default: file }]) => ({
      find: new RegExp(`^${name}${subpath.slice(1)}$`),
      replacement: join(root, 'packages', folder, file.replace('./dist/', 'src/').replace(/\.js$/, '.ts')),
    }))
  })
}

export default defineConfig({
  resolve: { alias: sourceAliases() },
  test: {
    include: ['packages/*/test/**/*.test.ts', 'test/**/*.test.ts'],
    // By default one processor is left idle.
    maxWorkers: availableParallelism(),
    // No test changes what another file imports: each worker reads the sources once.
    isolate: false,
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
})
