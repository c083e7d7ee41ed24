import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { access, constants, realpath, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { ShardloomError } from 'shardloom'
import { exitCode } from './exit-code.js'
import { hasRead, type Io, locate } from './io.js'

/**
 * Writes a file whole or not at all: into a temporary file of the same folder, renamed when it is complete, removed when
 * anything fails or the user interrupts. `-` is standard output; a device or a pipe is written to as it is. Throws
 * `OUTPUT` when the path cannot be written, and for what was read unless it is meant to be replaced.
 */
export async function writeWhole(
  io: Io,
  path: string,
  write: (stream: Writable) => Promise<void>,
  { replaces = false } = {},
): Promise<void> {
  if (path === '-') return write(io.stdout)
  let temporary: string | undefined
  const remove = async () => {
    if (temporary !== undefined) await rm(temporary, { force: true })
  }
  const interrupted = () => {
    void remove().finally(() => process.exit(exitCode.interrupted))
  }
  try {
    const target = await targetOf(locate(io, path))
    if (!replaces) refuseRead(io, target, path)
    if (target.regular) temporary = join(dirname(target.path), `.shardloom-${randomUUID()}.partial`)
    process.once('SIGINT', interrupted)
    const stream = createWriteStream(temporary ?? target.path, {
      ...(temporary !== undefined && { flags: 'wx' }), // never through a link that somebody laid there
      ...(target.mode !== undefined && { mode: target.mode }),
    })
    const done = finished(stream)
    await Promise.race([write(stream), done]) // a stream that failed may leave `write` waiting for ever
    stream.end()
    await done
    if (temporary !== undefined) await rename(temporary, target.path)
    temporary = undefined
  } catch (cause) {
    throw outputError(cause, path)
  } finally {
    process.off('SIGINT', interrupted)
    await remove()
  }
}

/** Throws `OUTPUT` where {@link writeWhole} could not write, before there is anything to write. */
export async function checkWritable(io: Io, path: string): Promise<void> {
  if (path === '-') return
  try {
    const target = await targetOf(locate(io, path))
    refuseRead(io, target, path)
    if (target.regular) await access(dirname(target.path), constants.W_OK)
  } catch (cause) {
    throw outputError(cause, path)
  }
}

/** What the call has read would be lost. */
function refuseRead(io: Io, target: Target, path: string): void {
  if (!target.regular || !hasRead(io, target.path)) return
  throw new ShardloomError('OUTPUT', `Cannot write ${path}: it is what was read.`, {
    subject: path,
    help: 'Give another path. Nothing was written.',
  })
}

interface Target {
  readonly path: string
  readonly regular: boolean
  readonly mode?: number
}

/** Where the bytes go: through a link to the file behind it, with the mode of a file that is there already. */
async function targetOf(path: string): Promise<Target> {
  const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw cause
  })
  if (!found) return { path, regular: true }
  if (found.isDirectory()) throw Object.assign(new Error('it is a folder'), { code: 'EISDIR' })
  await access(path, constants.W_OK)
  if (!found.isFile()) return { path, regular: false }
  return { path: await realpath(path), regular: true, mode: found.mode }
}

const reasons: Readonly<Record<string, string>> = {
  EISDIR: 'it is a folder',
  ENOENT: 'its folder does not exist',
  ENOTDIR: 'its folder is a file',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota is used up',
  ENAMETOOLONG: 'its name is too long',
}

/** A failure to write that says what was to be written where; anything else is left as it is. */
export function outputError(
  cause: unknown,
  path: string,
  help = 'Give another path, or `-` for standard output. Nothing was written.',
): unknown {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  if (typeof code !== 'string' || !/^E[A-Z]+$/.test(code)) return cause
  return new ShardloomError('OUTPUT', `Cannot write ${path}: ${reasons[code] ?? code}.`, { subject: path, cause, help })
}
