import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { onTestFinished } from 'vitest'

const command = resolve(import.meta.dirname, '../dist/main.js')

/** The repository's root: where commands run unless told otherwise. */
export const root = resolve(import.meta.dirname, '../../..')

/** What a run of the command printed and returned. */
export interface Run {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** Runs the built `shardloom` command. */
export function shardloom(
  args: readonly string[],
  options: { cwd?: string; input?: string; env?: NodeJS.ProcessEnv } = {},
): Run {
  const { status, stdout, stderr } = spawnSync(process.execPath, [command, ...args], {
    cwd: options.cwd ?? root,
    encoding: 'utf8',
    env: {
      ...process.env,
      LC_ALL: 'C.UTF-8',
      NO_COLOR: undefined,
      FORCE_COLOR: undefined,
      TERM: 'xterm',
      ...options.env,
    },
    maxBuffer: 2 ** 28,
    ...(options.input !== undefined && { input: options.input }),
  })
  return { code: status, out: stdout, err: stderr }
}

/** A folder that is removed when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'shardloom-cli-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
