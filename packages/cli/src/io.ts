import { isAbsolute, join } from 'node:path'
import type { Writable } from 'node:stream'

/** Where output goes; at a terminal it is coloured and broken into lines that fit. */
export type Output = Writable & { readonly isTTY?: boolean; readonly columns?: number }

/** What a command reads and writes, apart from files. A process of Node has all of it. */
export interface Io {
  readonly stdin: AsyncIterable<Uint8Array | string>
  readonly stdout: Output
  readonly stderr: Output
  readonly env: Readonly<Record<string, string | undefined>>
  /** The folder that paths in arguments are relative to. */
  cwd(): string
}

/** One call of the command line. */
export interface Call {
  readonly args: readonly string[]
  readonly io: Io
  /** Sets the exit code, where it is not 0. */
  readonly finish: (code: number) => void
}

/** A path as typed, as one that does not depend on this process. */
export function locate(io: Io, path: string): string {
  return isAbsolute(path) ? path : join(io.cwd(), path)
}

const read = new WeakMap<Io, Set<string>>()

/** Remembers a file that a call has read, by its real path. */
export function rememberRead(io: Io, path: string): void {
  read.set(io, (read.get(io) ?? new Set()).add(path))
}

/** Whether a call has read the file at a real path, so that it must not write there. */
export const hasRead = (io: Io, path: string): boolean => read.get(io)?.has(path) === true
