import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { sourceEntries } from './scripts/workspace.mjs'

/** Every entry point that a manifest exports, at its source: tests need no build of the packages that they import. */
const sourceAliases = sourceEntries().map(({ specifier, file }) => ({
  find: new RegExp(`^${specifier}$`),
  replacement: file,
}))

/** What takes longest is in these folders: it comes first, so that none of it runs on alone when all else has ended. */
const long = ['/test/studio/', '/test/search/', '/test/proof/']

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const isLong = ({ moduleId }: TestSpecification) => long.some((folder) => moduleId.includes(folder))
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))]
  }
}

export default defineConfig({
  resolve: { alias: sourceAliases },
  test: {
    include: ['packages/*/test/**/*.test.ts', 'apps/*/test/**/*.test.ts', 'test/**/*.test.ts'],
    // By default one processor is left idle; and some tests wait: for pages, for other processes, for locks that expire.
    maxWorkers: availableParallelism() + 1,
    sequence: { sequencer: LongestFirst },
    setupFiles: ['test/fixed-seed.ts'],
    // No test changes what another file imports: each worker reads the sources once.
    isolate: false,
    // Running plans makes many short-lived arrays: with room for them, a tenth less of the time goes into collecting garbage.
    execArgv: ['--max-semi-space-size=64'],
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
})
