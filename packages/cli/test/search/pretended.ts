import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { finish } from 'shardloom'
import { type Answer, mergeAnswers, type Question } from 'shardloom/search'
import { onTestFinished } from 'vitest'
import type { Io } from '../../src/io.js'
import type { Answerer } from '../../src/search/answerer.js'
import type { Outcome } from '../../src/search/outcome.js'
import { root } from '../run-command.js'
import { loadQuestion } from './fake-answerer.js'
import type { FakeSearch } from './fake-search.js'

/** The pretended answerer and search as JavaScript, which threads and processes can run. */
export interface Built {
  readonly answerer: Answerer
  readonly search: string
  remove(): void
}

/** Packages that are not bundled: they find their own files, are optional, or change nothing here. */
const external = ['tinypool', 'bullmq', 'ioredis', 'commander', 'picocolors', 'zod', 'yaml', 'shell-quote', 'smol-toml']

/** @param without packages that are as if they were not installed */
export async function buildPretended(...without: readonly string[]): Promise<Built> {
  const folder = mkdtempSync(join(tmpdir(), 'shardloom-search-'))
  mkdirSync(join(folder, 'node_modules'))
  for (const name of external)
    if (!without.includes(name)) symlinkSync(installed(name), join(folder, 'node_modules', name))
  symlinkSync(join(root, 'packages/cli/package.json'), join(folder, 'package.json')) // says the version
  const dist = join(folder, 'dist')
  await build({
    entryPoints: ['fake-answerer', 'fake-search'].map((name) => join(import.meta.dirname, `${name}.ts`)),
    outdir: dist,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    tsconfig: join(root, 'tsconfig.json'),
    external,
    outExtension: { '.js': '.mjs' },
    logLevel: 'error',
  })
  const file = (name: string) => join(dist, `${name}.mjs`)
  return {
    answerer: { loadQuestion, module: pathToFileURL(file('fake-answerer')) },
    search: file('fake-search'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/** Where npm has put a package of the command: beside it where another version stands at the root. */
function installed(name: string): string {
  const own = join(root, 'packages/cli/node_modules', name)
  return existsSync(own) ? own : join(root, 'node_modules', name)
}

/** Streams of a command that nobody looks at. */
export const quiet: Io = {
  stdin: Readable.from([]),
  stdout: new Writable({ write: (_, __, done) => done() }),
  stderr: new Writable({ write: (_, __, done) => done() }),
  env: {},
  cwd: () => root,
}

/** The answer without any of what is tested: every part in turn, merged at once. */
export async function expected({ parts, ...question }: Question): Promise<Answer> {
  const { folder, ...choices } = question.choices
  const { part: answer } = await loadQuestion({ ...question, parts, choices })
  return mergeAnswers(
    Array.from({ length: parts }, (_, part) => finish(answer(part))),
    question,
  )
}

interface StartOptions {
  /** Options of Node. */
  readonly options?: readonly string[]
  /** What tells that the test has ended, for tests that run at the same time. */
  readonly finished?: typeof onTestFinished
}

/** Starts the pretended search as a process, which is killed when the test ends. */
export function start(
  { search }: Built,
  told: FakeSearch,
  { options = [], finished = onTestFinished }: StartOptions = {},
): ChildProcess {
  const child = spawn(process.execPath, [...options, search, JSON.stringify(told)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  finished(() => {
    child.kill('SIGKILL')
  })
  return child
}

/** What a process printed when it has ended. */
export async function ended(child: ChildProcess): Promise<{ code: number | null; out: string; err: string }> {
  const texts = { out: '', err: '' }
  child.stdout?.on('data', (chunk) => {
    texts.out += chunk
  })
  child.stderr?.on('data', (chunk) => {
    texts.err += chunk
  })
  const [code] = await once(child, 'close')
  return { code, ...texts }
}

/** The outcome that a process printed, without the answers of the parts. */
export const printed = (out: string): Omit<Outcome, 'answers'> => JSON.parse(out)

/** How often each part ran, from what parts wrote in a folder. */
export function runsOf(folder: string): Record<number, number> {
  const runs: Record<number, number> = {}
  for (const line of readFileSync(join(folder, 'ran'), 'utf8').split('\n').filter(Boolean))
    runs[Number(line)] = (runs[Number(line)] ?? 0) + 1
  return runs
}

/** Waits until something is so. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 20))
}

/** Whether a Redis server is installed; tests that need it skip where it is not. */
export const hasRedis: boolean = spawnSync('redis-server', ['--version'], { stdio: 'ignore' }).status === 0

export interface RedisServer {
  readonly url: string
  stop(): Promise<void>
}

/** A Redis server that keeps nothing on disk. */
export async function startRedis(...options: readonly string[]): Promise<RedisServer> {
  const port = await freePort()
  const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', ...options]
  const child = spawn('redis-server', args, { cwd: tmpdir(), stdio: ['ignore', 'pipe', 'ignore'] })
  for await (const chunk of child.stdout) if (String(chunk).includes('Ready to accept')) break
  return {
    url: `redis://127.0.0.1:${port}`,
    async stop() {
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    },
  }
}

/** A port that nothing listens at. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address ? address.port : 0
}
