import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { sourceEntries } from './scripts/workspace.mjs'

/** Every entry point that a manifest exports, at its source: tests need no build of the packages that they import. */
const sourceAliases = sourceEntries().map(({ specifier, file }) => ({
  find: new RegExp(`^${specifier}$`),
  replacement: file,
}))

export default defineConfig({
  resolve: { alias: sourceAliases },
  test: {
    include: ['packages/*/test/**/*.test.ts', 'apps/*/test/**/*.test.ts', 'test/**/*.test.ts'],
    // By default one processor is left idle.
    maxWorkers: availableParallelism(),
    // No test changes what another file imports: each worker reads the sources once.
    isolate: false,
    // Running plans makes many short-lived arrays: with room for them, a tenth less of the time goes into collecting garbage.
    execArgv: ['--max-semi-space-size=64'],
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
})
