import { join } from 'node:path'
import { build } from 'esbuild'
import type { Plugin } from 'vite'

/** The workers, by the names under which the page asks for them; each is `src/worker/<name>.worker.ts`. */
const workers = ['plan', 'layout', 'export', 'search']

/**
 * Each worker as a classic script `workers/<name>.js` that hands the page the worker as a function, whose text it starts: the only way
 * to a worker that works from disk too, where a page may start none from a file.
 */
export function workerScripts(): Plugin {
  return {
    name: 'worker-scripts',
    async generateBundle() {
      for (const name of workers)
        this.emitFile({ type: 'asset', fileName: `workers/${name}.js`, source: await script(name) })
    },
    configureServer(server) {
      server.middlewares.use((request, response, next) => {
        const name = workers.find((each) => request.url === `/workers/${each}.js`)
        if (!name) return next()
        script(name).then((source) => response.setHeader('content-type', 'text/javascript').end(source), next)
      })
    },
  }
}

async function script(name: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(import.meta.dirname, `../src/worker/${name}.worker.ts`)],
    bundle: true,
    format: 'iife',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    legalComments: 'none',
    write: false,
    logLevel: 'silent',
  })
  return `(globalThis.shardloomWorkers??={})[${JSON.stringify(name)}]=function(){${outputFiles[0]?.text ?? ''}}`
}
