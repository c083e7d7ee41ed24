import type { KnipConfig } from 'knip'
import { workspacePackages } from './scripts/workspace.mjs'

/** The entry points of each package, at their source: the manifests are the only list of them. */
const packages = workspacePackages().map(({ folder, manifest }) => {
  const built = [
    ...Object.values<{ default: string }>(manifest.exports ?? {}).map((entry) => entry.default),
    ...Object.values<string>(manifest.bin ?? {}),
  ]
  return [
    folder,
    {
      entry: [...built.map((file) => file.replace('./dist/', 'src/').replace(/\.js$/, '.ts')), 'test/**/*.test.ts'],
      project: ['src/**/*.ts', 'test/**/*.ts', '!test/fixtures/**'],
      // A test may use any package; test/house.test.ts checks what the sources use.
      ignoreDependencies: ['shardloom', /^@shardloom\//],
    },
  ]
})

export default {
  // A symbol may be exported for readers of the file; what nobody uses at all is still reported.
  ignoreExportsUsedInFile: true,
  // Graphviz and Redis are the system's, and the tests that need them skip without; mkfifo every system's but Windows'; the fixture runs the packed command.
  ignoreBinaries: ['dot', 'mkfifo', 'redis-server', 'shardloom'],
  workspaces: {
    '.': {
      entry: [
        'scripts/*.mjs',
        'accuracy/main.ts',
        'bench/*.bench.mjs',
        'test/*.test.ts',
        'test/fixtures/**/*.{js,mjs}',
      ],
    },
    ...Object.fromEntries(packages),
    // The site has the built studio as files.
    'apps/docs': { entry: ['scripts/*.mjs'], ignoreDependencies: ['@shardloom/studio'] },
    'apps/studio': {
      entry: ['index.html', 'src/worker/*.worker.ts', 'vite.config.ts', 'test/*.test.ts', 'test/{page.tsx,frames.ts}'],
    },
  },
} satisfies KnipConfig
