import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { type CallToolResult, Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { build } from 'esbuild'
import { sourceEntries } from '../../../scripts/workspace.mjs'

let built: Promise<string> | undefined

/** The command as it is published, from the sources as they are: threads need a file that Node can run. */
export function command(): Promise<string> {
  built ??= bundle()
  return built
}

async function bundle(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'shardloom-mcp-'))
  const outdir = join(folder, 'dist')
  const sources = new Map(sourceEntries().map(({ specifier, file }) => [specifier, file]))
  const own = dirname(import.meta.dirname)
  await build({
    entryPoints: [join(own, 'src', 'main.ts')],
    outdir,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true, // what is imported when it is needed stays apart, as in the packages
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'error',
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    plugins: [
      {
        name: 'workspace',
        setup: ({ onResolve }) =>
          onResolve({ filter: /^(@shardloom\/|shardloom)/ }, ({ path }) => {
            const file = sources.get(path)
            return file === undefined ? undefined : { path: file }
          }),
      },
    ],
  })
  copyFileSync(join(own, 'package.json'), join(folder, 'package.json'))
  return join(outdir, 'main.mjs')
}

/** A client over standard input and output, whose server ends with it. */
export async function connectStdio(...args: string[]): Promise<Client> {
  const client = new Client({ name: 'test', version: '1.0.0' })
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [await command(), ...args],
    stderr: 'ignore',
  })
  await client.connect(transport)
  return client
}

/** A server that listens, and its address. */
export interface Listening {
  readonly url: URL
  readonly process: ChildProcess
  close(): Promise<void>
}

/** Starts the command with `--http 0`. */
export async function listen(...args: string[]): Promise<Listening> {
  const child = spawn(process.execPath, [await command(), '--http', '0', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  for await (const line of createInterface({ input: child.stderr })) {
    const [address] = /http:\S+/.exec(line) ?? []
    if (address === undefined) continue
    child.stderr.resume()
    const ended = once(child, 'exit')
    return {
      url: new URL(address),
      process: child,
      async close() {
        child.kill()
        await ended
      },
    }
  }
  throw new Error('the server does not listen')
}

/** A client of a server that listens; `modern` is the revision of the protocol without sessions. */
export async function connectHttp(url: URL, era: 'sessions' | 'modern' = 'sessions'): Promise<Client> {
  const options = era === 'modern' ? { versionNegotiation: { mode: 'auto' as const } } : {}
  const client = new Client({ name: 'test', version: '1.0.0' }, options)
  await client.connect(new StreamableHTTPClientTransport(url))
  return client
}

// biome-ignore lint/suspicious/noExplicitAny: the fields of results are what tests are about.
type Fields = any

/** The structured result of a call that works, which its text repeats. */
export async function result(client: Client, name: string, input: object): Promise<Fields> {
  const answer = await client.callTool({ name, arguments: { ...input } })
  const text = textOf(answer)
  if (answer.isError) throw new Error(text)
  if (JSON.stringify(answer.structuredContent) !== text) throw new Error('the text is not the structured result')
  return answer.structuredContent
}

/** The error of a call that does not. */
export async function failure(client: Client, name: string, input: object): Promise<Fields> {
  const answer = await client.callTool({ name, arguments: { ...input } })
  if (!answer.isError) throw new Error(`it worked: ${textOf(answer).slice(0, 200)}`)
  return JSON.parse(textOf(answer)).error
}

function textOf({ content }: CallToolResult): string {
  const [first] = content
  return first?.type === 'text' ? first.text : ''
}
