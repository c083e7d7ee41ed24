/**
 * `npm run accuracy -- [--rows file.json|csv] [--only training|serving|inference] [--leave-out] [--json] [--out file]`: bundles
 * accuracy/main.ts with the sources of all packages and runs it.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { root, sourceEntries } from './workspace.mjs'

const folder = mkdtempSync(join(tmpdir(), 'shardloom-accuracy-'))
const outfile = join(folder, 'main.mjs')
const entries = new Map(sourceEntries().map(({ specifier, file }) => [specifier, file]))
await build({
  entryPoints: [join(root, 'accuracy', 'main.ts')],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)" },
  plugins: [
    {
      name: 'sources',
      setup: ({ onResolve }) =>
        onResolve({ filter: /^(@shardloom\/|shardloom)/ }, ({ path }) => {
          const file = entries.get(path)
          return file === undefined ? undefined : { path: file }
        }),
    },
  ],
})
try {
  await import(pathToFileURL(outfile).href)
} finally {
  rmSync(folder, { recursive: true })
}
