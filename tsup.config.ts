import { readFileSync } from 'node:fs'
import { defineConfig } from 'tsup'

interface Manifest {
  exports?: Record<string, { default: string }>
  bin?: Record<string, string>
}

/** `./dist/dot.js` is built from `src/dot.ts`: the manifest is the only list of entry points. */
const source = (file: string) => file.replace('./', '').replace('dist/', 'src/').replace(/\.js$/, '.ts')

export default defineConfig(() => {
  const manifest: Manifest = JSON.parse(readFileSync('package.json', 'utf8'))
  const library = Object.values(manifest.exports ?? {}).map((entry) => source(entry.default))
  const commands = Object.values(manifest.bin ?? {}).map(source)
  return {
    entry: [...library, ...commands],
    // `npm run typecheck` checks all sources; here declarations are written alone, in half the time.
    dts: library.length > 0 && { entry: library, compilerOptions: { noCheck: true } },
    format: 'esm',
    target: commands.length > 0 ? 'node20' : 'es2022',
    platform: commands.length > 0 ? 'node' : 'neutral',
    clean: true,
    silent: true,
  }
})
