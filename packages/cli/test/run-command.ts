import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { onTestFinished } from 'vitest'
import { runCommandLine } from '../src/command-line.js'

/** The built command, as npm links it. */
export const command = resolve(import.meta.dirname, '../dist/main.js')

/** The repository's root: where commands run unless told otherwise. */
export const root = resolve(import.meta.dirname, '../../..')

/** What a run of the command printed and returned. */
export interface Run {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

interface Surroundings {
  readonly cwd?: string
  readonly input?: string
  readonly env?: NodeJS.ProcessEnv
}

const environment = { LC_ALL: 'C.UTF-8', TERM: 'xterm' }

/** Runs `shardloom` with streams of its own in this process, which spares the start of one. */
export async function shardloom(args: readonly string[], { cwd = root, input, env }: Surroundings = {}): Promise<Run> {
  const [stdout, stderr] = [new Collected(), new Collected()]
  const stdin = Readable.from(input === undefined ? [] : [Buffer.from(input)])
  const io = { stdin, stdout, stderr, env: { ...environment, ...env }, cwd: () => cwd }
  const code = await runCommandLine(args, io)
  return { code, out: stdout.text, err: stderr.text }
}

/** Runs the built `shardloom` as a process of its own. */
export function spawned(args: readonly string[], { cwd = root, input, env }: Surroundings = {}): Run {
  const { status, stdout, stderr } = spawnSync(process.execPath, [command, ...args], {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: undefined, FORCE_COLOR: undefined, ...environment, ...env },
    ...(input !== undefined && { input }),
  })
  return { code: status, out: stdout, err: stderr }
}

/** Everything that was written, as one text. */
class Collected extends Writable {
  readonly #chunks: Buffer[] = []

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.#chunks.push(chunk)
    done()
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString()
  }
}

/** A folder that is removed when the test ends; tests that run at the same time give what they are told that by. */
export function temporaryFolder(finished: typeof onTestFinished = onTestFinished): string {
  const folder = mkdtempSync(join(tmpdir(), 'shardloom-cli-'))
  finished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
