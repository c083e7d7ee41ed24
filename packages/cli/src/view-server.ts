import { readdir, readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname } from 'node:path'
import { ShardloomError } from 'shardloom'

/** Where the built studio lies, seen from the sources of this package and from what it is built into. */
const folder = new URL('../dist/studio/', import.meta.url)

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** A studio that is served. */
export interface StudioServer {
  readonly origin: string
  readonly close: () => Promise<void>
}

/**
 * Serves the files of the studio on the loopback address alone; port 0 is any free one. Names of hosts other than this machine's are
 * refused, so that no other page reaches it by one. Throws `STUDIO` where it is not built, and `PORT`.
 */
export async function serveStudio(asked: number): Promise<StudioServer> {
  const files = await filesOfStudio()
  const server = createServer((request, response) => {
    const { port } = server.address() as AddressInfo // it listens on a port
    const answer = (status: number, text: string) =>
      response.writeHead(status, { 'content-type': 'text/plain' }).end(text)
    if (![`127.0.0.1:${port}`, `localhost:${port}`].includes(request.headers.host ?? ''))
      return answer(403, 'Forbidden.')
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(405, 'Only reading is possible.')
    const [path = '/'] = (request.url ?? '/').split('?')
    const name = path === '/' ? 'index.html' : path.slice(1)
    if (!files.has(name)) return answer(404, 'There is no such file.')
    readFile(new URL(name, folder)).then(
      (bytes) =>
        response
          .writeHead(200, {
            'content-type': types[extname(name)] ?? 'application/octet-stream',
            'cache-control': 'no-cache',
            'x-content-type-options': 'nosniff',
          })
          .end(request.method === 'HEAD' ? undefined : bytes),
      () => answer(500, 'The file cannot be read.'),
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const message = `Cannot listen on port ${asked} of 127.0.0.1: ${cause.message}.`
      reject(
        new ShardloomError('PORT', message, { subject: '--port', help: 'Leave --port out for any free one.', cause }),
      )
    })
    server.listen(asked, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo // it listens on a port
  return {
    origin: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** The files that are served, by their paths in the studio's folder. */
async function filesOfStudio(): Promise<ReadonlySet<string>> {
  try {
    const entries = await readdir(folder, { recursive: true })
    return new Set(entries.map((entry) => entry.replaceAll('\\', '/')).filter((entry) => extname(entry) !== ''))
  } catch (cause) {
    throw new ShardloomError('STUDIO', 'The studio is not built into this installation.', {
      help: 'Run `npm run build` in the repository, or install the published package.',
      cause,
    })
  }
}
