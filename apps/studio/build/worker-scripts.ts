import { join } from 'node:path'
import { type BuildOptions, build } from 'esbuild'
import type { Plugin } from 'vite'

/** The workers, by the names under which the page asks for them; each is `src/worker/<name>.worker.ts`. */
const workers = ['plan', 'layout', 'export', 'search']

/** What the page asks for only when it is shown, by the global that holds its exports; each is `src/<path>.ts`, built as `<name>.js`. */
const parts = [{ name: 'lessons', path: 'learn/lessons', globalName: 'shardloomLessons' }]

/**
 * Each worker as a classic script `workers/<name>.js` that hands the page the worker as a function, whose text it starts: the only way
 * to a worker that works from disk too, where a page may start none from a file. Parts of the page that can wait are classic scripts
 * as well, since a page from disk may import none.
 */
export function workerScripts(): Plugin {
  return {
    name: 'worker-scripts',
    async generateBundle() {
      for (const [fileName, make] of scripts) this.emitFile({ type: 'asset', fileName, source: await make() })
    },
    configureServer(server) {
      server.middlewares.use((request, response, next) => {
        const make = scripts.get(request.url?.slice(1) ?? '')
        if (!make) return next()
        make().then((source) => response.setHeader('content-type', 'text/javascript').end(source), next)
      })
    },
  }
}

/** What makes each script, by its file. */
const scripts = new Map<string, () => Promise<string>>([
  ...workers.map((name) => [`workers/${name}.js`, () => workerScript(name)] as const),
  ...parts.map(({ name, path, globalName }) => [`${name}.js`, () => bundle(`${path}.ts`, { globalName })] as const),
])

async function workerScript(name: string): Promise<string> {
  const text = await bundle(`worker/${name}.worker.ts`)
  return `(globalThis.shardloomWorkers??={})[${JSON.stringify(name)}]=function(){${text}}`
}

async function bundle(path: string, options: BuildOptions = {}): Promise<string> {
  const { outputFiles } = await build({
    ...options,
    entryPoints: [join(import.meta.dirname, '../src', path)],
    bundle: true,
    format: 'iife',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    legalComments: 'none',
    write: false,
    logLevel: 'silent',
  })
  return outputFiles?.[0]?.text ?? ''
}
